//! attach and detach: images of a volume in a guest, their bytes, and what is left.

use e2e::{Guest, Site};
use serde_json::json;

const SIZE: usize = 2 << 20;
const WRITTEN: usize = 1 << 20;
const FROM_HOST: &str = "written by the host";
const FROM_GUEST: &str = "written by the guest";

/// `text` on line after line.
fn lines(text: &str, size: usize) -> Vec<u8> {
    format!("{text}\n").into_bytes().into_iter().cycle().take(size).collect()
}

/// A site with an image of each name and format, filled by the host.
fn site(images: &[(&str, &str)]) -> Site {
    let site = Site::new(&[]);
    for (name, format) in images {
        site.volume().image(name, format, &lines(FROM_HOST, SIZE));
    }
    site
}

/// Has the guest read the whole disk.
fn assert_filled_by_host(guest: &mut Guest, disk: &str) {
    guest.succeed(&format!("yes '{FROM_HOST}' | head -c {SIZE} | cmp - {disk}"));
    assert_eq!(
        guest.succeed(&format!("cat /sys/block/$(basename {disk})/size")).trim(),
        (SIZE / 512).to_string()
    );
}

/// Has the guest write to the disk's beginning, and bring it to stable storage.
fn write(guest: &mut Guest, disk: &str) -> bool {
    let command = format!("yes '{FROM_GUEST}' | head -c {WRITTEN} | dd of={disk} bs=64k conv=notrunc,fsync");
    guest.run(&command).status == 0
}

fn assert_written_by_guest(site: &Site, name: &str, format: &str) {
    let mut expected = lines(FROM_GUEST, WRITTEN);
    expected.extend_from_slice(&lines(FROM_HOST, SIZE)[WRITTEN..]);
    assert!(site.volume().contents(name, format) == expected, "{name} in the store differs");
}

/// How often the site's images are in a domain's definition.
fn images_in(site: &Site, xml: &str) -> usize {
    xml.matches(&format!("<source file='{}/", site.base().display())).count()
}

#[test]
fn running_guest_reads_and_writes_raw_and_qcow2() {
    const SERIAL: &str = "8d2b8f5e-6f0a-4d9c-9b1e-0d7f6c5b4a39";
    const VOLUME_ID: &str = "7c1b9a52-3f64-4c0b-9b59-1f2d3e4c5a61";
    let (raw, qcow2) = ("disk", format!("volume-{VOLUME_ID}"));
    let site = site(&[(raw, "raw"), (&qcow2, "qcow2")]);
    let mut raw_info = site.info(raw);
    raw_info["serial"] = json!(SERIAL);
    let mut qcow2_info = site.info(&qcow2);
    qcow2_info["data"]["format"] = json!("qcow2");
    let mut guest = Guest::boot(site.scratch());

    let first = site.attach(&guest, &raw_info, &[]).answer();
    let second = site.attach(&guest, &qcow2_info, &[]).answer();
    assert_eq!((&first["target"], &second["target"]), (&json!("vda"), &json!("vdb")));
    assert_eq!((&first["instance"], &first["domain"]), (&json!(guest.uuid()), &json!(guest.name())));
    assert_eq!(images_in(&site, &guest.xml(&[])), 2);
    assert_eq!(images_in(&site, &guest.xml(&["--inactive"])), 2);

    for (serial, name, format) in [(SERIAL, raw, "raw"), (VOLUME_ID, qcow2.as_str(), "qcow2")] {
        let disk = guest.virtio_disk(serial);
        assert_filled_by_host(&mut guest, &disk);
        assert!(write(&mut guest, &disk), "{name}");
        assert_written_by_guest(&site, name, format);
    }

    let status = site.run(&["status"]).answer();
    assert_eq!(status["guests_unknown"], json!(null), "{status}");
    for (place, attached) in [&first, &second].into_iter().enumerate() {
        let one = &status["shares"][0]["attachments"][place];
        for field in ["instance", "domain", "target", "device_path"] {
            assert_eq!(one[field], attached[field], "{one}");
        }
    }

    let again = site.attach(&guest, &raw_info, &[]).answer();
    assert_eq!((&again["changed"], &again["target"]), (&json!(false), &json!("vda")));
    assert_eq!(images_in(&site, &guest.xml(&[])), 2);

    assert_eq!(site.detach(&guest, "vda", &[]).answer()["reason"], json!("attachments"));
    assert_eq!(site.detach(&guest, "vdb", &[]).answer()["mounted"], json!(false));
    assert_eq!(guest.disks(), [""; 0]);
    assert_eq!(images_in(&site, &guest.xml(&[])), 0);
    assert_eq!(images_in(&site, &guest.xml(&["--inactive"])), 0);
    site.assert_nothing_is_left();
    assert_written_by_guest(&site, raw, "raw");
    assert_written_by_guest(&site, &qcow2, "qcow2");
}

