//! An unmount that takes long: its caller is killed meanwhile, or gives it up.

use std::path::Path;

use e2e::{PausedProgram, Program, Reply, Site, mount_at};

const ALICE: &str = "a11ce000-0000-4000-8000-000000000001";
const BOB: &str = "b0b00000-0000-4000-8000-000000000002";

/// A disconnect of Alice's that unmounts by a program that is paused.
fn disconnect_with(site: &Site, unmount: &PausedProgram, options: &[&str]) -> Program {
    site.command(&[&["disconnect", "--instance", ALICE, "--connection-info", "-"], options].concat())
        .env("PATH", unmount.path())
        .input(site.info("one").to_string())
}

#[test]
fn unmount_timeout_is_reported_and_retried_later() {
    let site = Site::new(&[]);
    site.volume().image("one", "raw", &[0; 4096]);
    let answer = site.connect(ALICE, &site.info("one")).answer();
    let mount_path = Path::new(answer["mount_path"].as_str().expect("a path"));

    let unmount = PausedProgram::new(site.scratch(), "fusermount3");
    let reply = Reply::of(disconnect_with(&site, &unmount, &["--mount-timeout", "0.5"]));
    assert_eq!(reply.failure(), (5, "unmount_timeout"));
    assert!(mount_at(mount_path).is_some());

    assert_eq!(site.disconnect(ALICE, &site.info("one")).answer()["mounted"], false);
    site.assert_nothing_is_left();
}

#[test]
fn orphaned_unmount_spares_next_connect() {
    let site = Site::new(&[]);
    site.volume().image("one", "raw", &[0; 4096]);
    let info = site.info("one");
    site.connect(ALICE, &info).answer();

    let unmount = PausedProgram::new(site.scratch(), "fusermount3");
    let mut disconnect = disconnect_with(&site, &unmount, &[]).start();
    unmount.wait_until_started();
    disconnect.kill();
    disconnect.finish();

    let early = site.run_with(&info, &["connect", "--instance", BOB, "--lock-timeout", "0.5"]);
    assert_eq!(early.failure(), (5, "lock_timeout"));
    unmount.resume();
    let answer = site.connect(BOB, &info).answer();
    let mount_path = Path::new(answer["mount_path"].as_str().expect("a path"));
    assert!(mount_at(mount_path).is_some(), "connected, and yet not mounted");
    // No unmount is left that could still come.
    Program::as_nova("test").arg("-f").arg(mount_path.join("one")).succeed();

    site.disconnect(BOB, &info).answer();
    site.assert_nothing_is_left();
}
