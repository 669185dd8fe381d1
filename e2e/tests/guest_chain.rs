//! Snapshot, commit and copy by other programs: an attachment follows its guest from file to file.

use e2e::{DiskXml, Guest, Site};
use serde_json::{Value, json};

/// A guest that need not exist.
const BOB: &str = "b0b00000-0000-4000-8000-000000000002";

/// A guest that runs with the raw image `one`, beside overlays and an image that are there for it.
fn running_guest() -> (Site, Guest) {
    let site = Site::with_images(&[("one", "raw"), ("two", "raw")]);
    site.volume().overlay("one.snapshot", ("one", "raw"));
    let mut guest = Guest::define(site.scratch());
    site.attach(&guest, &site.info("one"), &[]).answer();
    guest.start_paused();
    (site, guest)
}

/// Makes sure that nobody else gets an image that this guest uses.
fn assert_given_to_nobody(site: &Site, guest: &Guest, info: &Value) {
    site.connect(BOB, info).assert_held_by(guest);
    let other = Guest::define(site.scratch());
    site.attach(&other, info, &[]).assert_held_by(guest);
    assert!(!other.xml(&[]).contains("<disk"));
}

/// Makes sure that `status` knows the guest's disk, whichever file of its chain is on record.
fn assert_known(site: &Site, guest: &Guest, when: &str) {
    let attachment = site.attachment_of(guest);
    let seen = ["domain", "target", "disk"].map(|field| attachment[field].clone());
    assert_eq!(seen, [json!(guest.name()), json!("vda"), json!("ok")], "{when}: {attachment}");
}

/// Makes sure that the records and the guest agree, once what has moved is on record by its new name.
fn assert_follows(site: &Site, guest: &Guest, name: &str) {
    assert_known(site, guest, name);
    let reconciled = site.reconcile();
    assert_eq!((reconciled.mended_codes(), reconciled.left_codes()), (vec!["moved"], vec![]), "{name}");
    assert_known(site, guest, name);
    assert_eq!(site.attachment_of(guest)["name"], name);
    site.reconcile().assert_agreed();
}

fn detach(site: &Site, guest: &mut Guest) {
    guest.destroy();
    let answer = site.detach(guest, "vda", &[]).answer();
    assert_eq!(answer["mounted"], json!(false), "{answer}");
    site.assert_nothing_is_left();
}

#[test]
fn snapshot_is_followed() {
    let (site, mut guest) = running_guest();
    guest.snapshot("vda", &site.mounted_image("one.snapshot"));
    let (base, top) = (site.info("one"), site.info_of("one.snapshot", "qcow2"));
    // Before anything has looked at it, and afterwards.
    for _ in 0..2 {
        assert_given_to_nobody(&site, &guest, &base);
        assert_given_to_nobody(&site, &guest, &top);
        let again = site.attach(&guest, &top, &[]).answer();
        assert_eq!((&again["changed"], &again["target"]), (&json!(false), &json!("vda")));
        let reconciled = site.reconcile();
        assert_eq!(reconciled.left_codes(), [""; 0], "{reconciled:?}");
        assert_known(&site, &guest, "after a snapshot");
    }
    assert_eq!(site.attachment_of(&guest)["name"], "one.snapshot");
    detach(&site, &mut guest);
}

#[test]
fn snapshot_is_followed_by_reconcile() {
    let (site, mut guest) = running_guest();
    guest.snapshot("vda", &site.mounted_image("one.snapshot"));
    assert_follows(&site, &guest, "one.snapshot");
    // The old name still finds it.
    let again = site.disconnect(guest.uuid(), &site.info("one"));
    again.assert_held_by(&guest);
    detach(&site, &mut guest);
}

#[test]
fn commit_is_followed() {
    let (site, mut guest) = running_guest();
    guest.snapshot("vda", &site.mounted_image("one.snapshot"));
    site.reconcile();
    guest.commit_until_ready("vda");
    assert_known(&site, &guest, "while both are alike");
    assert_given_to_nobody(&site, &guest, &site.info("one"));
    assert_given_to_nobody(&site, &guest, &site.info_of("one.snapshot", "qcow2"));
    guest.pivot("vda");
    assert_given_to_nobody(&site, &guest, &site.info("one"));
    assert_follows(&site, &guest, "one");
    detach(&site, &mut guest);
}

#[test]
fn unnoticed_snapshot_and_commit_change_nothing() {
    let (site, mut guest) = running_guest();
    let before = site.attachment_of(&guest);
    guest.snapshot("vda", &site.mounted_image("one.snapshot"));
    guest.commit_until_ready("vda");
    guest.pivot("vda");
    site.reconcile().assert_agreed();
    assert_eq!(site.attachment_of(&guest), before);
    detach(&site, &mut guest);
}

#[test]
fn blockcopy_is_followed() {
    let (site, mut guest) = running_guest();
    guest.copy_until_ready("vda", &site.mounted_image("two"), "raw");
    assert_known(&site, &guest, "while both are alike");
    // Nobody has told the records of the copy, so that libvirt has to be asked.
    let other = Guest::define(site.scratch());
    for image in ["one", "two"] {
        site.attach(&other, &site.info(image), &[]).assert_held_by(&guest);
    }
    guest.pivot("vda");
    site.attach(&other, &site.info("two"), &[]).assert_held_by(&guest);
    assert_follows(&site, &guest, "two");

    // The guest has let go of the old file, and has the new one on record.
    assert_given_to_nobody(&site, &guest, &site.info("two"));
    site.connect(BOB, &site.info("one")).answer();
    site.disconnect(BOB, &site.info("one")).answer();
    detach(&site, &mut guest);
}

