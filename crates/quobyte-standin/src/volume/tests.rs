use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::symlink;

use super::*;

fn store_with_volume() -> (tempfile::TempDir, Volume) {
    let store = tempfile::tempdir().unwrap();
    rustix::fs::mkdir(store.path().join("vol"), Mode::RWXU).unwrap();
    let volume = Volume::open(store.path(), "vol").unwrap();
    (store, volume)
}

#[test]
fn lookup_cannot_escape_volume() {
    let (_store, volume) = store_with_volume();
    for name in ["..", ".", "", "../vol", "/etc"] {
        assert_eq!(volume.lookup(INodeNo::ROOT, OsStr::new(name)), Err(Errno::INVAL), "{name:?}");
    }
}

#[test]
fn symlink_is_not_followed_or_opened() {
    let (store, volume) = store_with_volume();
    symlink("/etc/passwd", store.path().join("vol/link")).unwrap();
    let found = volume.lookup(INodeNo::ROOT, OsStr::new("link")).unwrap();
    assert_eq!(found.kind, fuser::FileType::Symlink);
    assert_eq!(volume.open_file(found.ino, 0), Err(Errno::PERM));
}

#[test]
fn inode_is_kept_until_last_forget() {
    let (store, volume) = store_with_volume();
    File::create(store.path().join("vol/file")).unwrap();
    let lookup = || volume.lookup(INodeNo::ROOT, OsStr::new("file")).unwrap().ino;
    let inode = lookup();
    assert_eq!(lookup(), inode);
    volume.forget(inode, 1);
    assert!(volume.attributes(inode).is_ok());
    volume.forget(inode, 1);
    assert_eq!(volume.attributes(inode), Err(Errno::STALE));
}

#[test]
fn closed_handle_is_invalid() {
    let (store, volume) = store_with_volume();
    File::create(store.path().join("vol/file")).unwrap();
    let inode = volume.lookup(INodeNo::ROOT, OsStr::new("file")).unwrap().ino;
    let file = volume.open_file(inode, libc::O_RDWR).unwrap();
    assert_eq!(volume.write(file, 0, b"data"), Ok(4));
    assert_eq!(volume.read(file, 0, 10), Ok(b"data".to_vec()));
    volume.release(inode, file);
    assert_eq!(volume.read(file, 0, 10), Err(Errno::BADF));
}
