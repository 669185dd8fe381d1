//! Records that were lost, and guests that other programs gave images to: each guest is found and put on record.

use e2e::{DiskXml, Guest, Site};
use serde_json::{Value, json};

/// A guest that need not exist.
const BOB: &str = "b0b00000-0000-4000-8000-000000000002";

fn site() -> Site {
    Site::with_images(&[("one", "raw"), ("two", "raw"), ("three", "raw")])
}

/// Removes every record.
fn lose_records(site: &Site) {
    for record in site.records() {
        site.lose_record(&record);
    }
}

fn virsh_attach(site: &Site, guest: &Guest, image: &str, options: &[&str]) {
    let disk = DiskXml::file(&site.mounted_image(image), "raw", "vda");
    guest.virsh_attach(site.scratch(), &disk, options);
}

/// The instances and images of those that were adopted, sorted.
fn adopted(findings: &[&Value]) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let attachments = findings.iter().flat_map(|one| one["attachments"].as_array().expect("a list"));
    let mut adopted: Vec<_> = attachments.map(|one| (text(&one["instance"]), text(&one["name"]))).collect();
    adopted.sort_unstable();
    adopted
}

fn sorted<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    let mut pairs = pairs.map(|(instance, name)| (instance.to_owned(), name.to_owned()));
    pairs.sort_unstable();
    pairs.to_vec()
}

#[test]
fn guests_are_adopted_into_existing_record() {
    let site = site();
    let (mut running, shut_off) = (Guest::define(site.scratch()), Guest::define(site.scratch()));
    site.attach(&running, &site.info("one"), &[]).answer();
    site.attach(&shut_off, &site.info("two"), &[]).answer();
    running.start_paused();
    lose_records(&site);
    // Somebody connects before anybody reconciles.
    site.connect(BOB, &site.info("three")).answer();

    // The connect has mounted nothing, and may have asked libvirt itself.
    site.run(&["reconcile"]).answer();
    let expected = sorted([(running.uuid(), "one"), (shut_off.uuid(), "two"), (BOB, "three")]);
    assert_eq!(site.attachments(), expected);
    let reconciled = site.reconcile();
    assert_eq!(reconciled.mended_codes(), [""; 0], "{reconciled:?}");
    // bob's guest is no domain, which is told.
    assert_eq!(reconciled.left_codes(), ["no_guest"], "{reconciled:?}");
    for (guest, target) in [(&running, "vda"), (&shut_off, "vda")] {
        let attachment = site.attachment_of(guest);
        assert_eq!((&attachment["target"], &attachment["disk"]), (&json!(target), &json!("ok")));
    }

    site.crash_clients();
    site.disconnect(BOB, &site.info("three")).answer();
    let reconciled = site.reconcile();
    assert!(reconciled.mended_codes().contains(&"remounted"), "{reconciled:?}");
    let told = json!([reconciled.mended, site.reconcile().left]).to_string();
    assert!(told.contains(running.uuid()) && !told.contains(shut_off.uuid()), "{told}");
}

#[test]
fn volume_of_unrecorded_guest_is_given_to_nobody() {
    let site = site();
    let (mut running, shut_off) = (Guest::define(site.scratch()), Guest::define(site.scratch()));
    site.attach(&running, &site.info("one"), &[]).answer();
    site.attach(&shut_off, &site.info("two"), &[]).answer();
    running.start_paused();
    let other = Guest::define(site.scratch());
    for (guest, image) in [(&running, "one"), (&shut_off, "two")] {
        // With no record of the share, and with one that knows only somebody else.
        lose_records(&site);
        site.attach(&other, &site.info(image), &[]).assert_held_by(guest);
        lose_records(&site);
        site.connect(other.uuid(), &site.info(image)).assert_held_by(guest);
        lose_records(&site);
        site.connect(BOB, &site.info("three")).answer();
        site.attach(&other, &site.info(image), &[]).assert_held_by(guest);
        site.connect(other.uuid(), &site.info(image)).assert_held_by(guest);
    }
    assert!(!other.xml(&[]).contains("<disk"));
}

#[test]
fn guest_attached_by_virsh_is_adopted() {
    let site = site();
    site.connect(BOB, &site.info("three")).answer();
    let mut guest = Guest::boot(site.scratch());
    virsh_attach(&site, &guest, "one", &["--live"]);
    guest.write_text("vda", "mine");
    let reconciled = site.reconcile();
    let expected = sorted([(guest.uuid(), "one")]);
    assert_eq!(adopted(&reconciled.of_kind("adopted")), expected, "{reconciled:?}");
    assert_eq!(site.attachment_of(&guest)["disk"], json!("ok"));
    site.disconnect(BOB, &site.info("three")).answer();
    site.reconcile().assert_agreed();
    // It is detached as any other.
    assert_eq!(site.detach(&guest, "vda", &[]).answer()["mounted"], json!(false));
    site.assert_nothing_is_left();
}

#[test]
fn use_that_is_not_adopted_is_told() {
    let site = site();
    site.connect(BOB, &site.info("three")).answer();
    // An image that cannot be: it is no plain file of the volume.
    site.volume().make_directory("below");
    site.volume().image("below/disk", "raw", &[0; 4096]);
    let guest = Guest::define(site.scratch());
    virsh_attach(&site, &guest, "below/disk", &["--config"]);
    for _ in 0..2 {
        let reconciled = site.reconcile();
        assert!(reconciled.left_codes().contains(&"not_adopted"), "{reconciled:?}");
        let told = json!(reconciled.of_kind("not_adopted")).to_string();
        assert!(told.contains(guest.name()) || told.contains(guest.uuid()), "{told}");
    }
    let answer = site.disconnect(BOB, &site.info("three")).answer();
    assert_eq!(answer["mounted"], json!(true), "{answer}");
    guest.virsh("detach-disk", &["vda", "--config"]);
    site.run(&["reconcile"]).answer();
    site.assert_nothing_is_left();
}

#[test]
fn two_guests_of_one_file_are_told() {
    let site = site();
    let guests = [0, 1].map(|_| Guest::define(site.scratch()));
    site.connect(BOB, &site.info("three")).answer();
    for guest in &guests {
        virsh_attach(&site, guest, "one", &["--config"]);
    }
    let reconciled = site.reconcile();
    let rivals = json!(reconciled.of_kind("rivals")).to_string();
    for guest in &guests {
        assert!(rivals.contains(guest.name()) || rivals.contains(guest.uuid()), "{reconciled:?}");
    }
    assert!(site.reconcile().left_codes().contains(&"rivals"));
    site.detach(&guests[0], "vda", &[]).answer();
    site.run(&["reconcile"]).answer();
    let reconciled = site.reconcile();
    assert_eq!(reconciled.left_codes(), ["no_guest"], "only bob's guest is no domain: {reconciled:?}");
    assert_eq!(site.attachment_of(&guests[1])["disk"], json!("ok"));
}
