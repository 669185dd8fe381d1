//! Domains that use a share without being on record keep it mounted, whether they run or not.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::Path,
};

use e2e::{
    Guest, Program,
    faults::{ALICE, Share},
    mount_at,
};
use serde_json::{Value, json};

/// Has the domain use an image of the share, as another program than ours would do it.
fn use_image(guest: &Guest, share: &Share, options: &[&str]) {
    let image = share.mount_path().join("two");
    let image = image.to_string_lossy();
    guest.virsh("attach-disk", &[&[&*image, "vdb", "--subdriver", "raw"], options].concat());
}

fn disconnect(share: &Share) -> Value {
    share.site().disconnect(ALICE, &share.site().info("one")).answer()
}

/// Disconnects the only attachment; the mount has to stay, for that domain.
fn assert_mount_kept(guest: &Guest, share: &Share) {
    let answer = disconnect(share);
    assert_eq!(answer["reason"], "guests", "{answer}");
    assert_eq!(answer["guests"][0]["domain"], guest.name());
    assert!(mount_at(share.mount_path()).is_some());
}

#[test]
fn running_shut_off_or_saved_domain_keeps_mount() {
    let share = Share::connected();
    let mut guest = Guest::boot(share.site().scratch());
    use_image(&guest, &share, &["--live"]);
    assert_mount_kept(&guest, &share);

    guest.virsh("managedsave", &[]);
    assert_mount_kept(&guest, &share);

    // libvirt has it as saved and has no such state: as for a domain that is started between the two questions.
    let state = format!("/var/lib/libvirt/qemu/save/{}.save", guest.name());
    let aside = format!("{state}.aside");
    Program::as_root("mv").args([&state, &aside]).succeed();
    use_image(&guest, &share, &["--config"]);
    assert_mount_kept(&guest, &share);

    Program::as_root("mv").args([&aside, &state]).succeed();
    guest.virsh("managedsave-remove", &[]);
    assert_mount_kept(&guest, &share);

    guest.virsh("detach-disk", &["vdb", "--config"]);
    assert_eq!(disconnect(&share)["mounted"], json!(false));
    share.site().assert_nothing_is_left();
    guest.start();
}

/// Disconnects the share's volume while libvirt is to be found at `socket`.
fn disconnect_via(share: &Share, socket: &Path) -> Value {
    let site = share.site();
    let uri = format!("qemu+unix:///system?socket={}", socket.display());
    let disconnect = ["disconnect", "--instance", ALICE, "--connect-uri", &uri, "--libvirt-timeout", "1"];
    site.run_with(&site.info("one"), &disconnect).answer()
}

#[test]
fn unreachable_libvirt_keeps_mount() {
    let share = Share::connected();
    let answer = disconnect_via(&share, Path::new("/nonexistent"));
    assert_eq!((&answer["changed"], &answer["reason"]), (&json!(true), &json!("unknown")), "{answer}");
    assert!(mount_at(share.mount_path()).is_some());
}

#[test]
fn hung_libvirt_keeps_mount() {
    let share = Share::connected();
    let socket = share.site().scratch().path().join("silent-libvirt");
    let _listening = UnixListener::bind(&socket).expect("listen where libvirt would");
    fs::set_permissions(&socket, Permissions::from_mode(0o777)).expect("let nova connect");
    let answer = disconnect_via(&share, &socket);
    assert_eq!((&answer["changed"], &answer["reason"]), (&json!(true), &json!("unknown")), "{answer}");
    assert!(mount_at(share.mount_path()).is_some());
}
