//! A managed save image is a third description of a guest: what it names is in use, and nothing is put beside it.

use e2e::{DiskXml, Guest, Reply, Site};
use serde_json::json;

/// A site with raw images, and a guest that was saved with the first of them attached.
fn saved_guest() -> (Site, Guest) {
    let site = Site::with_images(&[("one", "raw"), ("two", "raw")]);
    let mut guest = Guest::boot(site.scratch());
    site.attach(&guest, &site.info("one"), &[]).answer();
    guest.write_text("vda", "before");
    guest.save();
    (site, guest)
}

/// Makes sure that the command refused because the guest is saved, and said how it can be helped.
fn assert_refused_for_saved_state(reply: &Reply, guest: &Guest) {
    reply.assert_held_by(guest);
    assert!(reply.message().contains("managedsave-remove"), "{}", reply.message());
}

fn restore_and_detach(site: &Site, guest: &mut Guest) {
    guest.restore();
    assert_eq!(guest.read_text("vda", 6), "before");
    let answer = site.detach(guest, "vda", &[]).answer();
    assert_eq!(answer["mounted"], json!(false), "{answer}");
    site.assert_nothing_is_left();
}

#[test]
fn saved_guest_refuses_attach_and_detach() {
    let (site, mut guest) = saved_guest();
    let seen = |guest: &Guest| (guest.xml(&["--inactive"]), guest.saved_xml(), site.attachments());
    let before = seen(&guest);
    assert_refused_for_saved_state(&site.detach(&guest, "vda", &[]), &guest);
    assert_refused_for_saved_state(&site.attach(&guest, &site.info("two"), &[]), &guest);
    assert_eq!(seen(&guest), before);
    restore_and_detach(&site, &mut guest);
}

#[test]
fn volume_of_saved_guest_is_given_to_nobody() {
    let (site, mut guest) = saved_guest();
    let other = Guest::define(site.scratch());
    // What its persistent description says does not matter to what comes back.
    for _ in 0..2 {
        site.attach(&other, &site.info("one"), &[]).assert_held_by(&guest);
        site.connect(other.uuid(), &site.info("one")).assert_held_by(&guest);
        if guest.xml(&["--inactive"]).contains("<disk") {
            guest.virsh("detach-disk", &["vda", "--config"]);
        }
    }
    assert!(!other.xml(&[]).contains("<disk"));
    guest.restore();
    assert_eq!(guest.read_text("vda", 6), "before");
    site.detach(&guest, "vda", &[]).answer();
    site.assert_nothing_is_left();
}

#[test]
fn disconnect_of_saved_guest_needs_force() {
    let (site, mut guest) = saved_guest();
    let reply = site.disconnect(guest.uuid(), &site.info("one"));
    reply.assert_held_by(&guest);
    assert!(reply.hint().contains("managedsave-remove"), "{}", reply.hint());
    assert!(reply.hint().contains("start"), "{}", reply.hint());
    assert_eq!(site.attachment_of(&guest)["disk"], json!("ok"));

    let force = ["disconnect", "--force", "--instance", guest.uuid()];
    let answer = site.run_with(&site.info("one"), &force).answer();
    assert_eq!((&answer["changed"], &answer["mounted"]), (&json!(true), &json!(true)), "{answer}");
    assert_eq!((&answer["reason"], &answer["leaving"]), (&json!("attachments"), &json!(true)), "{answer}");
    assert_eq!(site.attachment_of(&guest)["leaving"], json!(true));

    // Restored, the guest still has the disk and its data; stopped, it has let go.
    guest.restore();
    assert_eq!(guest.read_text("vda", 6), "before");
    assert_eq!(site.attachment_of(&guest)["disk"], json!("leaving"));
    guest.destroy();
    assert_eq!(site.reconcile().of_kind("released").len(), 1);
    site.assert_nothing_is_left();
}

#[test]
fn removed_saved_state_lets_go() {
    let (site, guest) = saved_guest();
    let force = ["disconnect", "--force", "--instance", guest.uuid()];
    site.run_with(&site.info("one"), &force).answer();
    assert_eq!(site.reconcile().of_kind("released"), [&json!(null); 0]);
    guest.virsh("managedsave-remove", &[]);
    assert_eq!(site.reconcile().of_kind("released").len(), 1);
    site.assert_nothing_is_left();
}

#[test]
fn status_shows_disks_of_saved_state() {
    let (site, mut guest) = saved_guest();
    // Its next plain start would have the second image; what is restored has the first.
    site.connect(guest.uuid(), &site.info("two")).answer();
    guest.virsh("detach-disk", &["vda", "--config"]);
    guest.virsh_attach(
        site.scratch(),
        &DiskXml::file(&site.mounted_image("two"), "raw", "vdb"),
        &["--config"],
    );
    let disks: Vec<_> = site
        .attachments_of(guest.uuid())
        .iter()
        .map(|one| json!([one["name"], one["target"], one["disk"]]))
        .collect();
    assert!(disks.contains(&json!(["one", "vda", "ok"])), "{disks:?}");
    assert!(disks.contains(&json!(["two", null, "no_guest"])), "{disks:?}");

    guest.virsh("detach-disk", &["vdb", "--config"]);
    assert_eq!(site.disconnect(guest.uuid(), &site.info("two")).answer()["reason"], "attachments");
    restore_and_detach(&site, &mut guest);
}

#[test]
fn unrecorded_saved_guest_keeps_volume() {
    let (site, mut guest) = saved_guest();
    guest.virsh("detach-disk", &["vda", "--config"]);
    let other = Guest::define(site.scratch());
    for _ in 0..2 {
        for record in site.records() {
            site.lose_record(&record);
        }
        site.attach(&other, &site.info("one"), &[]).assert_held_by(&guest);
    }
    site.run(&["reconcile"]).answer();
    let attachment = site.attachment_of(&guest);
    assert_eq!((&attachment["target"], &attachment["disk"]), (&json!("vda"), &json!("ok")), "{attachment}");
    restore_and_detach(&site, &mut guest);
}

#[test]
fn saved_guest_is_never_lost() {
    let (site, mut guest) = saved_guest();
    site.crash_clients();
    let reconciled = site.reconcile();
    assert!(reconciled.mended_codes().contains(&"remounted"), "{reconciled:?}");
    site.reconcile().assert_agreed();
    assert_eq!(site.attachment_of(&guest)["lost"], json!(false));
    guest.restore();
    assert_eq!(site.attachment_of(&guest)["disk"], json!("ok"));
    assert_eq!(guest.read_text("vda", 6), "before");
    site.detach(&guest, "vda", &[]).answer();
    site.assert_nothing_is_left();
}