#[test]
fn guest_with_local_snapshot_keeps_mount_and_file() {
    let (site, mut guest) = running_guest();
    site.connect(BOB, &site.info("two")).answer();
    let local = site.scratch().path().join("local.snapshot");
    guest.virsh(
        "snapshot-create-as",
        &["--disk-only", "--no-metadata", "--diskspec", &format!("vda,file={}", local.display())],
    );
    for _ in 0..2 {
        assert_known(&site, &guest, "with a top elsewhere");
        assert_given_to_nobody(&site, &guest, &site.info("one"));
        site.disconnect(guest.uuid(), &site.info("one")).assert_held_by(&guest);
        let without_guest = json!(site.reconcile().of_kind("no_guest")).to_string();
        assert!(!without_guest.contains(guest.uuid()), "{without_guest}");
    }
    guest.commit_until_ready("vda");
    guest.pivot("vda");
    site.disconnect(BOB, &site.info("two")).answer();
    detach(&site, &mut guest);
}

#[test]
fn base_is_shared_and_never_written() {
    let site = Site::with_images(&[("base", "raw")]);
    for name in ["over", "other"] {
        site.volume().overlay(name, ("base", "raw"));
    }
    let guests = ["over", "other"].map(|name| {
        let mut guest = Guest::define(site.scratch());
        site.attach(&guest, &site.info_of(name, "qcow2"), &[]).answer();
        guest.start_paused();
        guest
    });
    let third = Guest::define(site.scratch());
    for reply in [site.connect(BOB, &site.info("base")), site.attach(&third, &site.info("base"), &[])] {
        assert_eq!(reply.failure(), (7, "volume_in_use"), "{}", reply.message());
    }
    for guest in &guests {
        assert_eq!(site.attachment_of(guest)["disk"], json!("ok"));
    }
    site.reconcile().assert_agreed();
}

#[test]
fn chain_on_written_base_is_refused() {
    let (site, mut guest) = running_guest();
    // Even where nobody has put the guest on record.
    let foreign = Guest::define(site.scratch());
    foreign.virsh_attach(
        site.scratch(),
        &DiskXml::file(&site.mounted_image("two"), "raw", "vda"),
        &["--config"],
    );
    site.volume().overlay("over", ("two", "raw"));
    let third = Guest::define(site.scratch());
    assert_given_to_nobody(&site, &guest, &site.info_of("one.snapshot", "qcow2"));
    site.attach(&third, &site.info_of("over", "qcow2"), &[]).assert_held_by(&foreign);
    foreign.virsh("detach-disk", &["vda", "--config"]);
    site.attach(&third, &site.info_of("over", "qcow2"), &[]).answer();
    site.detach(&third, "vda", &[]).answer();
    detach(&site, &mut guest);
}

#[test]
fn aborted_copy_is_nobodys() {
    let (site, mut guest) = running_guest();
    guest.copy_until_ready("vda", &site.mounted_image("two"), "raw");
    site.run(&["reconcile"]).answer();
    guest.virsh("blockjob", &["vda", "--abort"]);
    site.run(&["reconcile"]).answer();
    site.reconcile().assert_agreed();
    assert_known(&site, &guest, "after an aborted copy");
    assert_eq!(site.attachment_of(&guest)["name"], "one");
    let other = Guest::define(site.scratch());
    site.attach(&other, &site.info("two"), &[]).answer();
    site.detach(&other, "vda", &[]).answer();
    detach(&site, &mut guest);
}

#[test]
fn shut_off_guest_with_snapshot_leaves_nothing() {
    for asked in [("one", "raw"), ("one.snapshot", "qcow2")] {
        let (site, mut guest) = running_guest();
        guest.snapshot("vda", &site.mounted_image("one.snapshot"));
        guest.destroy();
        let answer = site.disconnect(guest.uuid(), &site.info_of(asked.0, asked.1)).answer();
        assert_eq!((&answer["changed"], &answer["mounted"]), (&json!(true), &json!(false)), "{answer}");
        site.assert_nothing_is_left();
    }
}

#[test]
fn guest_has_two_overlays_of_one_base() {
    let site = Site::with_images(&[("base", "raw")]);
    for name in ["over", "other"] {
        site.volume().overlay(name, ("base", "raw"));
    }
    let mut guest = Guest::define(site.scratch());
    for name in ["over", "other"] {
        site.attach(&guest, &site.info_of(name, "qcow2"), &[]).answer();
    }
    guest.start_paused();
    let disks: Vec<_> =
        site.attachments_of(guest.uuid()).iter().map(|one| json!([one["name"], one["target"]])).collect();
    assert_eq!(disks, [json!(["over", "vda"]), json!(["other", "vdb"])]);
    site.reconcile().assert_agreed();
    guest.destroy();
    for (target, mounted) in [("vda", true), ("vdb", false)] {
        assert_eq!(site.detach(&guest, target, &[]).answer()["mounted"], json!(mounted));
    }
    site.assert_nothing_is_left();
}
