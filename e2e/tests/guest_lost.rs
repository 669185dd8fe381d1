//! Lost is observed: a guest has lost its disk if it ran when the mount died, until it has been restarted.

use std::path::Path;

use e2e::{
    Guest, Program, Reconciled, Reply, Site,
    faults::{ALICE, Share},
    mount_at,
};
use serde_json::json;

fn site() -> Site {
    Site::with_images(&[("one", "raw"), ("two", "raw")])
}

fn attach_both(site: &Site, guest: &Guest) {
    for image in ["one", "two"] {
        site.attach(guest, &site.info(image), &[]).answer();
    }
}

/// Whether each of the guest's disks is lost, and its state, as `status` has it.
fn assert_disks(site: &Site, guest: &Guest, lost: bool, disk: &str, when: &str) {
    let attachments = site.attachments_of(guest.uuid());
    assert!(!attachments.is_empty(), "{when}");
    for one in attachments {
        assert_eq!((&one["lost"], &one["disk"]), (&json!(lost), &json!(disk)), "{when}: {one}");
    }
}

fn detach_both(site: &Site, guest: &mut Guest) {
    guest.destroy();
    for target in ["vda", "vdb"] {
        site.detach(guest, target, &[]).answer();
    }
    site.assert_nothing_is_left();
}

#[test]
fn shut_off_guest_is_never_lost() {
    let site = site();
    let mut guest = Guest::define(site.scratch());
    attach_both(&site, &guest);
    site.crash_clients();
    for one in site.attachments_of(guest.uuid()) {
        assert!(one["lost"] == json!(false) && one["disk"] != json!("lost"), "{one}");
    }
    let reconciled = site.reconcile();
    assert_eq!((reconciled.mended_codes(), reconciled.left_codes()), (vec!["remounted"], vec![]));
    assert!(!json!(reconciled.mended).to_string().contains(guest.uuid()), "{reconciled:?}");
    assert_disks(&site, &guest, false, "ok", "once it is mounted again");
    site.reconcile().assert_agreed();
    guest.start_paused();
    assert_disks(&site, &guest, false, "ok", "started");
    detach_both(&site, &mut guest);
}

#[test]
fn running_guest_is_lost_until_restarted() {
    let site = site();
    let mut guest = Guest::define(site.scratch());
    attach_both(&site, &guest);
    guest.start_paused();
    site.crash_clients();
    assert_disks(&site, &guest, true, "lost", "while the mount is dead");
    assert!(site.reconcile().mended_codes().contains(&"remounted"));
    for _ in 0..2 {
        let reconciled = site.reconcile();
        assert_eq!(reconciled.left_codes(), ["lost"], "once for both disks: {reconciled:?}");
        let told = json!(reconciled.left).to_string();
        assert!(told.contains(guest.name()), "{told}");
        assert_disks(&site, &guest, true, "lost", "once it is mounted again");
    }

    guest.destroy();
    assert_disks(&site, &guest, false, "ok", "shut off");
    guest.start_paused();
    assert_disks(&site, &guest, false, "ok", "restarted");
    let reconciled = site.reconcile();
    assert_eq!((reconciled.mended_codes(), reconciled.left_codes()), (vec!["restarted"], vec![]));
    site.reconcile().assert_agreed();
    detach_both(&site, &mut guest);
}

#[test]
fn connect_takes_export_name_and_format() {
    let site = site();
    let image = |format| ["--export", site.volume().export(), "--name", "one", "--format", format];
    let connect = ["connect", "--instance", ALICE];
    let answer = site.run(&[&connect[..], &image("raw")].concat()).answer();
    assert_eq!(answer["format"], json!("raw"), "{answer}");
    assert_eq!(site.attachments(), [(ALICE.to_owned(), "one".to_owned())]);
    // It is the very attachment that a connection_info makes.
    assert_eq!(site.connect(ALICE, &site.info("one")).answer()["changed"], json!(false));
    let reply = site.run(&[&connect[..], &image("qcow2")].concat());
    assert_eq!(reply.failure(), (6, "format_mismatch"), "{}", reply.message());
    site.disconnect(ALICE, &site.info("one")).answer();
    site.assert_nothing_is_left();
}

