//! What the other tests rely on to see a touch.

use std::{
    fs::{self, File, FileTimes, Permissions},
    io,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    time::SystemTime,
};

use e2e::{Canary, Scratch};

type Touch = fn(&Path) -> io::Result<()>;

/// A file that was last read before it was last written.
fn unread(scratch: &Scratch, name: &str) -> PathBuf {
    let path = scratch.file(name, "x");
    let long_ago = FileTimes::new().set_accessed(SystemTime::UNIX_EPOCH);
    let file = File::options().write(true).open(&path).expect("open a file");
    file.set_times(long_ago).expect("set a time");
    path
}

#[test]
fn canary_detects_every_access_but_stat() {
    let scratch = Scratch::new();
    let touches: [(&str, Touch); 5] = [
        ("read", |path| fs::read(path).map(drop)),
        ("written", |path| fs::OpenOptions::new().append(true).open(path)?.set_len(2)),
        ("opened to others", |path| fs::set_permissions(path, Permissions::from_mode(0o600))),
        ("owned", |path| chown(path, Some(64999), None)),
        ("linked", |path| fs::hard_link(path, path.with_extension("link"))),
    ];
    for (name, touch) in touches {
        let canary = Canary::watch(unread(&scratch, name));
        assert!(canary.is_untouched(), "{name}");
        touch(canary.path()).expect(name);
        assert!(!canary.is_untouched(), "{name}");
    }
}

#[test]
fn lab_canary_detects_reads() {
    let lab = Canary::of_the_lab();
    let file = lab.path().metadata().expect("the lab has a canary");
    assert!(file.accessed().expect("a time") < file.modified().expect("a time"));
    assert_eq!(file.permissions().mode() & 0o777, 0o666);
}
