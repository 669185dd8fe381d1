//! libvirt's hook: a guest that starts finds its volumes connected, wherever it comes from.

use std::time::{Duration, Instant};

use e2e::{Guest, Program, Site, mount_at};
use serde_json::json;

/// A site with raw images, and a guest that is defined with the first of them as `vda`.
fn defined_guest(images: &[(&str, &str)]) -> (Site, Guest) {
    let site = Site::with_images(images);
    let guest = Guest::define(site.scratch());
    site.attach(&guest, &site.info(images[0].0), &[]).answer();
    site.install_hook(&guest);
    (site, guest)
}

fn remove(site: &Site, guest: &mut Guest) {
    guest.destroy();
    site.detach(guest, "vda", &[]).answer();
    site.assert_nothing_is_left();
}

/// Starts the guest, which libvirt refuses, and returns what it says.
fn start_error(guest: &Guest) -> String {
    Program::as_nova("virsh")
        .args(["--quiet", "--connect", "qemu:///system", "start", guest.name()])
        .run()
        .stderr
}

/// The mount's directory outlives a restart; nothing else does.
fn assert_not_connected(site: &Site) {
    assert_eq!(site.records(), [""; 0]);
    site.assert_no_client_is_left();
    assert_eq!(mount_at(&site.base().join(&site.mount_directories()[0])), None);
}

#[test]
fn guest_starts_after_restart_of_host() {
    let (site, mut guest) = defined_guest(&[("one", "raw")]);
    guest.start();
    guest.write_text("vda", "before");
    guest.destroy();
    site.restart_host();
    guest.start();
    assert_eq!(guest.read_text("vda", 6), "before");
    assert_eq!(site.share_state(), "healthy");
    let attachment = site.attachment_of(&guest);
    assert_eq!((&attachment["disk"], &attachment["lost"]), (&json!("ok"), &json!(false)), "{attachment}");
    site.reconcile().assert_agreed();
    remove(&site, &mut guest);
}

#[test]
fn saved_guest_is_restored_after_restart_of_host() {
    let (site, mut guest) = defined_guest(&[("one", "raw")]);
    guest.start();
    guest.write_text("vda", "before");
    guest.save();
    site.restart_host();
    guest.restore();
    assert_eq!(guest.read_text("vda", 6), "before");
    remove(&site, &mut guest);
}

#[test]
fn metadata_goes_with_the_disk() {
    let site = Site::with_images(&[("one", "raw"), ("two", "raw")]);
    let mut guest = Guest::boot(site.scratch());
    let described = |guest: &Guest| {
        let count = |options: &[&str]| guest.xml(options).matches("<quobyte:volume ").count();
        (count(&[]), count(&["--inactive"]))
    };
    assert_eq!(described(&guest), (0, 0));
    for (name, number) in [("one", 1), ("two", 2)] {
        site.attach(&guest, &site.info(name), &[]).answer();
        assert_eq!(described(&guest), (number, number));
    }
    let xml = guest.xml(&[]);
    assert!(xml.contains("urn:nova-quobyte:volumes:1"), "{xml}");
    site.detach(&guest, "vda", &[]).answer();
    assert_eq!(described(&guest), (1, 1));
    guest.destroy();
    site.detach(&guest, "vdb", &[]).answer();
    let xml = guest.xml(&[]);
    assert!(!xml.contains("quobyte:"), "{xml}");
    site.assert_nothing_is_left();
}

#[test]
fn refused_attach_leaves_no_metadata() {
    let site = Site::with_images(&[("one", "raw")]);
    let guest = Guest::boot(site.scratch());
    let code = site.attach(&guest, &site.info("missing"), &[]).failure().1.to_owned();
    assert_eq!(code, "image_missing");
    assert!(!guest.xml(&[]).contains("quobyte:volume"));
    site.assert_nothing_is_left();
}

#[test]
fn start_is_refused_with_code_and_volume() {
    let (site, guest) = defined_guest(&[("one", "raw")]);
    site.restart_host();
    site.volume().remove("one");
    let said = start_error(&guest);
    assert!(said.contains("vda:") && said.contains("[image_missing]"), "{said}");
    assert_not_connected(&site);
}

#[test]
fn share_that_fails_is_not_tried_again_at_once() {
    let (site, mut guest) = defined_guest(&[("one", "raw")]);
    site.restart_host();
    site.volume().configure("standin.fault=unreachable");
    assert!(start_error(&guest).contains("[mount_failed]"));
    site.volume().configure("standin.fault=none");
    let said = start_error(&guest);
    assert!(said.contains("seconds ago"), "{said}");
    // An operation that somebody has asked for does not wait.
    site.connect(guest.uuid(), &site.info("one")).answer();
    guest.start();
    remove(&site, &mut guest);
}

#[test]
fn start_waits_no_longer_than_its_limit() {
    let (site, guest) = defined_guest(&[("one", "raw")]);
    site.restart_host();
    site.volume().configure("standin.fault=hang-before-mount");
    let began = Instant::now();
    let said = start_error(&guest);
    assert!(said.contains("[mount_timeout]"), "{said}");
    // Without the limit of its own it would be 60 seconds.
    assert!(began.elapsed() < Duration::from_secs(50), "{:?}", began.elapsed());
    assert_not_connected(&site);
}

#[test]
fn guest_that_is_gone_leaves_nothing() {
    let (site, mut guest) = defined_guest(&[("one", "raw")]);
    guest.start();
    guest.make_transient();
    guest.destroy();
    site.wait_until_unmounted();
    site.assert_nothing_is_left();
}
