//! A connect that fails late takes nothing away that somebody has begun to use meanwhile.

use std::{path::PathBuf, thread, time::Duration};

use e2e::{DiskXml, Guest, Running, Site, mount_at, wait_until_mounted};
use serde_json::{Value, json};

/// Guests that need not exist.
const ALICE: &str = "a11ce000-0000-4000-8000-000000000001";
const BOB: &str = "b0b00000-0000-4000-8000-000000000002";
/// So many files are looked at, one after the other, before one is found to be missing.
const LAYERS: usize = 60;

/// A site with a slow client, an image that a guest is to have, and a chain whose last file is missing. Where its share
/// will be mounted.
fn site() -> (Site, PathBuf) {
    let site = Site::new(&["standin.latency_us=10000"]);
    site.volume().image("disk", "raw", &[0; 1 << 20]);
    site.volume().image("layer-0", "raw", &[0; 1 << 20]);
    for layer in 1..=LAYERS {
        let below = (layer - 1, if layer == 1 { "raw" } else { "qcow2" });
        site.volume().overlay(&format!("layer-{layer}"), (&format!("layer-{}", below.0), below.1));
    }
    site.volume().remove("layer-0");
    let answer = site.connect(ALICE, &site.info("disk")).answer();
    site.disconnect(ALICE, &site.info("disk")).answer();
    site.assert_nothing_is_left();
    let mount_path = PathBuf::from(answer["mount_path"].as_str().expect("a path"));
    (site, mount_path)
}

/// Begins to connect the chain for bob, and waits until the share is mounted.
fn begin(site: &Site, mount_path: &std::path::Path) -> Running {
    let info = site.info_of(&format!("layer-{LAYERS}"), "qcow2");
    let connect =
        site.command(&["connect", "--instance", BOB, "--connection-info", "-", "--probe-timeout", "100"]);
    let connect = connect.input(info.to_string()).within(Duration::from_secs(120)).start();
    wait_until_mounted(mount_path);
    connect
}

/// Makes sure that the connect failed for the missing file, and left the share as it was.
fn assert_failed_and_kept(connect: Running, mount_path: &std::path::Path, device: &str) {
    let finished = connect.finish();
    let answer: Value = serde_json::from_str(&finished.stdout).expect("it answers");
    assert_eq!(answer["error"]["code"], json!("image_missing"), "{answer}");
    let mount = mount_at(mount_path).unwrap_or_else(|| panic!("unmounted below a guest: {answer}"));
    assert_eq!(mount.device, device, "mounted anew");
}

#[test]
fn failed_connect_keeps_share_of_new_guest() {
    let (site, mount_path) = site();
    let mut guest = Guest::define(site.scratch());
    let disk = DiskXml::file(&mount_path.join("disk"), "raw", "vda");
    guest.virsh_attach(site.scratch(), &disk, &["--config"]);
    let connect = begin(&site, &mount_path);
    let device = mount_at(&mount_path).expect("it is mounted").device;
    guest.launch();
    assert!(connect.is_running(), "the guest was started after the connect had failed");
    assert_failed_and_kept(connect, &mount_path, &device);
    guest.wait_until_ready();
    guest.write_text("vda", "mine");
    assert_eq!(guest.read_text("vda", 4), "mine");

    // The record is there for what comes next.
    let reconciled = site.reconcile();
    assert_eq!(reconciled.of_kind("adopted").len(), 1, "{reconciled:?}");
    assert_eq!(site.attachment_of(&guest)["disk"], json!("ok"));
    assert_eq!(site.detach(&guest, "vda", &[]).answer()["mounted"], json!(false));
    site.assert_nothing_is_left();
}

#[test]
fn failed_connect_keeps_open_files_served() {
    let (site, mount_path) = site();
    let connect = begin(&site, &mount_path);
    let device = mount_at(&mount_path).expect("it is mounted").device;
    let file = std::fs::File::open(mount_path.join("disk")).expect("open an image");
    assert!(connect.is_running(), "the file was opened after the connect had failed");
    assert_failed_and_kept(connect, &mount_path, &device);
    let read = thread::spawn(move || std::os::unix::fs::FileExt::read_exact_at(&file, &mut [0], 0));
    read.join().expect("it reads").expect("the file is served");
    // Closed, it is nobody's.
    let reconciled = site.reconcile();
    assert_eq!(reconciled.mended_codes(), ["taken_down"], "{reconciled:?}");
    site.assert_nothing_is_left();
}

#[test]
fn failed_connect_of_unused_share_leaves_nothing() {
    let (site, mount_path) = site();
    let connect = begin(&site, &mount_path);
    let finished = connect.finish();
    assert_eq!(finished.status.code(), Some(6), "{finished:?}");
    site.assert_nothing_is_left();
}
