//! A caller that is killed while a program it started goes on.

use std::path::Path;

use lab::{Held, Program, Site, mount_at};

const ALICE: &str = "a11ce000-0000-4000-8000-000000000001";
const BOB: &str = "b0b00000-0000-4000-8000-000000000002";

#[test]
fn an_unmount_that_outlives_its_caller_never_takes_the_mount_from_who_connects_next() {
    let site = Site::new(&[]);
    site.volume().image("one", "raw", &[0; 4096]);
    let info = site.info("one");
    site.connect(ALICE, &info).answer();

    let unmount = Held::new(site.scratch(), "fusermount3");
    let mut disconnect = site
        .command(&["disconnect", "--instance", ALICE, "--connection-info", "-"])
        .env("PATH", unmount.path())
        .input(info.to_string())
        .start();
    unmount.wait();
    disconnect.kill();
    disconnect.finish();

    let early = site.run_with(&info, &["connect", "--instance", BOB, "--lock-timeout", "0.5"]);
    assert_eq!(early.failure(), (5, "lock_timeout"));
    unmount.let_go();
    let answer = site.connect(BOB, &info).answer();
    let mount_path = Path::new(answer["mount_path"].as_str().expect("a path"));
    assert!(mount_at(mount_path).is_some(), "connected, and yet not mounted");
    // No unmount is left that could still come.
    Program::as_nova("test").arg("-f").arg(mount_path.join("one")).succeed();

    site.disconnect(BOB, &info).answer();
    site.assert_nothing_is_left();
}