#[test]
fn forced_disconnect_of_hung_share_keeps_guest() {
    let share = Share::connected();
    let site = share.site();
    let mut guest = Guest::define(site.scratch());
    site.attach(&guest, &site.info("two"), &[]).answer();
    guest.start_paused();
    let client = share.client_guard();
    share.fail("no-answer");
    let timeout = ["--probe-timeout", "1"];
    let disconnect = ["disconnect", "--force", "--instance", guest.uuid(), timeout[0], timeout[1]];
    let answer = site.run_with(&site.info("two"), &disconnect).answer();
    assert_eq!((&answer["mounted"], &answer["leaving"]), (&json!(true), &json!(true)), "{answer}");
    assert!(mount_at(share.mount_path()).is_some());

    drop(client);
    share.client().wait_for_end();
    share.fail("none");
    let reconciled = site.reconcile();
    assert!(!reconciled.mended_codes().contains(&"taken_down"), "{reconciled:?}");
    let told = json!([reconciled.mended, site.reconcile().left]).to_string();
    assert!(told.contains(guest.name()) || told.contains(guest.uuid()), "{told}");
    assert_eq!(site.attachment_of(&guest)["leaving"], json!(true));
    site.disconnect(ALICE, &site.info("one")).answer();
    guest.destroy();
    site.run(&["reconcile"]).answer();
    site.assert_nothing_is_left();
}

/// The command as somebody calls it who knows the directories, and not how the share was mounted.
fn without_client_configuration(share: &Share, arguments: &[&str]) -> Reply {
    let site = share.site();
    let path = |option: &str, path: &Path| [option.to_owned(), path.to_string_lossy().into_owned()];
    let program = Program::as_nova("nova-quobyte")
        .arg("--json")
        .args(path("--state-dir", site.state()))
        .args(path("--quobyte-mount-point-base", site.base()))
        .args(arguments);
    Reply::of(program.input(site.info("two").to_string()))
}

#[test]
fn dead_mount_is_repaired_from_record() {
    let share = Share::connected();
    share.client().crash();
    let reconciled = Reconciled::of(without_client_configuration(&share, &["reconcile"]));
    assert!(reconciled.mended_codes().contains(&"remounted"), "{reconciled:?}");
    assert_eq!(share.site().share_state(), "healthy");

    share.newest_client().crash();
    let connect = ["connect", "--instance", e2e::faults::BOB, "--connection-info", "-"];
    without_client_configuration(&share, &connect).answer();
    assert_eq!(share.site().share_state(), "healthy");
    for (instance, image) in [(ALICE, "one"), (e2e::faults::BOB, "two")] {
        share.site().disconnect(instance, &share.site().info(image)).answer();
    }
    share.site().assert_nothing_is_left();
}

#[test]
fn mount_that_cannot_return_is_not_taken_down() {
    let share = Share::connected();
    let site = share.site();
    let mut guest = Guest::define(site.scratch());
    site.attach(&guest, &site.info("two"), &[]).answer();
    guest.start_paused();
    share.client().crash();
    share.configure("standin.fault=unreachable");
    let reconciled = site.reconcile();
    assert!(!reconciled.mended_codes().contains(&"taken_down"), "{reconciled:?}");
    assert!(!reconciled.left.is_empty(), "{reconciled:?}");
    assert_eq!(site.attachments().len(), 2);
    share.configure("standin.fault=none");
    assert!(site.reconcile().mended_codes().contains(&"remounted"));
    site.disconnect(ALICE, &site.info("one")).answer();
    guest.destroy();
    site.detach(&guest, "vda", &[]).answer();
    site.assert_nothing_is_left();
}
