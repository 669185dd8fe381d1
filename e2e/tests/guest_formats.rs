//! A file keeps the format that it is on record with, whatever a guest writes into it: no QEMU is ever made to read a
//! file of the host that a guest has named.

use std::fs;

use e2e::{Canary, Guest, Reply, Site};
use image_corpus::{Content, Qcow2, Specimen, Verdict, extension};
use serde_json::{Value, json};

/// Guests that need not exist.
const ALICE: &str = "a11ce000-0000-4000-8000-000000000001";
const BOB: &str = "b0b00000-0000-4000-8000-000000000002";
/// A volume, and what Cinder calls its snapshot.
const VOLUME: &str = "volume-0d3a0d5c-5b5e-4d3c-8d0e-6a1c7e2f9b10";
const SNAPSHOT: &str = "volume-0d3a0d5c-5b5e-4d3c-8d0e-6a1c7e2f9b10.9a8b7c6d-1111-4222-8333-0123456789ab";

/// Puts what a guest will write to its disk on another disk.
fn place_payload(site: &Site, header: impl Into<Content>) {
    let files = vec![("payload.qcow2".to_owned(), header.into())];
    let specimen =
        Specimen { name: "payload", format: "raw", files, verdict: Verdict::Accepted { layers: 1 } };
    let path = specimen.place(site.scratch().path()).expect("write a file");
    site.volume().image("payload", "raw", &fs::read(path).expect("read it"));
}

/// A site with a raw volume into which the guest that has it, still running, has written `header` by its disk.
fn written_by_guest(header: impl Into<Content>) -> (Site, Guest) {
    let site = Site::new(&[]);
    place_payload(&site, header);
    site.volume().image(VOLUME, "raw", &[0; 4 << 20]);
    let mut guest = Guest::boot(site.scratch());
    site.attach(&guest, &site.info(VOLUME), &[]).answer();
    site.attach(&guest, &site.info("payload"), &[]).answer();
    guest.wait_for_disk("vda");
    guest.wait_for_disk("vdb");
    guest.succeed("dd if=/dev/vdb of=/dev/vda bs=64k conv=notrunc,fsync 2>/dev/null");
    assert!(fs::read(site.volume().directory().join(VOLUME)).expect("read it").starts_with(b"QFI\xfb"));
    (site, guest)
}

/// The same once the guest has been shut off and its disks detached: nothing is on record of the volume.
fn left_by_guest(header: impl Into<Content>) -> Site {
    let (site, mut guest) = written_by_guest(header);
    guest.destroy();
    for target in ["vda", "vdb"] {
        site.detach(&guest, target, &[]).answer();
    }
    site.assert_nothing_is_left();
    site
}

/// Headers that name the lab's canary: as the file that the data is in, and as what lies below.
fn of_canary(canary: &Canary) -> [Qcow2; 2] {
    let target = canary.path().as_os_str().as_encoded_bytes();
    [Qcow2::v3().feature(2).extension(extension::DATA_FILE, target), Qcow2::v3().on(target, "raw")]
}

fn assert_mismatch(reply: &Reply) {
    assert_eq!(reply.failure(), (6, "format_mismatch"), "{}", reply.message());
}

fn format_on_record(site: &Site, guest: &Guest) -> Value {
    let attachments = site.attachments_of(guest.uuid());
    let volume = attachments.iter().find(|one| one["name"] == VOLUME);
    volume.unwrap_or_else(|| panic!("{attachments:?}"))["format"].clone()
}

/// Makes sure that whoever asks for the guest's volume as qcow2 is refused.
fn assert_refused_as_qcow2(site: &Site, guest: &Guest, is_image_fine: bool) {
    let qcow2 = site.info_of(VOLUME, "qcow2");
    let other = Guest::define(site.scratch());
    for reply in [
        site.connect(guest.uuid(), &qcow2),
        site.attach(guest, &qcow2, &[]),
        site.connect(other.uuid(), &qcow2),
        site.attach(&other, &qcow2, &[]),
    ] {
        if is_image_fine {
            assert_mismatch(&reply);
        } else {
            assert_eq!(reply.failure().0, 6, "{}", reply.message());
        }
    }
    assert!(!other.xml(&[]).contains("<disk"));
    assert_eq!(format_on_record(site, guest), json!("raw"));
}

#[test]
fn guest_header_never_changes_format_on_record() {
    let canary = Canary::of_the_lab();
    let [data_file, backing_file] = of_canary(&canary);
    for (header, is_image_fine) in [(Qcow2::v3(), true), (data_file, false), (backing_file, false)] {
        let (site, mut guest) = written_by_guest(header);
        assert_refused_as_qcow2(&site, &guest, is_image_fine);
        guest.destroy();
        assert_refused_as_qcow2(&site, &guest, is_image_fine);
        for target in ["vda", "vdb"] {
            site.detach(&guest, target, &[]).answer();
        }
        site.assert_nothing_is_left();
        assert!(canary.is_untouched());
    }
}

#[test]
fn guest_header_that_names_canary_opens_nothing() {
    let canary = Canary::of_the_lab();
    for header in of_canary(&canary) {
        let site = left_by_guest(header);
        let next = Guest::define(site.scratch());
        let reply = site.attach(&next, &site.info_of(VOLUME, "qcow2"), &[]);
        assert_eq!(reply.failure(), (6, "image_rejected"), "{}", reply.message());
        // As what it is on record with, it is attached, and QEMU reads the header as the data that it is.
        let mut next = Guest::define(site.scratch());
        site.attach(&next, &site.info(VOLUME), &[]).answer();
        next.start_paused();
        next.destroy();
        site.detach(&next, "vda", &[]).answer();
        site.assert_nothing_is_left();
        assert!(canary.is_untouched());
    }
}

