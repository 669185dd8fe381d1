//! What a guest has flushed is in its image when its host dies, whatever the policy.

use std::collections::BTreeMap;

use e2e::{Daemon, Guest, Program, Site};
use serde_json::json;

const FLUSHED: usize = 256 << 10;
const SIZE: usize = 2 << 20;

/// Every cache and I/O mode there can be. QEMU takes `threads` where it is told of none.
const POLICIES: [[&str; 2]; 10] = [
    ["none", "native"],
    ["none", "threads"],
    ["none", "io_uring"],
    ["directsync", "native"],
    ["directsync", "threads"],
    ["directsync", "io_uring"],
    ["writeback", "threads"],
    ["writeback", "io_uring"],
    ["writethrough", "threads"],
    ["writethrough", "io_uring"],
];

/// A new image that a guest has as a disk.
struct Disk {
    serial: String,
    format: &'static str,
    policy: [&'static str; 2],
}

impl Disk {
    /// Attaches the `number`-th. None where the host's QEMU has no io_uring.
    fn attach(
        site: &Site,
        guest: &Guest,
        number: usize,
        format: &'static str,
        policy: [&'static str; 2],
    ) -> Option<Self> {
        let disk = Self { serial: format!("0d3a0d5c-5b5e-4d3c-8d0e-6a1c7e2f9b{number:02x}"), format, policy };
        site.volume().image(&disk.image(), format, &[0; SIZE]);
        // A kernel that collects writes also sets the times of a file, as only its owner may.
        let path = site.volume().directory().join(disk.image());
        Program::as_root("chown").arg("nova").arg(path).succeed();
        let mut info = site.info(&disk.image());
        info["data"]["format"] = json!(format);
        let [cache, io] = policy;
        let reply = site.attach(guest, &info, &["--bus", "scsi", "--cache-mode", cache, "--io-mode", io]);
        if io == "io_uring" && !reply.is_success() {
            assert_eq!(reply.failure(), (3, "invalid_config"), "{}", reply.message());
            return None;
        }
        let answer = reply.answer();
        assert_eq!((&answer["cache"], &answer["io"]), (&json!(cache), &json!(io)));
        Some(disk)
    }

    fn image(&self) -> String {
        format!("volume-{}", self.serial)
    }

    /// What the guest writes to it and flushes, over and over.
    fn line(&self) -> String {
        format!("{} {}", self.format, self.policy.join(" "))
    }
}

/// The guest's device for each serial number, once it can read all of so many SCSI disks.
fn devices(guest: &mut Guest, count: usize) -> BTreeMap<String, String> {
    // The page with the serial number begins with four bytes that are no text.
    let list = guest.succeed(&format!(
        "until [ $(ls -d /sys/block/sd* | wc -l) = {count} ]; do usleep 1000; done 2>/dev/null; \
         for disk in /sys/block/sd*; do device=/dev/${{disk##*/}}; \
         until head -c 1 $device >/dev/null 2>&1; do usleep 1000; done; \
         echo $(tail -c +5 $disk/device/vpd_pg80) $device; done"
    ));
    let pairs = list.lines().filter_map(|line| line.split_once(' '));
    pairs.map(|(serial, device)| (serial.to_owned(), device.to_owned())).collect()
}

#[test]
fn flushed_data_survives_client_and_qemu_crash() {
    // Where the host's kernel collects what is written, only a flush brings it to the volume.
    let site = Site::new(&["standin.writeback_cache=on"]);
    let mut guest = Guest::boot(site.scratch());
    let kinds = POLICIES.into_iter().flat_map(|policy| [("raw", policy), ("qcow2", policy)]);
    let disks: Vec<_> = kinds
        .enumerate()
        .filter_map(|(number, (format, policy))| Disk::attach(&site, &guest, number, format, policy))
        .collect();
    let devices = devices(&mut guest, disks.len());

    // While one disk after the other is flushed, more is written behind that, and never flushed.
    let all = devices.values().cloned().collect::<Vec<_>>().join(" ");
    guest.succeed(&format!(
        "(while :; do for disk in {all}; do dd if=/dev/zero of=$disk bs=64k seek=16 count=1 conv=notrunc oflag=direct; \
         done; touch /run/writing; done) >/dev/null 2>&1 & \
         until [ -e /run/writing ]; do usleep 1000; done"
    ));
    for disk in &disks {
        let (line, device) = (disk.line(), &devices[&disk.serial]);
        guest
            .succeed(&format!("yes '{line}' | head -c {FLUSHED} | dd of={device} bs=64k conv=notrunc,fsync"));
    }
    let qemu = Daemon::of(format!("/run/libvirt/qemu/{}.pid", guest.name()).as_ref());
    // The client first: the end of QEMU alone would have the kernel hand over all that it has collected.
    site.crash_clients();
    qemu.crash();

    for disk in &disks {
        let contents = site.volume().contents(&disk.image(), disk.format);
        let line = format!("{}\n", disk.line()).into_bytes();
        let is_there = contents[..FLUSHED].iter().eq(line.iter().cycle().take(FLUSHED));
        assert!(is_there, "{} differs", disk.line());
    }
}
