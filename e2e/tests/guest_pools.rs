//! Disks that name no file of the share: volumes of a storage pool, and local images on top of one of the share's.
//!
//! No other test runs meanwhile: a pool that is stopped may hide any share's images.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use e2e::{
    DiskXml, Guest, Pool, Program,
    faults::{ALICE, Share},
    mount_at,
};
use serde_json::{Value, json};

fn disconnect(share: &Share) -> Value {
    share.site().disconnect(ALICE, &share.site().info("one")).answer()
}

/// Disconnects the only attachment; the mount has to stay, for that domain.
fn assert_kept_for(share: &Share, guest: &Guest, when: &str) {
    let answer = disconnect(share);
    assert_eq!((&answer["mounted"], &answer["reason"]), (&json!(true), &json!("guests")), "{when}: {answer}");
    assert_eq!(answer["guests"][0]["domain"], guest.name(), "{when}");
}

fn assert_taken_down(share: &Share) {
    let answer = disconnect(share);
    assert_eq!(answer["mounted"], json!(false), "{answer}");
    share.site().assert_nothing_is_left();
}

/// A pool of the share's images, and a shut-off domain with one of them.
fn pool_guest(share: &Share) -> (Pool, Guest) {
    let scratch = share.site().scratch();
    let pool = Pool::start(scratch, share.mount_path());
    let guest = Guest::define(scratch);
    guest.virsh_attach(scratch, &DiskXml::volume(pool.name(), "two", "vda"), &["--config"]);
    (pool, guest)
}

#[test]
fn pool_volume_keeps_share_mounted() {
    let share = Share::connected();
    share.site().volume().image("two", "raw", &[0; 1 << 20]);
    let (pool, mut guest) = pool_guest(&share);
    assert_kept_for(&share, &guest, "shut off");
    guest.start_paused();
    assert_kept_for(&share, &guest, "running");
    guest.save();
    assert_kept_for(&share, &guest, "saved");
    guest.virsh("managedsave-remove", &[]);
    guest.virsh("detach-disk", &["vda", "--config"]);
    drop(pool);
    assert_taken_down(&share);
}

#[test]
fn volume_of_stopped_pool_keeps_share_mounted() {
    let share = Share::connected();
    let (pool, guest) = pool_guest(&share);
    pool.stop();
    let answer = disconnect(&share);
    assert_eq!(answer["mounted"], json!(true), "{answer}");
    assert!(matches!(answer["reason"].as_str(), Some("guests" | "unknown")), "{answer}");
    assert!(answer.to_string().contains(guest.name()), "{answer}");
    assert!(mount_at(share.mount_path()).is_some());
    // Nor may its undefinition let go of what the domain still names.
    drop(pool);
    let answer = disconnect(&share);
    assert_eq!(answer["mounted"], json!(true), "{answer}");
    guest.virsh("detach-disk", &["vda", "--config"]);
    assert_taken_down(&share);
}

#[test]
fn pool_volume_is_given_to_nobody_else() {
    let share = Share::connected();
    let site = share.site();
    site.volume().image("two", "raw", &[0; 1 << 20]);
    let (pool, mut guest) = pool_guest(&share);
    let other = Guest::define(site.scratch());
    site.attach(&other, &site.info("two"), &[]).assert_held_by(&guest);
    guest.start_paused();
    site.attach(&other, &site.info("two"), &[]).assert_held_by(&guest);
    let reconciled = site.reconcile();
    let told = json!([reconciled.mended, reconciled.left]).to_string();
    assert!(told.contains(guest.uuid()) || told.contains(guest.name()), "adopted or told: {told}");
    guest.destroy();
    guest.virsh("detach-disk", &["vda", "--config"]);
    drop(pool);
    site.run(&["reconcile"]).answer();
    disconnect(&share);
}

/// A local image on top of one of the share's, open to guests.
fn local_overlay(share: &Share) -> PathBuf {
    let overlay = share.file("local");
    let base = share.mount_path().join("two");
    create_overlay(&overlay, &base);
    overlay
}

fn create_overlay(overlay: &Path, base: &Path) {
    Program::as_root("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"])
        .args([base, overlay])
        .succeed();
    fs::set_permissions(overlay, Permissions::from_mode(0o666)).expect("open an image to guests");
}

#[test]
fn local_overlay_keeps_share_mounted() {
    let share = Share::connected();
    let scratch = share.site().scratch();
    share.site().volume().image("two", "raw", &[0; 1 << 20]);
    let overlay = local_overlay(&share);
    let plain = DiskXml::file(&overlay, "qcow2", "vda");
    let described = plain.clone().on(&share.mount_path().join("two"));
    for (disk, when) in [(described, "described"), (plain, "not described")] {
        let mut guest = Guest::define(scratch);
        guest.virsh_attach(scratch, &disk, &["--config"]);
        assert_kept_for(&share, &guest, when);
        guest.start_paused();
        assert_kept_for(&share, &guest, when);
        // Another guest may have the base for its own overlay, and nobody the base itself.
        let other = Guest::define(scratch);
        share.site().attach(&other, &share.site().info("two"), &[]).assert_held_by(&guest);
        guest.destroy();
        assert_kept_for(&share, &guest, when);
        guest.virsh("detach-disk", &["vda", "--config"]);
    }
    assert_taken_down(&share);
}

#[test]
fn local_chain_below_overlay_keeps_share_mounted() {
    let share = Share::connected();
    let scratch = share.site().scratch();
    share.site().volume().image("two", "raw", &[0; 1 << 20]);
    let middle = local_overlay(&share);
    let top = share.file("top");
    Program::as_root("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"])
        .args([&middle, &top])
        .succeed();
    let guest = Guest::define(scratch);
    guest.virsh_attach(scratch, &DiskXml::file(&top, "qcow2", "vda"), &["--config"]);
    assert_kept_for(&share, &guest, "two local files above it");
    guest.virsh("detach-disk", &["vda", "--config"]);
    assert_taken_down(&share);
}

#[test]
fn missing_local_overlay_blocks_no_call() {
    let share = Share::connected();
    let site = share.site();
    let guest = Guest::define(site.scratch());
    guest.virsh_attach(site.scratch(), &DiskXml::file(&share.file("nowhere"), "qcow2", "vda"), &["--config"]);
    // A file that makes its reader wait is not waited for.
    e2e::make_pipe(&share.file("pipe"));
    let second = Guest::define(site.scratch());
    let pipe = DiskXml::file(&share.file("pipe"), "qcow2", "vda");
    second.virsh_attach(site.scratch(), &pipe, &["--config"]);
    for arguments in [&["status"][..], &["reconcile"]] {
        site.run(arguments).answer();
    }
    disconnect(&share);
    guest.virsh("detach-disk", &["vda", "--config"]);
    second.virsh("detach-disk", &["vda", "--config"]);
    site.run(&["reconcile"]).answer();
    assert_taken_down(&share);
}
