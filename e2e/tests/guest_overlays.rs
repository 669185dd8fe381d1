//! Local images that lie on one of the share's, however they spell its path, and local files that do not answer.
//!
//! No other test runs meanwhile: to each of them a domain whose files do not answer might be unknown.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, fs::symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use e2e::{
    Daemon, DiskXml, Guest, Program, Reply, Volume,
    faults::{ALICE, Share},
};
use serde_json::{Value, json};

fn disconnect(share: &Share) -> Value {
    share.site().disconnect(ALICE, &share.site().info("one")).answer()
}

fn share() -> Share {
    let share = Share::connected();
    share.site().volume().image("two", "raw", &[0; 1 << 20]);
    share
}

/// Makes a local image, open to guests, whose header names what lies below it as given.
fn overlay(share: &Share, name: &str, below: &str) -> PathBuf {
    let overlay = share.file(name);
    Program::as_root("qemu-img")
        .args(["create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", below])
        .arg(&overlay)
        .arg("1M")
        .succeed();
    fs::set_permissions(&overlay, Permissions::from_mode(0o666)).expect("open an image to guests");
    overlay
}

/// Gives a shut-off domain the image, whose start proves that it lies on the share. The share has to stay mounted for
/// it then.
fn assert_keeps_share(share: &Share, overlay: &Path, when: &str) {
    let scratch = share.site().scratch();
    let mut guest = Guest::define(scratch);
    guest.virsh_attach(scratch, &DiskXml::file(overlay, "qcow2", "vda"), &["--config"]);
    let answer = disconnect(share);
    assert_eq!((&answer["mounted"], &answer["reason"]), (&json!(true), &json!("guests")), "{when}: {answer}");
    assert_eq!(answer["guests"][0]["domain"], guest.name(), "{when}");
    guest.start_paused();
    let other = Guest::define(scratch);
    share.site().attach(&other, &share.site().info("two"), &[]).assert_held_by(&guest);
}

#[test]
fn overlay_keeps_share_in_every_spelling_of_base() {
    let share = share();
    let base = share.mount_path().join("two");
    let link = share.file("link");
    symlink(share.mount_path(), &link).expect("make a link");
    let relative = base.strip_prefix(share.site().scratch().path()).expect("it is in the scratch");
    let text = base.to_string_lossy();
    let nested = json!({"driver": "raw", "file": {"driver": "file", "filename": text}});
    for (when, below) in [
        ("absolute", text.to_string()),
        ("relative", relative.to_string_lossy().into_owned()),
        ("linked", link.join("two").to_string_lossy().into_owned()),
        ("json", format!("json:{nested}")),
        ("dotted", with_dots(&base)),
    ] {
        let overlay = overlay(&share, when, &below);
        assert_keeps_share(&share, &overlay, when);
    }
    assert_eq!(disconnect(&share)["mounted"], json!(false));
    share.site().assert_nothing_is_left();
}

/// The same path with steps to and fro.
fn with_dots(base: &Path) -> String {
    let directory = base.parent().expect("an image is in a directory");
    let name = directory.file_name().expect("it has a name").to_string_lossy();
    format!("{}/../{name}/./two", directory.display())
}

#[test]
fn linked_overlay_keeps_share_mounted() {
    let share = share();
    let overlay = overlay(&share, "local", &share.mount_path().join("two").to_string_lossy());
    let link = share.file("linked-overlay");
    symlink(overlay, &link).expect("make a link");
    assert_keeps_share(&share, &link, "by a link to the overlay");
    assert_eq!(disconnect(&share)["mounted"], json!(false));
    share.site().assert_nothing_is_left();
}

#[test]
fn data_file_on_share_keeps_share_mounted() {
    let share = share();
    let image = share.file("local");
    let data = format!("data_file={},data_file_raw=on", share.mount_path().join("two").display());
    Program::as_root("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-o", &data])
        .arg(&image)
        .arg("1M")
        .succeed();
    fs::set_permissions(&image, Permissions::from_mode(0o666)).expect("open an image to guests");
    let scratch = share.site().scratch();
    let mut guest = Guest::define(scratch);
    guest.virsh_attach(scratch, &DiskXml::file(&image, "qcow2", "vda"), &["--config"]);
    // Its start proves that it needs the share, although libvirt may not say so.
    guest.start_paused();
    guest.destroy();
    let answer = disconnect(&share);
    assert_eq!(answer["mounted"], json!(true), "{answer}");
    assert!(answer.to_string().contains(guest.name()), "{answer}");
    guest.virsh("detach-disk", &["vda", "--config"]);
    assert_eq!(disconnect(&share)["mounted"], json!(false));
    share.site().assert_nothing_is_left();
}

#[test]
fn overlay_on_foreign_hung_mount_blocks_no_call() {
    let share = share();
    let site = share.site();
    let pid = share.file("foreign.pid");
    let foreign =
        Volume::create(site.scratch(), "foreign", &[&format!("standin.pid_file={}", pid.display())]);
    foreign.image("disk", "qcow2", &[0; 1 << 20]);
    let mount_point = site.scratch().directory("foreign");
    let _mount = foreign.mount(&mount_point);
    let guest = Guest::define(site.scratch());
    let disk = DiskXml::file(&mount_point.join("disk"), "qcow2", "vda");
    guest.virsh_attach(site.scratch(), &disk, &["--config"]);

    // A signal ends who waits for it, so that this test ends whatever happens.
    let client = Daemon::of(&pid);
    client.stop();
    let run = |arguments: &[&str]| {
        let program = site.command(arguments).args(["--libvirt-timeout", "5"]);
        let program = program.input(site.info("one").to_string()).within(Duration::from_secs(30));
        program.start().finish_within(Duration::from_secs(30))
    };
    let replies = [
        run(&["status"]),
        run(&["reconcile"]),
        run(&["disconnect", "--instance", ALICE, "--connection-info", "-"]),
    ];
    client.signal(rustix::process::Signal::CONT);
    for finished in &replies {
        Reply::of_finished(finished).answer();
    }
    guest.virsh("detach-disk", &["vda", "--config"]);
    disconnect(&share);
    site.run(&["reconcile"]).answer();
    site.assert_nothing_is_left();
}
