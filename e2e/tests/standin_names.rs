//! What the stand-in client promises about names, kinds, owners and modes of files.
#![expect(clippy::disallowed_methods, reason = "a test changes files itself")]

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink},
    path::Path,
};

use e2e::{Files, Lab, Program, Scratch, Volume};
use rustix::{
    fs::{
        AtFlags, CWD, FileType, Mode, RenameFlags, Timespec, Timestamps, mknodat, renameat_with, utimensat,
    },
    io::Errno,
};

fn error_of(result: io::Result<impl Sized>) -> Option<Errno> {
    result.err().and_then(|error| Errno::from_io_error(&error))
}

#[test]
fn rename_honours_noreplace_and_exchange() {
    let files = Files::mount(&[]);
    for name in ["a", "b", "c"] {
        drop(files.file(name, name.as_bytes()));
    }
    let rename =
        |from: &str, to: &str, flags| renameat_with(CWD, files.mounted(from), CWD, files.mounted(to), flags);
    let stored = |name: &str| fs::read_to_string(files.stored(name)).ok();
    assert_eq!(rename("a", "b", RenameFlags::NOREPLACE), Err(Errno::EXIST));
    assert_eq!((stored("a"), stored("b")), (Some("a".into()), Some("b".into())));
    assert_eq!(rename("a", "b", RenameFlags::EXCHANGE), Ok(()));
    assert_eq!((stored("a"), stored("b")), (Some("b".into()), Some("a".into())));
    assert_eq!(rename("a", "c", RenameFlags::empty()), Ok(()));
    assert_eq!((stored("a"), stored("c")), (None, Some("b".into())));
}

#[test]
fn unlinked_file_lives_until_close() {
    let files = Files::mount(&[]);
    let file = files.file("file", b"data");
    fs::remove_file(files.mounted("file")).expect("remove");
    assert!(!files.stored("file").exists());
    let mut data = [0; 4];
    file.read_exact_at(&mut data, 0).expect("read");
    assert_eq!(&data, b"data");
    assert_eq!(file.metadata().expect("stat").nlink(), 0);
}

#[test]
fn hard_links_and_symlinks_are_preserved() {
    let files = Files::mount(&[]);
    drop(files.file("file", b"data"));
    fs::hard_link(files.mounted("file"), files.mounted("hard")).expect("link");
    symlink("../outside", files.mounted("soft")).expect("link");
    let inode = |name: &str| fs::metadata(files.mounted(name)).expect("stat").ino();
    assert_eq!(inode("file"), inode("hard"));
    assert_eq!(fs::metadata(files.stored("hard")).expect("stat").nlink(), 2);
    for link in [files.mounted("soft"), files.stored("soft")] {
        assert_eq!(fs::read_link(link).expect("read a link"), Path::new("../outside"));
    }
}

#[test]
fn long_directory_lists_each_name_once() {
    let files = Files::mount(&[]);
    let names: BTreeSet<String> =
        (0..3000).map(|index| format!("a-name-of-some-length-{index:04}")).collect();
    for name in &names {
        File::create(files.stored(name)).expect("make a file in the store");
    }
    let listed: Vec<String> = fs::read_dir(files.mounted(""))
        .expect("list")
        .map(|entry| entry.expect("list").file_name().into_string().expect("a name of ours"))
        .collect();
    assert_eq!(listed.len(), names.len());
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), names);
}

#[test]
fn rmdir_requires_empty_directory() {
    let files = Files::mount(&[]);
    fs::create_dir_all(files.mounted("one/two")).expect("make directories");
    assert!(files.stored("one/two").is_dir());
    assert_eq!(error_of(fs::remove_dir(files.mounted("one"))), Some(Errno::NOTEMPTY));
    fs::remove_dir(files.mounted("one/two")).expect("remove");
    fs::remove_dir(files.mounted("one")).expect("remove");
    assert!(!files.stored("one").exists());
}

#[test]
fn devices_pipes_and_sockets_are_refused() {
    let files = Files::mount(&[]);
    for kind in [FileType::Fifo, FileType::Socket, FileType::CharacterDevice, FileType::BlockDevice] {
        let refused = mknodat(CWD, files.mounted("node"), kind, Mode::RUSR, 0);
        assert_eq!(refused, Err(Errno::PERM), "{kind:?}");
    }
    mknodat(CWD, files.mounted("node"), FileType::RegularFile, Mode::RUSR, 0).expect("make a regular file");
}

