//! Letting go is a fact about the guest: until it has, it stays on record as a user, whatever was asked.

use e2e::{DiskXml, Guest, Reply, Site, mount_at};
use serde_json::json;

/// A guest that need not exist.
const BOB: &str = "b0b00000-0000-4000-8000-000000000002";

fn site() -> Site {
    Site::with_images(&[("one", "raw"), ("two", "raw")])
}

/// A guest that runs with the first image.
fn running_guest(site: &Site) -> Guest {
    let mut guest = Guest::define(site.scratch());
    site.attach(&guest, &site.info("one"), &[]).answer();
    guest.start_paused();
    guest
}

fn force_disconnect(site: &Site, guest: &Guest, options: &[&str]) -> Reply {
    let disconnect = ["disconnect", "--force", "--instance", guest.uuid()];
    site.run_with(&site.info("one"), &[&disconnect[..], options].concat())
}

/// Makes sure that the command left the guest on record as leaving, and warned of it.
fn assert_leaving(site: &Site, guest: &Guest, reply: Reply) {
    let warnings = reply.warnings().to_owned();
    let answer = reply.answer();
    let seen = ["changed", "mounted", "leaving"].map(|field| answer[field].clone());
    assert_eq!(seen, [json!(true), json!(true), json!(true)], "{answer}");
    assert!(warnings.contains(guest.name()) || warnings.contains(guest.uuid()), "{warnings}");
    let attachment = site.attachment_of(guest);
    assert_eq!((&attachment["leaving"], &attachment["disk"]), (&json!(true), &json!("leaving")));
    assert!(site.reconcile().left_codes().contains(&"leaving"));
}

#[test]
fn disconnect_of_running_guest_is_refused() {
    let site = site();
    let guest = running_guest(&site);
    let reply = site.disconnect(guest.uuid(), &site.info("one"));
    reply.assert_held_by(&guest);
    assert!(reply.message().contains(guest.name()), "{}", reply.message());
    let remedy = format!("nova-quobyte detach {} vda", guest.name());
    assert!(reply.hint().contains(&remedy), "{}", reply.hint());
    let attachment = site.attachment_of(&guest);
    assert_eq!((&attachment["disk"], &attachment["leaving"]), (&json!("ok"), &json!(false)));
    site.reconcile().assert_agreed();
}

#[test]
fn disconnected_running_guest_stays_a_rival() {
    let site = site();
    let mut guest = running_guest(&site);
    let other = Guest::define(site.scratch());
    let reply = force_disconnect(&site, &guest, &[]);
    assert_leaving(&site, &guest, reply);
    site.connect(BOB, &site.info("one")).assert_held_by(&guest);
    site.attach(&other, &site.info("one"), &[]).assert_held_by(&guest);
    // A base of another guest's chain is as good as its top.
    site.volume().overlay("over", ("one", "raw"));
    site.connect(BOB, &site.info_of("over", "qcow2")).assert_held_by(&guest);

    // Its persistent description still names the file, and keeps nothing.
    guest.destroy();
    let reconciled = site.reconcile();
    assert_eq!(reconciled.of_kind("released").len(), 1, "{reconciled:?}");
    site.assert_nothing_is_left();
    // Nor does it once no record is left.
    site.attach(&other, &site.info("one"), &[]).answer();
    site.detach(&other, "vda", &[]).answer();
    site.assert_nothing_is_left();
}

#[test]
fn connect_is_granted_once_leaving_guest_let_go() {
    let site = site();
    let mut guest = Guest::boot(site.scratch());
    site.attach(&guest, &site.info("one"), &[]).answer();
    guest.wait_for_disk("vda");
    force_disconnect(&site, &guest, &[]).answer();
    site.connect(BOB, &site.info("one")).assert_held_by(&guest);
    guest.virsh("detach-disk", &["vda", "--persistent"]);
    guest.wait_until_released("vda");
    site.connect(BOB, &site.info("one")).answer();
    assert_eq!(site.attachments(), [(BOB.to_owned(), "one".to_owned())]);
    site.disconnect(BOB, &site.info("one")).answer();
    site.assert_nothing_is_left();
}

#[test]
fn last_disconnect_drops_leaving_guest_that_let_go() {
    let site = site();
    let guest = running_guest(&site);
    site.connect(BOB, &site.info("two")).answer();
    force_disconnect(&site, &guest, &[]).answer();
    let (mount, instance) = (site.mounted_image("."), guest.uuid().to_owned());
    drop(guest);
    let answer = site.disconnect(BOB, &site.info("two")).answer();
    assert_eq!(answer["mounted"], json!(false), "{answer}: {instance} is undefined");
    assert!(mount_at(&mount).is_none());
    site.assert_nothing_is_left();
}

