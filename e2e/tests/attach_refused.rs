//! attach and detach when they cannot be done: everything is as before, and the code says why.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    time::Duration,
};

use e2e::{Guest, Lab, Program, Site};
use serde_json::json;

fn site() -> Site {
    let site = Site::new(&[]);
    for name in ["one", "two"] {
        site.volume().image(name, "raw", &[0; 1 << 20]);
    }
    site
}

/// The user's number.
fn nova() -> u32 {
    fs::metadata(Lab::require().nova_home()).expect("nova has a home").uid()
}

/// Gives the guest a disk that is a file of the host's.
fn attach_local_disk(site: &Site, guest: &Guest, target: &str) {
    let image = site.scratch().file("local", vec![0; 1 << 20]);
    fs::set_permissions(&image, Permissions::from_mode(0o666)).expect("let the guest write");
    guest.virsh("attach-disk", &[&image.to_string_lossy(), target, "--live"]);
}

#[test]
fn disk_refused_by_libvirt_is_disconnected() {
    let site = site();
    let guest = Guest::boot(site.scratch());
    attach_local_disk(&site, &guest, "vda");
    let before = guest.xml(&[]);

    let reply = site.attach(&guest, &site.info("one"), &["--target", "vda"]);
    assert_eq!(reply.failure(), (8, "libvirt_error"));
    assert!(reply.message().contains("vda"), "{}", reply.message());
    site.assert_nothing_is_left();
    assert_eq!(guest.xml(&[]), before);

    // It is refused for its mode, and who is to change that is told so.
    site.volume().image("closed", "raw", &[0; 1 << 20]);
    let closed = site.volume().directory().join("closed");
    fs::set_permissions(&closed, Permissions::from_mode(0o600)).expect("close an image to guests");
    chown(&closed, Some(nova()), None).expect("give nova an image");
    let reply = site.attach(&guest, &site.info("closed"), &[]);
    assert_eq!(reply.failure(), (4, "mount_not_visible"), "{}", reply.message());
    assert!(reply.hint().ends_with("chmod ugo+rw closed"), "{}", reply.hint());
    site.assert_nothing_is_left();

    // With another volume of the share attached, only the refused one goes.
    let answer = site.attach(&guest, &site.info("one"), &[]).answer();
    assert_eq!(answer["target"], json!("vdb"));
    let reply = site.attach(&guest, &site.info("two"), &["--target", "vdb"]);
    assert_eq!(reply.failure(), (8, "libvirt_error"));
    let answer = site.disconnect(guest.uuid(), &site.info("two")).answer();
    assert_eq!((&answer["changed"], &answer["reason"]), (&json!(false), &json!("attachments")));
    assert_eq!(answer["attachments"].as_array().map(Vec::len), Some(1));

    // An image has one place in a domain.
    for other in [["--target", "vdc"], ["--bus", "scsi"], ["--bus", "sata"]] {
        let reply = site.attach(&guest, &site.info("one"), &other);
        assert_eq!(reply.failure(), (7, "volume_in_use"), "{other:?}");
        assert!(reply.message().contains("as vdb on bus virtio"), "{}", reply.message());
    }
    let same = site.attach(&guest, &site.info("one"), &["--target", "vdb", "--bus", "virtio"]).answer();
    assert_eq!(same["changed"], json!(false));
}

#[test]
fn foreign_disk_is_not_detached() {
    let site = site();
    let guest = Guest::boot(site.scratch());
    attach_local_disk(&site, &guest, "vda");
    let before = guest.xml(&[]);
    for target in ["vda", "vdb"] {
        assert_eq!(site.detach(&guest, target, &[]).failure(), (8, "disk_not_found"), "{target}");
    }
    assert_eq!(guest.xml(&[]), before);
}

#[test]
fn missing_image_fails_before_libvirt_call() {
    let site = site();
    let guest = Guest::define(site.scratch());
    let before = guest.xml(&[]);
    let reply = site.attach(&guest, &site.info("three"), &[]);
    assert_eq!(reply.failure(), (6, "image_missing"));
    assert_eq!(guest.xml(&[]), before);
    site.assert_nothing_is_left();
}

#[test]
fn unknown_domain_connects_nothing() {
    const UUID: &str = "a11ce000-0000-4000-8000-000000000001";
    let site = site();
    for domain in ["unheard-of", UUID] {
        let reply = site.run_with(&site.info("one"), &["attach", domain]);
        assert_eq!(reply.failure(), (8, "domain_not_found"), "{domain}");
        let reply = site.run(&["detach", domain, "vda"]);
        assert_eq!(reply.failure(), (8, "domain_not_found"), "{domain}");
    }
    site.assert_nothing_is_left();
}

#[test]
fn unusable_libvirt_uri_connects_nothing() {
    let site = site();
    for uri in ["test:///default", "qemu+unix:///system?socket=/nonexistent", "nonsense"] {
        let reply = site.run_with(&site.info("one"), &["attach", "test", "--connect-uri", uri]);
        assert_eq!(reply.failure(), (8, "libvirt_error"), "{uri}");
    }
    site.assert_nothing_is_left();
}

#[test]
fn bus_follows_the_name_of_the_disk() {
    let site = site();
    let guest = Guest::define(site.scratch());
    let bus = |target: &str| {
        let xml = guest.xml(&["--inactive"]);
        let (_, rest) = xml.split_once(&format!("<target dev='{target}' bus='")).expect("it has the disk");
        rest.split('\'').next().map(str::to_owned)
    };
    site.attach(&guest, &site.info("one"), &["--target", "sdb"]).answer();
    assert_eq!(bus("sdb").as_deref(), Some("scsi"));
    site.attach(&guest, &site.info("two"), &["--target", "sdc", "--bus", "sata"]).answer();
    assert_eq!(bus("sdc").as_deref(), Some("sata"));
    for (target, option) in [("vdx", "scsi"), ("sdx", "virtio"), ("hdx", "sata"), ("xvdx", "virtio")] {
        let options = ["--target", target, "--bus", option];
        assert_eq!(site.attach(&guest, &site.info("one"), &options).failure().0, 7, "it is sdb");
        let described = site.run_with(&site.info("one"), &[&["disk-xml"], &options[..]].concat());
        assert_eq!(described.failure(), (3, "invalid_config"), "{options:?}");
    }
    for target in ["sdb", "sdc"] {
        site.detach(&guest, target, &[]).answer();
    }
    let options = ["--target", "sdb", "--bus", "virtio"];
    assert_eq!(site.attach(&guest, &site.info("one"), &options).failure(), (3, "invalid_config"));
    site.assert_nothing_is_left();
}

#[test]
fn image_locked_by_other_program_is_in_use() {
    let site = site();
    let guest = Guest::boot(site.scratch());
    site.connect(guest.uuid(), &site.info("one")).answer();
    // Another program of the host has it open as QEMU does.
    let image = site.mounted_image("one");
    let open = ["--format", "raw", "-c", "sigraise 19"];
    let other = Program::as_nova("qemu-io").args(open).arg(image).start();
    other.wait_until_stopped();
    let reply = site.attach(&guest, &site.info("one"), &[]);
    assert_eq!(reply.failure(), (7, "volume_in_use"), "{}", reply.message());
    assert!(reply.message().contains("/one is open elsewhere"), "{}", reply.message());
    assert!(reply.hint().contains("fuser"), "{}", reply.hint());
    assert!(!guest.xml(&[]).contains("<disk"));
    other.finish_within(Duration::ZERO);
    site.attach(&guest, &site.info("one"), &[]).answer();
    site.detach(&guest, "vda", &[]).answer();
    site.assert_nothing_is_left();
}
