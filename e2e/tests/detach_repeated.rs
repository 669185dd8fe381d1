//! A detach that fails half-way, repeated: it is finished, and nothing is left of it.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;

use e2e::{DiskXml, Guest, Program, Reply, Site, faults::BOB};

const GONE: (i32, &str) = (8, "disk_not_found");

fn site() -> Site {
    Site::with_images(&[("one", "raw"), ("two", "raw")])
}

/// Detaches `vda`, which was out, and makes sure that nothing is left to detach then.
fn assert_finished(site: &Site, guest: &Guest) {
    let answer = site.detach(guest, "vda", &[]).answer();
    assert_eq!((answer["target"].as_str(), answer["mounted"].as_bool()), (Some("vda"), Some(false)));
    site.assert_nothing_is_left();
    assert_eq!(site.detach(guest, "vda", &[]).failure(), GONE);
}

/// Has a guest that runs release `vda` only after a detach was given up.
fn detach_too_late(site: &Site, guest: &Guest) {
    guest.virsh("suspend", &[]);
    let reply = site.detach(guest, "vda", &["--timeout", "6"]);
    assert_eq!(reply.failure(), (7, "volume_in_use"), "{}", reply.message());
    guest.virsh("resume", &[]);
    guest.wait_until_released("vda");
}

/// The lock file of the only share.
fn share_lock(site: &Site) -> File {
    let locks = fs::read_dir(site.state().join("locks")).expect("list locks");
    let mut locks = locks.map(|lock| lock.expect("list locks").path());
    let lock = locks.find(|lock| lock.extension().is_some_and(|kind| kind == "lock"));
    File::open(lock.expect("a share's lock")).expect("open a lock")
}

#[test]
fn timed_out_detach_of_transient_guest_is_finished() {
    let site = site();
    let guest = Guest::boot(site.scratch());
    guest.make_transient();
    site.attach(&guest, &site.info("one"), &[]).answer();
    detach_too_late(&site, &guest);
    assert_finished(&site, &guest);
}

#[test]
fn timed_out_detach_of_transient_guest_is_reconciled() {
    let site = site();
    let guest = Guest::boot(site.scratch());
    guest.make_transient();
    site.attach(&guest, &site.info("one"), &[]).answer();
    detach_too_late(&site, &guest);
    assert_eq!(site.reconcile().mended_codes(), ["released", "taken_down"]);
    site.assert_nothing_is_left();
    assert_eq!(site.detach(&guest, "vda", &[]).failure(), GONE);
}

#[test]
fn half_detached_image_goes_to_another_guest() {
    let site = site();
    let guest = Guest::boot(site.scratch());
    guest.make_transient();
    site.attach(&guest, &site.info("one"), &[]).answer();
    detach_too_late(&site, &guest);
    let other = Guest::define(site.scratch());
    site.attach(&other, &site.info("one"), &[]).answer();
    assert_eq!(site.attachments(), [(other.uuid().to_owned(), "one".to_owned())]);
    site.detach(&other, "vda", &[]).answer();
    site.assert_nothing_is_left();
}

#[test]
fn repeated_detach_spares_other_disk_of_next_start() {
    let site = site();
    let guest = Guest::boot(site.scratch());
    site.attach(&guest, &site.info("one"), &[]).answer();
    guest.virsh("detach-disk", &["vda", "--config"]);
    let local = site.scratch().file("local", vec![0; 1 << 20]);
    guest.virsh_attach(site.scratch(), &DiskXml::file(&local, "raw", "vda"), &["--config"]);
    detach_too_late(&site, &guest);
    site.detach(&guest, "vda", &[]).answer();
    site.assert_nothing_is_left();
    assert!(guest.xml(&["--inactive"]).contains(&format!("<source file='{}'", local.display())));
}

#[test]
fn detach_on_held_share_is_finished() {
    let site = site();
    for is_running in [false, true] {
        let guest = if is_running { Guest::boot(site.scratch()) } else { Guest::define(site.scratch()) };
        site.attach(&guest, &site.info("one"), &[]).answer();
        let share = share_lock(&site);
        share.lock().expect("hold a share");
        let reply = site.detach(&guest, "vda", &["--lock-timeout", "1"]);
        assert_eq!(reply.failure(), (5, "lock_timeout"));
        assert!(guest.xml(&[]).contains("'vda'"), "the disk was taken out before that was on record");
        drop(share);
        assert_finished(&site, &guest);
    }
}

#[test]
fn detach_without_room_for_record_is_finished() {
    let site = site();
    let guest = Guest::define(site.scratch());
    // So that the record is longer than what may be written.
    for number in 0..20 {
        let image = format!("image-{number}");
        site.volume().image(&image, "raw", &[0; 4096]);
        site.connect(BOB, &site.info(&image)).answer();
    }
    site.attach(&guest, &site.info("one"), &[]).answer();
    let limited = site.with_options(Program::as_nova("prlimit").args(["--fsize=4096", "nova-quobyte"]));
    let reply = Reply::of(limited.args(["detach", guest.name(), "vda"]));
    assert_eq!(reply.failure(), (10, "host_exhausted"), "{}", reply.message());
    let answer = site.detach(&guest, "vda", &[]).answer();
    assert_eq!(answer["changed"].as_bool(), Some(true));
    assert_eq!(site.attachments_of(guest.uuid()).len(), 0);
    assert!(!guest.xml(&[]).contains("'vda'"));
    assert_eq!(site.detach(&guest, "vda", &[]).failure(), GONE);
}

#[test]
fn detach_with_failed_unmount_is_finished() {
    let site = site();
    let guest = Guest::define(site.scratch());
    site.attach(&guest, &site.info("one"), &[]).answer();
    let broken = site.scratch().directory("broken");
    let unmount = site.scratch().file("broken/fusermount3", "#!/bin/sh\nexit 1\n");
    fs::set_permissions(unmount, Permissions::from_mode(0o755)).expect("make a script executable");
    let path = format!("{}:{}", broken.display(), std::env::var("PATH").expect("the lab has a PATH"));
    let detach = site.command(&["detach", guest.name(), "vda"]).env("PATH", path);
    assert_eq!(Reply::of(detach).failure(), (4, "unmount_failed"));
    assert!(!guest.xml(&[]).contains("'vda'"));
    assert_finished(&site, &guest);
}

#[test]
fn attach_ends_half_done_detach() {
    let site = site();
    let guest = Guest::boot(site.scratch());
    guest.make_transient();
    site.attach(&guest, &site.info("one"), &[]).answer();
    detach_too_late(&site, &guest);
    // Under another name: the one that the detach was of is no disk any more.
    site.attach(&guest, &site.info("one"), &["--target", "vdb"]).answer();
    assert_eq!(site.detach(&guest, "vda", &[]).failure(), GONE);
    assert_eq!(site.attachments_of(guest.uuid()).len(), 1);
    site.detach(&guest, "vdb", &[]).answer();
    site.assert_nothing_is_left();
}
