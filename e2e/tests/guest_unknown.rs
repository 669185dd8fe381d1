//! One domain that cannot be understood makes nobody unknown but itself.
//!
//! No other test runs meanwhile: to each of them the domain would be unknown, too.

use e2e::{Guest, Site};
use serde_json::{Value, json};

/// A guest that need not exist.
const BOB: &str = "b0b00000-0000-4000-8000-000000000002";

/// A domain whose description libvirt takes and shows, although XML knows no such character.
fn define_unreadable(site: &Site) -> Guest {
    let guest = Guest::define(site.scratch());
    guest.virsh("desc", &["--config", "escape \u{1b}[31m"]);
    assert!(guest.xml(&["--inactive"]).contains('\u{1b}'));
    guest
}

/// Describes it as it was, or no libvirtd can be restarted that knows it.
fn repair(guest: &Guest) {
    guest.virsh("desc", &["--config", "readable"]);
}

/// A domain whose metadata names an entity that only its definition's own DTD has explained.
fn define_with_entity(site: &Site) -> Guest {
    Guest::define_with(site.scratch(), |xml| {
        let metadata = "<metadata><m:note xmlns:m='urn:note'>&note;</m:note></metadata><memory";
        let xml = xml.replacen("<memory", metadata, 1);
        format!("<!DOCTYPE domain [<!ENTITY note 'x'>]>{xml}")
    })
}

fn unknown_guests(site: &Site) -> Vec<Value> {
    let mut status = site.run(&["status"]).answer();
    match status["unknown_guests"].take() {
        Value::Array(guests) => guests,
        _ => panic!("status tells of no unknown guests: {status}"),
    }
}

fn assert_unknown_alone(site: &Site, known: &Guest, unknown: &Guest) {
    let guests = unknown_guests(site);
    let names: Vec<_> = guests.iter().map(|guest| guest["domain"].clone()).collect();
    assert_eq!(names, [json!(unknown.name())], "{guests:?}");
    assert!(guests[0]["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{guests:?}");
    let attachment = site.attachment_of(known);
    let seen = ["domain", "target", "disk"].map(|field| attachment[field].clone());
    assert_eq!(seen, [json!(known.name()), json!("vda"), json!("ok")]);
    let reconciled = site.reconcile();
    assert!(reconciled.mended.is_empty(), "{reconciled:?}");
    assert_eq!(reconciled.left_codes(), ["unknown_guest"], "{reconciled:?}");
    assert!(json!(reconciled.left).to_string().contains(unknown.name()), "{reconciled:?}");
}

#[test]
fn unreadable_description_affects_no_other_guest() {
    let site = Site::with_images(&[("one", "raw"), ("two", "raw")]);
    let known = Guest::define(site.scratch());
    site.attach(&known, &site.info("one"), &[]).answer();
    for define in [define_unreadable, define_with_entity] {
        let unknown = define(&site);
        assert_unknown_alone(&site, &known, &unknown);
        // Another guest gets another image, and loses it again.
        let other = Guest::define(site.scratch());
        site.attach(&other, &site.info("two"), &[]).answer();
        site.detach(&other, "vda", &[]).answer();
        site.connect(BOB, &site.info("one")).assert_held_by(&known);
        repair(&unknown);
    }
    site.detach(&known, "vda", &[]).answer();
    site.run(&["reconcile"]).answer();
    site.assert_nothing_is_left();
}

#[test]
fn readable_description_is_known_again() {
    let site = Site::with_images(&[("one", "raw")]);
    let known = Guest::define(site.scratch());
    site.attach(&known, &site.info("one"), &[]).answer();
    let unknown = define_unreadable(&site);
    assert_unknown_alone(&site, &known, &unknown);
    repair(&unknown);
    assert_eq!(unknown_guests(&site), [Value::Null; 0]);
    site.reconcile().assert_agreed();
    site.detach(&known, "vda", &[]).answer();
    site.assert_nothing_is_left();
}
