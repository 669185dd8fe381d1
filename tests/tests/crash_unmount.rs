//! A caller that is killed while a program it started goes on.

use std::{
    fs::{self, File, Permissions},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
};

use lab::{Program, Site, make_pipe, mount_at};

const ALICE: &str = "a11ce000-0000-4000-8000-000000000001";
const BOB: &str = "b0b00000-0000-4000-8000-000000000002";

#[test]
fn an_unmount_that_outlives_its_caller_never_takes_the_mount_from_who_connects_next() {
    let site = Site::new(&[]);
    site.volume().image("one", "raw", &[0; 4096]);
    let info = site.info("one");
    site.connect(ALICE, &info).answer();

    // The unmount says that it is about to begin, and begins when it is told to.
    let programs = site.scratch().directory("programs");
    let (begun, go) = (programs.join("begun"), programs.join("go"));
    make_pipe(&begun);
    make_pipe(&go);
    let script = format!(
        "#!/bin/sh\necho >{} && read _ <{} && exec /usr/bin/fusermount3 \"$@\"\n",
        begun.display(),
        go.display()
    );
    let script = site.scratch().file("programs/fusermount3", script);
    fs::set_permissions(script, Permissions::from_mode(0o755)).expect("make a script executable");
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").expect("the lab has a PATH"));
    let mut disconnect = site
        .command(&["disconnect", "--instance", ALICE, "--connection-info", "-"])
        .env("PATH", path)
        .input(info.to_string())
        .start();
    fs::read(&begun).expect("wait for the unmount to begin");
    disconnect.kill();
    disconnect.finish();

    let early = site.run_with(&info, &["connect", "--instance", BOB, "--lock-timeout", "0.5"]);
    assert_eq!(early.failure(), (5, "lock_timeout"));
    let mut go = File::options().write(true).open(&go).expect("open a pipe that is read");
    go.write_all(b"\n").expect("let the unmount begin");
    let answer = site.connect(BOB, &info).answer();
    let mount_path = Path::new(answer["mount_path"].as_str().expect("a path"));
    assert!(mount_at(mount_path).is_some(), "connected, and yet not mounted");
    // No unmount is left that could still come.
    Program::as_nova("test").arg("-f").arg(mount_path.join("one")).succeed();

    site.disconnect(BOB, &info).answer();
    site.assert_nothing_is_left();
}
