//! What files on the stand-in client promise about their data.
#![expect(clippy::disallowed_methods, reason = "a test changes files itself")]

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
};

use e2e::{Daemon, Files, Program, Scratch, Volume};
use rustix::{
    fs::{FallocateFlags, SeekFrom, copy_file_range, fallocate, seek},
    io::Errno,
};

const MIB: u64 = 1 << 20;

fn error_of(result: io::Result<impl Sized>) -> Option<Errno> {
    result.err().and_then(|error| Errno::from_io_error(&error))
}

fn store_blocks(path: &Path) -> u64 {
    fs::metadata(path).expect("stat a file of the store").blocks()
}

#[test]
fn writes_through_mount_reach_store() {
    let files = Files::mount(&[]);
    let file = files.file("file", b"0123456789");
    file.write_all_at(b"xyz", 4).expect("overwrite");
    file.write_all_at(b"end", 5000).expect("write past the end");
    let (mounted, stored) = files.read_both("file");
    assert_eq!(mounted, stored);
    assert_eq!(&stored[..10], b"0123xyz789");
    assert!(stored[10..5000].iter().all(|&byte| byte == 0));
    assert_eq!(&stored[5000..], b"end");
}

#[test]
fn store_changes_show_through_mount() {
    let files = Files::mount(&[]);
    drop(files.file("file", b"before"));
    assert_eq!(fs::read(files.mounted("file")).expect("read"), b"before");
    fs::write(files.stored("file"), b"afterwards").expect("write to the store");
    assert_eq!(fs::metadata(files.mounted("file")).expect("stat").len(), 10);
    assert_eq!(fs::read(files.mounted("file")).expect("read"), b"afterwards");
    fs::remove_file(files.stored("file")).expect("remove from the store");
    assert_eq!(error_of(fs::metadata(files.mounted("file"))), Some(Errno::NOENT));
}

#[test]
fn append_writes_at_end_of_file() {
    let files = Files::mount(&[]);
    drop(files.file("file", b"one"));
    for word in [b"two", b"six"] {
        let mut file = OpenOptions::new().append(true).open(files.mounted("file")).expect("open");
        file.write_all(word).expect("append");
    }
    assert_eq!(fs::read(files.stored("file")).expect("read"), b"onetwosix");
}

#[test]
fn truncate_drops_tail_and_growth_adds_hole() {
    let files = Files::mount(&[]);
    let file = files.file("file", &vec![7; 3 * 4096]);
    file.set_len(100).expect("shrink");
    assert_eq!(fs::metadata(files.stored("file")).expect("stat").len(), 100);
    file.set_len(64 * MIB).expect("grow");
    let stored = files.stored("file");
    assert_eq!(fs::metadata(&stored).expect("stat").len(), 64 * MIB);
    assert!(store_blocks(&stored) <= 8);
    let mut bytes = [1; 100];
    file.read_exact_at(&mut bytes, 100).expect("read");
    assert_eq!(bytes, [0; 100]);
    File::create(files.mounted("file")).expect("open to truncate");
    assert_eq!(fs::metadata(&stored).expect("stat").len(), 0);
}

#[test]
fn fallocate_reserves_store_space() {
    let files = Files::mount(&[]);
    let file = files.file("file", b"");
    fallocate(&file, FallocateFlags::empty(), 0, 4 * MIB).expect("allocate");
    let stored = files.stored("file");
    assert_eq!(fs::metadata(&stored).expect("stat").len(), 4 * MIB);
    assert_eq!(store_blocks(&stored) * 512, 4 * MIB);
    fallocate(&file, FallocateFlags::KEEP_SIZE, 4 * MIB, MIB).expect("allocate past the end");
    assert_eq!(fs::metadata(&stored).expect("stat").len(), 4 * MIB);
    assert_eq!(store_blocks(&stored) * 512, 5 * MIB);
}

