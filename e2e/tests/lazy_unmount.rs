//! Somebody unmounts a share lazily under a guest. The old client serves what is open on it until that is closed,
//! whatever is called meanwhile.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
};

use e2e::{
    Daemon, Program,
    faults::{ALICE, BOB, Share},
    make_pipe, mount_at,
};
use serde_json::json;

/// A share that was unmounted while alice's guest had its image open.
struct LazilyUnmounted {
    share: Share,
    image: File,
    written: u8,
}

impl LazilyUnmounted {
    fn new() -> Self {
        let share = Share::connected();
        let image = File::options().read(true).write(true).open(share.mount_path().join("one"));
        let image = image.expect("open the image");
        Program::as_root("umount").arg("--lazy").arg(share.mount_path()).succeed();
        assert_eq!(mount_at(share.mount_path()), None);
        let mut detached = Self { share, image, written: 0 };
        detached.assert_served("unmounted");
        detached
    }

    /// Panics unless what is written to the open image is in the volume's file.
    fn assert_served(&mut self, when: &str) {
        self.written += 1;
        let written = self.image.write_all_at(&[self.written], 0).and_then(|()| self.image.sync_all());
        written.unwrap_or_else(|error| panic!("{when}: the old client does not serve any more: {error}"));
        let stored = fs::read(self.share.site().volume().directory().join("one")).expect("read the store");
        assert_eq!(stored[0], self.written, "{when}");
    }

    /// Closes the image, with which the old client ends.
    fn close(self) -> Share {
        drop(self.image);
        self.share.client().wait_for_end();
        self.share
    }
}

#[test]
fn failed_connect_preserves_old_client() {
    let mut detached = LazilyUnmounted::new();
    // A deadline where waiting for it is what happens.
    for (fault, options, code) in [
        ("unreachable", &[][..], "mount_failed"),
        ("exit-without-mounting", &[], "mount_failed"),
        ("hang-before-mount", &["--mount-timeout", "1"], "mount_timeout"),
        ("stale-root", &[], "mount_stale"),
        ("die", &[], "mount_stale"),
        ("no-answer", &["--probe-timeout", "1"], "mount_hung"),
    ] {
        detached.share.configure(&format!("standin.fault={fault}"));
        let site = detached.share.site();
        let reply = site.run_with(&site.info("two"), &[&["connect", "--instance", BOB], options].concat());
        assert_eq!(reply.failure().1, code, "{fault}");
        assert_eq!(mount_at(detached.share.mount_path()), None, "{fault}");
        detached.assert_served(fault);
    }
    detached.share.configure("standin.fault=none");
    let share = detached.close();
    share.site().disconnect(ALICE, &share.site().info("one")).answer();
    share.site().assert_nothing_is_left();
}

#[test]
fn remount_and_unmount_preserve_old_client() {
    let mut detached = LazilyUnmounted::new();
    let site = detached.share.site();
    let answer = site.connect(BOB, &site.info("two")).answer();
    assert_eq!(answer["lost"], json!([]), "no guest of libvirt's ran: {answer}");
    detached.assert_served("mounted anew");
    let site = detached.share.site();
    for (guest, image) in [(BOB, "two"), (ALICE, "one")] {
        site.disconnect(guest, &site.info(image)).answer();
    }
    assert_eq!(site.records(), [""; 0]);
    detached.assert_served("taken down");
    // The share has no record by now, and so none of the old client's.
    let site = detached.share.site();
    site.connect(BOB, &site.info("two")).answer();
    detached.share.configure("standin.fault=unreachable");
    detached.share.newest_client().crash();
    assert_eq!(site.connect(BOB, &site.info("two")).failure(), (4, "mount_failed"));
    site.disconnect(BOB, &site.info("two")).answer();
    detached.assert_served("failed without a record");
    detached.close().site().assert_nothing_is_left();
}

#[test]
fn reconcile_preserves_old_client() {
    let mut detached = LazilyUnmounted::new();
    detached.share.configure("standin.fault=unreachable");
    let answer = detached.share.site().run(&["reconcile"]).answer();
    assert_eq!(answer["left"][0]["what"], "failed", "{answer}");
    detached.assert_served("failed to mount");
    detached.share.configure("standin.fault=none");
    let answer = detached.share.site().run(&["reconcile"]).answer();
    assert_eq!(answer["mended"][0]["what"], "remounted", "{answer}");
    detached.assert_served("mounted again");
    let share = detached.close();
    share.site().disconnect(ALICE, &share.site().info("one")).answer();
    share.site().assert_nothing_is_left();
}

#[test]
fn last_disconnect_preserves_old_client() {
    let mut detached = LazilyUnmounted::new();
    let site = detached.share.site();
    let answer = site.disconnect(ALICE, &site.info("one")).answer();
    assert_eq!((&answer["changed"], &answer["mounted"]), (&json!(true), &json!(false)));
    assert_eq!((site.records(), site.mount_directories()), (Vec::new(), Vec::new()));
    detached.assert_served("disconnected");
    detached.close().site().assert_nothing_is_left();
}

#[test]
fn client_of_killed_connect_is_ended() {
    let mut detached = LazilyUnmounted::new();
    let site = detached.share.site();
    let pipe = detached.share.file("pipe");
    make_pipe(&pipe);
    detached.share.configure(&format!("standin.pid_file={}", pipe.display()));
    detached.share.configure("standin.fault=hang-before-mount");
    let connect = site.command(&["connect", "--instance", BOB, "--connection-info", "-"]);
    let mut connect = connect.input(site.info("two").to_string()).start();
    let started = Daemon::of(&pipe);
    connect.kill();
    connect.finish();

    detached.share.configure(&format!("standin.pid_file={}", detached.share.file("pid").display()));
    detached.share.configure("standin.fault=none");
    site.connect(BOB, &site.info("two")).answer();
    started.wait_for_end();
    detached.assert_served("connected after a killed connect");
    let share = detached.close();
    for (guest, image) in [(BOB, "two"), (ALICE, "one")] {
        share.site().disconnect(guest, &share.site().info(image)).answer();
    }
    share.site().assert_nothing_is_left();
}
