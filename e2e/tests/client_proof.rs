//! A client is dead only by proof: one that answers for a while as the kernel does for a dead one is left in peace.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
};

use e2e::{
    Guest, Site,
    faults::{ALICE, BOB, Share},
    mount_at,
};
use serde_json::{Value, json};

/// What a client may answer that is alive, and the kernel for one that is not.
const FAULTS: [&str; 2] = ["estale", "enotconn"];

/// A share with a guest that runs with the image `two` and has written to it.
fn share_with_guest() -> (Share, Guest) {
    let share = Share::connected();
    share.site().volume().image("disk", "raw", &[0; 1 << 20]);
    let mut guest = Guest::boot(share.site().scratch());
    share.site().attach(&guest, &share.site().info("disk"), &[]).answer();
    guest.write_text("vda", "before");
    (share, guest)
}

/// Makes sure that the mount is the same, and that its client runs.
fn assert_same_mount(share: &Share, device: &str, when: &str) {
    let mount = mount_at(share.mount_path()).unwrap_or_else(|| panic!("{when}: unmounted"));
    assert_eq!(mount.device, device, "{when}: mounted anew");
    assert_eq!(share.newest_client_id().trim(), share.client().id().to_string(), "{when}");
}

fn device(share: &Share) -> String {
    mount_at(share.mount_path()).expect("it is mounted").device
}

#[test]
fn disconnected_client_keeps_mount_and_guest() {
    let (share, mut guest) = share_with_guest();
    let (site, device) = (share.site(), device(&share));
    for fault in FAULTS {
        share.fail(fault);
        assert_eq!(site.share_state(), "disconnected", "{fault}");
        let refused = site.connect(BOB, &site.info("two"));
        assert!(!refused.is_success(), "{fault}");
        assert_same_mount(&share, &device, fault);
        let reconciled = site.reconcile();
        assert_eq!(reconciled.mended_codes(), [""; 0], "{fault}: {reconciled:?}");
        assert!(reconciled.left_codes().contains(&"disconnected"), "{fault}: {reconciled:?}");
        assert_same_mount(&share, &device, fault);
        assert_eq!(site.attachment_of(&guest)["lost"], json!(false), "{fault}");

        share.fail("none");
        assert_eq!(site.share_state(), "healthy", "{fault}");
        assert_eq!(site.attachment_of(&guest)["disk"], json!("ok"), "{fault}");
        assert_eq!(guest.read_text("vda", 6), "before", "{fault}");
        guest.write_text("vda", "before");
    }
    detach(&share, &guest);
}

fn detach(share: &Share, guest: &Guest) {
    let site = share.site();
    site.disconnect(ALICE, &site.info("one")).answer();
    assert_eq!(site.detach(guest, "vda", &[]).answer()["mounted"], json!(false));
    site.assert_nothing_is_left();
}

#[test]
fn disconnect_from_disconnected_client_tears_nothing() {
    for fault in FAULTS {
        let (share, mut guest) = share_with_guest();
        let (site, device) = (share.site(), device(&share));
        share.fail(fault);
        let answer = site.disconnect(ALICE, &site.info("one")).answer();
        assert_eq!((&answer["changed"], &answer["mounted"]), (&json!(true), &json!(true)), "{answer}");
        assert_same_mount(&share, &device, fault);
        share.fail("none");
        assert_eq!(guest.read_text("vda", 6), "before", "{fault}");
        detach(&share, &guest);
    }
}

/// Asks what there is to ask while nobody but a process of the host has a file open.
fn assert_open_file_survives(site: &Site, share: &Share, fault: &str) {
    let image = File::open(share.mount_path().join("one")).expect("open an image");
    let device = device(share);
    share.fail(fault);
    for arguments in [&["status"][..], &["reconcile"]] {
        site.run(arguments).answer();
        assert_same_mount(share, &device, fault);
    }
    let answer = site.disconnect(ALICE, &site.info("one")).answer();
    assert_eq!(answer["mounted"], json!(true), "{fault}: {answer}");
    assert_same_mount(share, &device, fault);
    share.fail("none");
    image.read_exact_at(&mut [0], 0).unwrap_or_else(|error| panic!("{fault}: {error}"));
}

#[test]
fn last_disconnect_of_disconnected_client_is_not_lazy() {
    for fault in FAULTS {
        let share = Share::connected();
        let site = share.site();
        assert_open_file_survives(site, &share, fault);
        site.disconnect(ALICE, &site.info("one")).answer();
        site.assert_nothing_is_left();
    }
}

#[test]
fn process_on_record_is_the_one_that_serves() {
    let share = Share::connected();
    let site = share.site();
    let record = site.state().join("shares").join(&site.records()[0]);
    let record: Value = serde_json::from_slice(&fs::read(record).expect("read the record")).expect("JSON");
    let recorded: Vec<_> =
        record["client"].as_array().expect("a list").iter().map(|one| &one["pid"]).collect();
    assert_eq!(recorded, [&json!(share.client().id())]);
}

#[test]
fn ended_client_is_dead_at_once() {
    let share = Share::connected();
    share.client().crash();
    assert_eq!(share.site().share_state(), "dead");
    let site = share.site();
    site.connect(BOB, &site.info("two")).answer();
    assert_eq!(site.share_state(), "healthy");
    for (instance, image) in [(ALICE, "one"), (BOB, "two")] {
        site.disconnect(instance, &site.info(image)).answer();
    }
    site.assert_nothing_is_left();
}