#[test]
fn ended_transient_guest_lets_go() {
    let site = site();
    let mut guest = running_guest(&site);
    guest.make_transient();
    site.disconnect(guest.uuid(), &site.info("one")).assert_held_by(&guest);
    let reply = force_disconnect(&site, &guest, &[]);
    assert_leaving(&site, &guest, reply);
    guest.destroy();
    assert_eq!(site.reconcile().of_kind("released").len(), 1);
    site.assert_nothing_is_left();
}

#[test]
fn detach_of_leaving_disk_lets_go() {
    let site = site();
    let mut guest = Guest::boot(site.scratch());
    site.attach(&guest, &site.info("one"), &[]).answer();
    guest.wait_for_disk("vda");
    force_disconnect(&site, &guest, &[]).answer();
    // Twice is no more than once.
    assert_eq!(force_disconnect(&site, &guest, &[]).answer()["leaving"], json!(true));
    assert_eq!(site.detach(&guest, "vda", &[]).answer()["mounted"], json!(false));
    site.assert_nothing_is_left();
}

#[test]
fn unanswered_disconnect_leaves_guest_on_record() {
    let site = site();
    let mut guest = running_guest(&site);
    let nowhere = ["--connect-uri", "qemu+unix:///system?socket=/nonexistent"];
    let disconnect = [&["disconnect", "--instance", guest.uuid()], &nowhere[..]].concat();
    let reply = site.run_with(&site.info("one"), &disconnect);
    assert_leaving(&site, &guest, reply);
    guest.destroy();
    assert_eq!(site.reconcile().of_kind("released").len(), 1);
    site.assert_nothing_is_left();
}

#[test]
fn guest_that_connects_again_is_no_longer_leaving() {
    let site = site();
    let guest = running_guest(&site);
    force_disconnect(&site, &guest, &[]).answer();
    site.connect(guest.uuid(), &site.info("one")).answer();
    let attachment = site.attachment_of(&guest);
    assert_eq!((&attachment["leaving"], &attachment["disk"]), (&json!(false), &json!("ok")));
    site.reconcile().assert_agreed();
}

#[test]
fn shut_off_guest_with_two_volumes_leaves_nothing() {
    let site = site();
    let guest = Guest::define(site.scratch());
    for image in ["one", "two"] {
        site.attach(&guest, &site.info(image), &[]).answer();
    }
    // As Nova deletes an instance: each volume is disconnected before the domain is undefined.
    let first = site.disconnect(guest.uuid(), &site.info("one")).answer();
    assert_eq!((&first["changed"], &first["reason"]), (&json!(true), &json!("attachments")), "{first}");
    let second = site.disconnect(guest.uuid(), &site.info("two")).answer();
    assert_eq!((&second["changed"], &second["mounted"]), (&json!(true), &json!(false)), "{second}");
    assert!(guest.xml(&[]).contains("<disk"));
    site.assert_nothing_is_left();
}

#[test]
fn shut_off_guest_on_cached_snapshot_leaves_nothing() {
    const CACHED: &str = "volume_from_snapshot_cache/5a9b0c1d-0000-4000-8000-000000000001";
    let site = site();
    site.volume().make_directory("volume_from_snapshot_cache");
    site.volume().image(CACHED, "raw", &[0; 1 << 20]);
    site.volume().overlay("over", (CACHED, "raw"));
    let guest = Guest::define(site.scratch());
    site.attach(&guest, &site.info_of("over", "qcow2"), &[]).answer();
    assert!(guest.xml(&[]).contains(CACHED));
    let answer = site.disconnect(guest.uuid(), &site.info_of("over", "qcow2")).answer();
    assert_eq!(answer["mounted"], json!(false), "{answer}");
    site.assert_nothing_is_left();
}

#[test]
fn other_shut_off_guest_keeps_mount() {
    let site = site();
    let (leaving, staying) = (Guest::define(site.scratch()), Guest::define(site.scratch()));
    site.attach(&leaving, &site.info("one"), &[]).answer();
    staying.virsh_attach(
        site.scratch(),
        &DiskXml::file(&site.mounted_image("two"), "raw", "vda"),
        &["--config"],
    );
    let answer = site.disconnect(leaving.uuid(), &site.info("one")).answer();
    assert_eq!((&answer["mounted"], &answer["reason"]), (&json!(true), &json!("guests")), "{answer}");
    assert_eq!(answer["guests"][0]["domain"], staying.name());
    staying.virsh("detach-disk", &["vda", "--config"]);
    site.disconnect(leaving.uuid(), &site.info("one")).answer();
    site.assert_nothing_is_left();
}