#[test]
fn shut_off_domain_gets_disk_at_next_start() {
    const VOLUME_ID: &str = "0d3a0d5c-5b5e-4d3c-8d0e-6a1c7e2f9b10";
    let name = format!("volume-{VOLUME_ID}");
    let site = site(&[(&name, "raw")]);
    let info = site.info(&name);
    let mut guest = Guest::define(site.scratch());

    site.attach(&guest, &info, &[]).answer();
    assert_eq!(images_in(&site, &guest.xml(&["--inactive"])), 1);
    assert_eq!(site.mount_directories().len(), 1);
    guest.start();
    let disk = guest.virtio_disk(VOLUME_ID);
    assert_filled_by_host(&mut guest, &disk);
    guest.destroy();

    assert_eq!(site.detach(&guest, "vda", &[]).answer()["mounted"], json!(false));
    assert_eq!(images_in(&site, &guest.xml(&["--inactive"])), 0);
    site.assert_nothing_is_left();
}

#[test]
fn read_only_volume_rejects_guest_writes() {
    const VOLUME_ID: &str = "0d3a0d5c-5b5e-4d3c-8d0e-6a1c7e2f9b11";
    let name = format!("volume-{VOLUME_ID}");
    let site = site(&[(&name, "raw")]);
    let mut info = site.info(&name);
    info["data"]["access_mode"] = json!("ro");
    let mut guest = Guest::boot(site.scratch());

    site.attach(&guest, &info, &[]).answer();
    let disk = guest.virtio_disk(VOLUME_ID);
    assert!(!write(&mut guest, &disk));
    assert_filled_by_host(&mut guest, &disk);
    assert!(site.volume().contents(&name, "raw") == lines(FROM_HOST, SIZE));
    site.detach(&guest, "vda", &[]).answer();
    site.assert_nothing_is_left();
}

#[test]
fn scsi_disk_shows_full_serial_and_detaches() {
    const SERIAL: &str = "0d3a0d5c-5b5e-4d3c-8d0e-6a1c7e2f9b12";
    let site = site(&[("disk", "raw")]);
    let mut info = site.info("disk");
    info["serial"] = json!(SERIAL);
    let mut guest = Guest::boot(site.scratch());

    let answer = site.attach(&guest, &info, &["--bus", "scsi"]).answer();
    assert_eq!(answer["target"], json!("sda"));
    guest.succeed("until head -c 1 /dev/sda >/dev/null 2>&1; do usleep 1000; done");
    // The page's header has four bytes.
    assert_eq!(guest.succeed("tail -c +5 /sys/block/sda/device/vpd_pg80"), SERIAL);
    assert_filled_by_host(&mut guest, "/dev/sda");
    assert!(write(&mut guest, "/dev/sda"));
    assert_written_by_guest(&site, "disk", "raw");
    site.detach(&guest, "sda", &[]).answer();
    // QEMU takes a SCSI disk out without asking the guest, which sees it a moment later.
    guest.succeed("while [ -e /sys/block/sda ]; do usleep 1000; done");
    assert_eq!(guest.disks(), [""; 0]);
    site.assert_nothing_is_left();
}

#[test]
fn detach_keeps_disk_of_other_guest_on_share() {
    const VOLUME_ID: &str = "0d3a0d5c-5b5e-4d3c-8d0e-6a1c7e2f9b13";
    let name = format!("volume-{VOLUME_ID}");
    let site = site(&[(&name, "raw"), ("disk", "raw")]);
    let mut staying = Guest::boot(site.scratch());
    let detached_guest = Guest::boot(site.scratch());
    let mount = site.attach(&staying, &site.info(&name), &[]).answer()["mount_path"].take();
    site.attach(&detached_guest, &site.info("disk"), &[]).answer();

    let answer = site.detach(&detached_guest, "vda", &[]).answer();
    assert_eq!(
        (&answer["mounted"], &answer["reason"], &answer["mount_path"]),
        (&json!(true), &json!("attachments"), &mount)
    );
    assert_eq!(answer["attachments"][0]["instance"], json!(staying.uuid()));
    let disk = staying.virtio_disk(VOLUME_ID);
    assert_filled_by_host(&mut staying, &disk);
    assert!(write(&mut staying, &disk));
    assert_written_by_guest(&site, &name, "raw");
    site.detach(&staying, "vda", &[]).answer();
    site.assert_nothing_is_left();
}