#[test]
fn overlay_on_guest_header_opens_nothing() {
    let canary = Canary::of_the_lab();
    for header in of_canary(&canary) {
        let site = left_by_guest(header);
        // An overlay that takes the guest's bytes for qcow2.
        let files = vec![(SNAPSHOT.to_owned(), Qcow2::v3().on(VOLUME, "qcow2").into())];
        let specimen =
            Specimen { name: "snapshot", format: "qcow2", files, verdict: Verdict::Accepted { layers: 1 } };
        specimen.place(site.volume().directory()).expect("write a file");
        let next = Guest::define(site.scratch());
        let reply = site.attach(&next, &site.info_of(SNAPSHOT, "qcow2"), &[]);
        assert_eq!(reply.failure().0, 6, "{}", reply.message());
        assert!(!next.xml(&[]).contains("<disk"));
        assert!(canary.is_untouched());
    }
}

#[test]
fn image_on_record_as_qcow2_is_never_attached_raw() {
    let canary = Canary::of_the_lab();
    let site = Site::with_images(&[(VOLUME, "qcow2")]);
    let first = Guest::define(site.scratch());
    site.attach(&first, &site.info_of(VOLUME, "qcow2"), &[]).answer();
    // With another id, by a guest that would write a header for the first.
    let mut raw = site.info(VOLUME);
    raw["serial"] = json!("7c1b9a52-3f64-4c0b-9b59-1f2d3e4c5a62");
    let second = Guest::define(site.scratch());
    for reply in [site.connect(second.uuid(), &raw), site.attach(&second, &raw, &[])] {
        let failure = reply.failure();
        assert!(
            matches!(failure, (6, "format_mismatch") | (7, "volume_in_use")),
            "{failure:?} {}",
            reply.message()
        );
    }
    assert!(!second.xml(&[]).contains("<disk"));
    site.detach(&first, "vda", &[]).answer();
    site.assert_nothing_is_left();
    assert!(canary.is_untouched());
}

#[test]
fn attach_in_another_format_is_refused() {
    let site = Site::with_images(&[(VOLUME, "qcow2")]);
    let guest = Guest::define(site.scratch());
    site.attach(&guest, &site.info_of(VOLUME, "qcow2"), &[]).answer();
    let before = (guest.xml(&[]), site.attachment_of(&guest));
    let image = ["--export", site.volume().export(), "--name", VOLUME, "--format", "raw"];
    assert_mismatch(&site.run(&[&["attach", guest.name()], &image[..]].concat()));
    assert_mismatch(&site.attach(&guest, &site.info(VOLUME), &[]));
    assert_mismatch(&site.connect(guest.uuid(), &site.info(VOLUME)));
    assert_eq!((guest.xml(&[]), site.attachment_of(&guest)), before);
    site.detach(&guest, "vda", &[]).answer();
    site.assert_nothing_is_left();
}

#[test]
fn volume_formats_raw_refuses_guest_made_qcow2() {
    let site = left_by_guest(Qcow2::v3());
    let config = site.scratch().file("raw.conf", "[quobyte]\nvolume_formats = raw\n");
    let config = config.to_string_lossy();
    let connect = ["connect", "--instance", ALICE];
    let qcow2 = site.info_of(VOLUME, "qcow2");
    for option in [["--volume-formats", "raw"], ["--config", &*config]] {
        let reply = site.run_with(&qcow2, &[&connect[..], &option].concat());
        assert_eq!(reply.failure(), (3, "unsupported_format"), "{}", reply.message());
        site.assert_nothing_is_left();
    }
    // Nor may a chain take it for qcow2.
    let files = vec![(SNAPSHOT.to_owned(), Qcow2::v3().on(VOLUME, "qcow2").into())];
    let specimen =
        Specimen { name: "snapshot", format: "qcow2", files, verdict: Verdict::Accepted { layers: 1 } };
    specimen.place(site.volume().directory()).expect("write a file");
    let snapshot = site.info_of(SNAPSHOT, "qcow2");
    let raw_only = [&connect[..], &["--volume-formats", "raw"]].concat();
    let reply = site.run_with(&snapshot, &raw_only);
    assert_eq!(reply.failure(), (3, "unsupported_format"), "{}", reply.message());
    site.assert_nothing_is_left();
}

#[test]
fn volume_formats_raw_serves_raw_and_snapshots() {
    let site = Site::with_images(&[(VOLUME, "raw"), ("qcow2", "qcow2")]);
    site.volume().overlay(SNAPSHOT, (VOLUME, "raw"));
    let run = |instance, info: &Value, formats| {
        site.run_with(info, &["connect", "--instance", instance, "--volume-formats", formats])
    };
    let (raw, snapshot) = (site.info(VOLUME), site.info_of(SNAPSHOT, "qcow2"));
    for info in [&raw, &snapshot] {
        run(ALICE, info, "raw").answer();
        site.disconnect(ALICE, info).answer();
        site.assert_nothing_is_left();
    }
    let qcow2 = site.info_of("qcow2", "qcow2");
    assert_eq!(run(BOB, &qcow2, "raw").failure(), (3, "unsupported_format"));
    for formats in ["raw,qcow2", "qcow2"] {
        run(BOB, &qcow2, formats).answer();
        site.disconnect(BOB, &qcow2).answer();
    }
    assert_eq!(run(BOB, &raw, "qcow2").failure(), (3, "unsupported_format"));
    site.assert_nothing_is_left();
}
