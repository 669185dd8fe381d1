//! What the stand-in client promises to QEMU: images keep their bytes, and locks hold.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use e2e::{Daemon, Files, Finished, Program};
use rustix::{
    fs::{FlockOperation, fcntl_lock},
    io::Errno,
};

const SIZE: &str = "16M";

/// Runs `commands` of qemu-io on an image as `nova`.
fn qemu_io(image: &Path, format: &str, cache: &str, commands: &[&str]) {
    let program = Program::as_nova("qemu-io").args(["-f", format, "-t", cache]);
    commands.iter().fold(program, |program, command| program.args(["-c", command])).arg(image).succeed();
}

fn create(files: &Files, name: &str, format: &str) -> PathBuf {
    let image = files.mounted(name);
    Program::as_nova("qemu-img").args(["create", "-q", "-f", format]).arg(&image).arg(SIZE).succeed();
    image
}

/// Writes patterns that overlap, cross blocks and leave zeroes and holes, and looks for them in the store.
fn verify(files: &Files, format: &str, cache: &str) {
    let name = format!("{format}-{cache}");
    let image = create(files, &name, format);
    let written = [
        "write -P 0x5a 0 4M",
        "write -P 0x11 1234 5678",
        "write -P 0x22 1M 512",
        "aio_write -P 0x33 8M 2M",
        "aio_write -P 0x44 12M 64k",
        "aio_flush",
        "discard 2M 1M",
        "write -z 9M 64k",
        "flush",
    ];
    qemu_io(&image, format, cache, &written);
    let found = [
        "read -P 0x5a 0 1234",
        "read -P 0x11 1234 5678",
        "read -P 0x22 1M 512",
        "read -P 0x5a 3M 1M",
        "read -P 0 4M 4M",
        "read -P 0x33 8M 1M",
        "read -P 0 9M 64k",
        "read -P 0x44 12M 64k",
        "read -P 0 13M 3M",
    ];
    let stored = files.stored(&name);
    for path in [&image, &stored] {
        qemu_io(path, format, "writeback", &found);
    }
    assert_eq!(fs::read(&image).expect("read"), fs::read(&stored).expect("read"), "{name}");
}

/// Opens an image for writing, as a guest's QEMU would.
fn open_to_write(image: &Path) -> Finished {
    Program::as_nova("qemu-io").args(["-f", "raw", "-c", "read 0 4k"]).arg(image).run()
}

/// A QEMU that has an image open as a guest's disk. Ended when dropped.
struct Machine {
    process: Daemon,
}

impl Machine {
    fn start(files: &Files, image: &Path) -> Self {
        let pid_file = files.scratch().path().join("qemu.pid");
        let drive = format!("file={},format=raw,if=virtio,cache=none", image.display());
        // It becomes a daemon once it has opened the image.
        Program::as_nova("qemu-system-x86_64")
            .args([
                "-machine",
                "q35,accel=tcg",
                "-m",
                "32",
                "-nodefaults",
                "-display",
                "none",
                "-S",
                "-daemonize",
            ])
            .arg("-pidfile")
            .arg(&pid_file)
            .arg("-drive")
            .arg(drive)
            .succeed();
        Self { process: Daemon::of(&pid_file) }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.process.crash();
    }
}

#[test]
fn images_match_store_byte_for_byte() {
    let files = Files::mount(&[]);
    for format in ["raw", "qcow2"] {
        for cache in ["none", "directsync", "writeback"] {
            verify(&files, format, cache);
        }
    }
}

#[test]
fn images_match_store_under_every_feature() {
    for settings in [
        &["standin.async_dio=off"][..],
        &["standin.direct_io=on"],
        &["standin.direct_io=on", "standin.parallel_direct_writes=on"],
        &["standin.writeback_cache=on"],
        &["standin.max_background=1", "standin.max_write=4096"],
        &["standin.latency_us=200", "standin.threads=1"],
    ] {
        let files = Files::mount(settings);
        for cache in ["none", "writeback"] {
            verify(&files, "raw", cache);
            verify(&files, "qcow2", cache);
        }
    }
}

#[test]
fn converted_image_matches_source() {
    let files = Files::mount(&[]);
    let source = create(&files, "source", "raw");
    qemu_io(&source, "raw", "none", &["write -P 0x77 1M 3M", "write -P 0x88 9M 4k"]);
    let target = files.mounted("target");
    Program::as_nova("qemu-img")
        .args(["convert", "-f", "raw", "-O", "qcow2", "-t", "none", "-T", "none"])
        .args([&source, &target])
        .succeed();
    Program::as_nova("qemu-img")
        .args(["compare", "-f", "raw", "-F", "qcow2"])
        .args([files.stored("source"), files.stored("target")])
        .succeed();
}

#[test]
fn image_stays_sparse() {
    let files = Files::mount(&[]);
    let image = create(&files, "image", "raw");
    qemu_io(&image, "raw", "none", &["write -P 1 8M 64k", "flush"]);
    let map = |path: &Path| {
        let program = Program::as_nova("qemu-img").args(["map", "-f", "raw", "--output=json"]);
        program.arg(path).succeed()
    };
    let found = map(&image);
    assert_eq!(found, map(&files.stored("image")));
    let extents: serde_json::Value = serde_json::from_str(&found).expect("qemu-img speaks JSON");
    let data = |extent: &&serde_json::Value| extent["data"] == true && extent["start"] == 8 << 20;
    let extent = extents.as_array().and_then(|extents| extents.iter().find(data));
    assert_eq!(extent.expect("the data is mapped")["length"], 64 << 10);
}

#[test]
fn image_is_locked_until_qemu_ends() {
    // One thread takes requests in the order they come: the release before the next lock.
    let files = Files::mount(&["standin.threads=1"]);
    let image = create(&files, "image", "raw");
    let machine = Machine::start(&files, &image);
    let refused = open_to_write(&image);
    assert!(!refused.status.success());
    assert!(refused.stderr.contains("Failed to get \"write\" lock"), "{refused:?}");
    drop(machine);
    let allowed = open_to_write(&image);
    assert!(allowed.status.success(), "{allowed:?}");
}

#[test]
fn waiting_for_image_lock_does_not_block_mount() {
    let files = Files::mount(&["standin.threads=1"]);
    let image = create(&files, "image", "raw");
    let machine = Machine::start(&files, &image);
    let file = fs::File::options().read(true).write(true).open(&image).expect("open");
    assert_eq!(fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive), Err(Errno::AGAIN));
    let waiting = std::thread::spawn(move || {
        fcntl_lock(&file, FlockOperation::LockExclusive).expect("get the lock");
        file
    });
    fs::metadata(&image).expect("the mount serves");
    drop(machine);
    let file = waiting.join().expect("the lock was granted");
    assert!(!open_to_write(&image).status.success());
    drop(file);
    assert!(open_to_write(&image).status.success());
}

#[test]
fn image_mode_grants_access_to_qemu_user() {
    let files = Files::mount(&[]);
    let image = create(&files, "image", "raw");
    let write = || {
        Program::as_root("setpriv")
            .args(["--reuid=libvirt-qemu", "--regid=libvirt-qemu", "--init-groups"])
            .args(["qemu-io", "-f", "raw", "-t", "none", "-c", "write -P 5 0 4k", "-c", "read -P 5 0 4k"])
            .arg(&image)
            .run()
    };
    assert!(!write().status.success());
    fs::set_permissions(&image, Permissions::from_mode(0o666)).expect("open the image to all");
    let finished = write();
    assert!(finished.status.success(), "{finished:?}");
    assert_eq!(fs::read(files.stored("image")).expect("read")[..4096], [5; 4096]);
}