#[test]
fn mount_inside_store_is_not_served() {
    let files = Files::mount(&[]);
    let other = files.stored("other");
    fs::create_dir(&other).expect("make a directory in the store");
    // The daemon holds the mount table it was started with, and a shared mount reaches it.
    Program::as_root("mount").args(["-t", "tmpfs", "none"]).arg(&other).succeed();
    let seen = error_of(fs::metadata(files.mounted("other")));
    Program::as_root("umount").arg(&other).succeed();
    assert_eq!(seen, Some(Errno::XDEV));
}

#[test]
fn modes_and_times_are_kept_to_the_nanosecond() {
    let files = Files::mount(&[]);
    drop(files.file("file", b""));
    fs::set_permissions(files.mounted("file"), fs::Permissions::from_mode(0o4751)).expect("change the mode");
    let time = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
    let times = Timestamps {
        last_access: time(1_600_000_000, 999_999_999),
        last_modification: time(1_700_000_000, 1),
    };
    utimensat(CWD, files.mounted("file"), &times, AtFlags::empty()).expect("change the times");
    for path in [files.mounted("file"), files.stored("file")] {
        let found = fs::metadata(path).expect("stat");
        assert_eq!(found.mode() & 0o7777, 0o4751);
        assert_eq!((found.atime(), found.atime_nsec()), (1_600_000_000, 999_999_999));
        assert_eq!((found.mtime(), found.mtime_nsec()), (1_700_000_000, 1));
    }
}

#[test]
fn user_daemon_owns_files_and_refuses_chown() {
    let files = Files::mount(&[]);
    drop(files.file("file", b""));
    let nova = fs::metadata(Lab::require().nova_home()).expect("nova has a home");
    let stored = fs::metadata(files.stored("file")).expect("stat");
    assert_eq!((stored.uid(), stored.gid()), (nova.uid(), nova.gid()));
    let given = std::os::unix::fs::chown(files.mounted("file"), Some(1), Some(1));
    assert_eq!(error_of(given), Some(Errno::PERM));
}

#[test]
fn root_daemon_gives_files_to_their_creator() {
    let scratch = Scratch::new();
    let volume = Volume::create(&scratch, "vol", &[]);
    let path = scratch.directory("mnt");
    Program::as_root("mount.quobyte")
        .arg(volume.export())
        .arg(&path)
        .arg("-c")
        .arg(volume.config())
        .succeed();
    Program::as_nova("mkdir").arg(path.join("directory")).succeed();
    Program::as_nova("touch").arg(path.join("directory/file")).succeed();
    File::create(path.join("roots")).expect("make a file");
    let chowned = std::os::unix::fs::chown(path.join("roots"), Some(1), Some(2));
    Program::as_root("umount.quobyte").arg(&path).succeed();
    chowned.expect("change the owner");
    let owner = |name: &str| {
        let found = fs::metadata(volume.directory().join(name)).expect("stat");
        (found.uid(), found.gid())
    };
    let nova = fs::metadata(Lab::require().nova_home()).expect("nova has a home");
    assert_eq!(owner("directory"), (nova.uid(), nova.gid()));
    assert_eq!(owner("directory/file"), (nova.uid(), nova.gid()));
    assert_eq!(owner("roots"), (1, 2));
}

#[test]
fn other_users_are_limited_by_file_mode() {
    let files = Files::mount(&[]);
    drop(files.file("file", b"data"));
    for (mode, readable, writable) in [(0o600, false, false), (0o644, true, false), (0o666, true, true)] {
        fs::set_permissions(files.mounted("file"), fs::Permissions::from_mode(mode))
            .expect("change the mode");
        for (test, allowed) in [("-r", readable), ("-w", writable)] {
            let status = Program::as_root("setpriv")
                .args(["--reuid=libvirt-qemu", "--regid=libvirt-qemu", "--init-groups", "test", test])
                .arg(files.mounted("file"))
                .run()
                .status;
            assert_eq!(status.success(), allowed, "{mode:o} {test}");
        }
    }
}