#[test]
fn punched_hole_reads_zeros_and_frees_space() {
    let files = Files::mount(&[]);
    let file = files.file("file", &vec![9; 4 * MIB as usize]);
    let stored = files.stored("file");
    let before = store_blocks(&stored);
    fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, MIB, 2 * MIB)
        .expect("punch a hole");
    assert_eq!(before - store_blocks(&stored), 2 * MIB / 512);
    let (mounted, stored) = files.read_both("file");
    assert_eq!(mounted, stored);
    let hole = MIB as usize..3 * MIB as usize;
    assert!(stored[hole.clone()].iter().all(|&byte| byte == 0));
    assert!(stored[..hole.start].iter().chain(&stored[hole.end..]).all(|&byte| byte == 9));
}

#[test]
fn seek_finds_holes_and_data_of_store() {
    let files = Files::mount(&[]);
    let file = files.file("file", b"");
    file.set_len(8 * MIB).expect("grow");
    file.write_all_at(&[1; 4096], 2 * MIB).expect("write");
    file.write_all_at(&[1; 4096], 6 * MIB).expect("write");
    let stored = File::open(files.stored("file")).expect("open in the store");
    for start in [0, 2 * MIB, 3 * MIB, 6 * MIB, 7 * MIB] {
        for position in [SeekFrom::Data(start), SeekFrom::Hole(start)] {
            assert_eq!(seek(&file, position), seek(&stored, position), "{position:?}");
        }
    }
    assert_eq!(seek(&file, SeekFrom::Data(3 * MIB)), Ok(6 * MIB));
    assert_eq!(seek(&file, SeekFrom::Data(7 * MIB)), Err(Errno::NXIO));
}

#[test]
fn copy_file_range_copies_bytes() {
    let files = Files::mount(&[]);
    let data: Vec<u8> = (0..MIB).map(|index| (index % 251) as u8).collect();
    let (from, to) = (files.file("from", &data), files.file("to", b""));
    let (mut read_at, mut write_at) = (100, 10);
    let copied = copy_file_range(&from, Some(&mut read_at), &to, Some(&mut write_at), 500_000).expect("copy");
    assert!(copied > 0);
    let stored = fs::read(files.stored("to")).expect("read");
    assert_eq!(stored[10..], data[100..100 + copied]);
}

/// The store of one volume lies on another, whose requests can be made to fail.
#[test]
fn fsync_fails_when_store_fsync_fails() {
    let scratch = Scratch::new();
    let control = scratch.file("control", "none");
    let below = Volume::create(&scratch, "below", &[&format!("standin.control={}", control.display())]);
    let lower = below.mount(&scratch.directory("lower"));
    Program::as_nova("mkdir").arg(lower.path().join("vol")).succeed();
    let pid_file = scratch.path().join("upper.pid");
    let config = format!("store={}\nstandin.pid_file={}\n", lower.path().display(), pid_file.display());
    let config = scratch.file("upper.cfg", config);
    let upper = scratch.directory("upper");
    Program::as_nova("mount.quobyte").arg("h/vol").arg(&upper).arg("-c").arg(config).succeed();
    let client = Daemon::of(&pid_file);

    let mut file = File::create(upper.join("file")).expect("make a file");
    file.write_all(b"data").expect("write");
    let outcomes = |fault: &str| {
        fs::write(&control, fault).expect("write the control file");
        (error_of(file.sync_all()), error_of(file.sync_data()))
    };
    assert_eq!(outcomes("none"), (None, None));
    assert_eq!(outcomes("eio"), (Some(Errno::IO), Some(Errno::IO)));
    assert_eq!(outcomes("none"), (None, None));
    drop(file);
    Program::as_nova("umount.quobyte").arg(&upper).succeed();
    // It outlives its mount by a moment, and its store is on the other volume, which could not be unmounted.
    client.wait_for_end();
}

#[test]
fn executable_on_mount_can_be_mapped() {
    let files = Files::mount(&[]);
    fs::copy("/bin/busybox", files.mounted("busybox")).expect("copy a program");
    let output = Program::as_nova(files.mounted("busybox")).args(["echo", "mapped"]).succeed();
    assert_eq!(output, "mapped\n");
}
