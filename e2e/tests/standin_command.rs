//! What the stand-in client promises on its command line and in the mount table.
#![expect(clippy::disallowed_methods, reason = "a test looks at its files and changes them itself")]

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use e2e::{BackgroundProcess, Daemon, Finished, Lab, Program, Scratch, Volume, make_pipe, mount_at};

/// A volume that nobody has mounted yet, and a place for it.
struct Target {
    volume: Volume,
    path: PathBuf,
    scratch: Scratch,
}

impl Target {
    fn new(settings: &[&str]) -> Self {
        let scratch = Scratch::new();
        Self { volume: Volume::create(&scratch, "vol", settings), path: scratch.directory("mnt"), scratch }
    }

    /// `mount.quobyte OPTIONS EXPORT PATH -c CONFIG`, with a `CONFIG` that finds the volume.
    fn mount(&self, client: Program, options: &[&str], export: &str) -> Finished {
        client.args(options).arg(export).arg(&self.path).arg("-c").arg(self.volume.config()).run()
    }

    fn assert_refused(&self, finished: &Finished, status: i32, text: &str) {
        assert_eq!(finished.status.code(), Some(status), "{finished:?}");
        assert!(finished.stderr.contains(text), "{finished:?}");
        assert_eq!(mount_at(&self.path), None);
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if mount_at(&self.path).is_some() {
            Program::as_root("umount").arg(&self.path).succeed();
        }
    }
}

fn client() -> Program {
    Program::as_nova("mount.quobyte")
}

fn unmount(path: &Path) -> Finished {
    Program::as_nova("umount.quobyte").arg(path).run()
}

#[test]
fn mount_table_of_user_matches_real_client() {
    let target = Target::new(&[]);
    let finished = target.mount(client(), &["--disable-xattrs"], "quobyte://h1:7861,h2,h3/vol");
    assert!(finished.status.success(), "{finished:?}");
    let entry = mount_at(&target.path).expect("the volume is mounted");
    assert_eq!(entry.fs_type, "fuse.quobyte");
    assert_eq!(entry.source, "quobyte@h1:7861|h2|h3/vol");
    let nova = fs::metadata(Lab::require().nova_home()).expect("nova has a home");
    let owner = format!("user_id={}", nova.uid());
    for option in [owner.as_str(), "allow_other", "default_permissions"] {
        assert!(entry.super_options.split(',').any(|found| found == option), "{option}: {entry:?}");
    }
    for option in ["rw", "nosuid", "nodev"] {
        assert!(entry.options.split(',').any(|found| found == option), "{option}: {entry:?}");
    }
}

#[test]
fn standin_mount_entry_matches_when_root() {
    let target = Target::new(&[]);
    let finished = target.mount(Program::as_root("mount.quobyte"), &[], "h1,h2/vol");
    assert!(finished.status.success(), "{finished:?}");
    let entry = mount_at(&target.path).expect("the volume is mounted");
    assert_eq!((entry.fs_type.as_str(), entry.source.as_str()), ("fuse.quobyte", "quobyte@h1|h2/vol"));
    assert!(entry.super_options.contains("allow_other"), "{entry:?}");
    let finished = Program::as_root("umount.quobyte").arg(&target.path).run();
    assert!(finished.status.success(), "{finished:?}");
    assert_eq!(mount_at(&target.path), None);
}

#[test]
fn root_size_is_zero_statfs_matches_store() {
    let target = Target::new(&[]);
    target.mount(client(), &[], "h/vol");
    fs::write(target.volume.directory().join("file"), "data").expect("write to the store");
    assert_eq!(fs::metadata(&target.path).expect("stat the mount").size(), 0);
    let space = |path: &Path| {
        let space = rustix::fs::statvfs(path).expect("ask for the space");
        (space.f_blocks, space.f_frsize, space.f_namemax)
    };
    assert_eq!(space(&target.path), space(target.volume.directory()));
}

#[test]
fn mount_without_volume_lists_all_volumes() {
    let target = Target::new(&[]);
    fs::write(target.volume.directory().join("file"), "data").expect("write to the store");
    let finished = target.mount(client(), &[], "h/");
    assert!(finished.status.success(), "{finished:?}");
    let entry = mount_at(&target.path).expect("the volumes are mounted");
    assert_eq!(entry.source, "quobyte@h/");
    assert_eq!(fs::read_to_string(target.path.join("vol/file")).expect("read through the mount"), "data");
}

#[test]
fn unknown_option_is_refused_with_usage() {
    let target = Target::new(&[]);
    for options in [&["--nonsense"][..], &["-x"], &["--disable-xattrs=yes"], &["-o", "=x"]] {
        let finished = target.mount(client(), options, "h/vol");
        target.assert_refused(&finished, 1, "usage: mount.quobyte");
    }
    target.assert_refused(&target.mount(client(), &[], "no-volume"), 1, "usage: mount.quobyte");
}

#[test]
fn version_option_exits_with_failure() {
    let finished = client().arg("--version").run();
    assert_eq!(finished.status.code(), Some(1));
    assert!(finished.stdout.starts_with("mount.quobyte "), "{finished:?}");
}

#[test]
fn standin_under_own_name_prints_usage() {
    let finished = Program::as_nova("quobyte-standin").run();
    assert_eq!(finished.status.code(), Some(1));
    assert!(finished.stderr.contains("mount.quobyte"), "{finished:?}");
}

#[test]
fn nonexistent_volume_is_refused() {
    let target = Target::new(&[]);
    target.assert_refused(&target.mount(client(), &[], "h/other"), 4, "cannot open volume \"other\"");
}

#[test]
fn volume_symlink_out_of_store_is_refused() {
    let target = Target::new(&[]);
    let store = target.volume.directory().parent().expect("a volume is in a store");
    std::os::unix::fs::symlink("/etc", store.join("link")).expect("make a link");
    target.assert_refused(&target.mount(client(), &[], "h/link"), 4, "cannot open volume \"link\"");
}

#[test]
fn missing_config_is_refused() {
    let target = Target::new(&[]);
    let missing = target.scratch.path().join("missing.cfg");
    let finished = client().arg("h/vol").arg(&target.path).arg("-c").arg(&missing).run();
    target.assert_refused(&finished, 4, "cannot read configuration");
}

#[test]
fn store_is_read_from_environment() {
    let target = Target::new(&[]);
    let store = target.volume.directory().parent().expect("a volume is in a store");
    let finished = client().env("QUOBYTE_STANDIN_STORE", store).arg("h/vol").arg(&target.path).run();
    assert!(finished.status.success(), "{finished:?}");
    assert!(mount_at(&target.path).is_some());
}

#[test]
fn missing_mount_point_is_refused() {
    let target = Target::new(&[]);
    fs::remove_dir(&target.path).expect("remove the mount point");
    target.assert_refused(&target.mount(client(), &[], "h/vol"), 4, "cannot mount on");
}

#[test]
fn busy_mount_point_is_refused_and_preserved() {
    let target = Target::new(&[]);
    target.mount(client(), &[], "h1/vol");
    let before = mount_at(&target.path);
    assert!(before.is_some());
    let finished = target.mount(client(), &[], "h2/vol");
    assert_eq!(finished.status.code(), Some(4), "{finished:?}");
    assert!(finished.stderr.contains("is busy or already mounted"), "{finished:?}");
    assert_eq!(mount_at(&target.path), before);
}

#[test]
fn read_only_mount_rejects_writes() {
    let target = Target::new(&[]);
    target.mount(client(), &["-o", "ro,user_xattr"], "h/vol");
    let error = fs::write(target.path.join("file"), "data").expect_err("the mount is read-only");
    assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
}

#[test]
fn busy_unmount_reports_kernel_error() {
    let target = Target::new(&[]);
    target.mount(client(), &[], "h/vol");
    let file = fs::File::create(target.path.join("file")).expect("make a file");
    let finished = unmount(&target.path);
    assert!(!finished.status.success());
    assert!(finished.stderr.contains("Device or resource busy"), "{finished:?}");
    assert!(mount_at(&target.path).is_some());
    drop(file);
}

#[test]
fn daemon_ends_on_unmount() {
    let scratch = Scratch::new();
    let pid_file = scratch.path().join("pid");
    let setting = format!("standin.pid_file={}", pid_file.display());
    let volume = Volume::create(&scratch, "vol", &[&setting]);
    let mount = volume.mount(&scratch.directory("mnt"));
    let daemon = Daemon::of(&pid_file);
    drop(mount);
    daemon.wait_for_end();
}

#[test]
fn log_records_mount_and_unmount() {
    let scratch = Scratch::new();
    let (log, pid_file) = (scratch.path().join("log"), scratch.path().join("pid"));
    let setting = format!("standin.pid_file={}", pid_file.display());
    let volume = Volume::create(&scratch, "vol", &[&setting]);
    let path = scratch.directory("mnt");
    client().arg("-l").arg(&log).arg("h/vol").arg(&path).arg("-c").arg(volume.config()).succeed();
    let daemon = Daemon::of(&pid_file);
    assert!(unmount(&path).status.success());
    daemon.wait_for_end();
    assert_eq!(fs::read_to_string(&log).expect("read the log"), "mounted\nunmounted\n");
}

#[test]
fn quobyte_xattrs_can_be_disabled() {
    let target = Target::new(&[]);
    let value = || {
        let mut value = [0; 256];
        rustix::fs::getxattr(&target.path, "quobyte.info", &mut value)
            .map(|length| String::from_utf8_lossy(&value[..length]).into_owned())
    };
    target.mount(client(), &[], "h/vol");
    let info = value().expect("the attribute is there");
    assert!(info.contains("object_size_bytes: 8388608\n"), "{info}");
    let other = rustix::fs::setxattr(&target.path, "user.x", b"1", rustix::fs::XattrFlags::empty());
    assert_eq!(other, Err(rustix::io::Errno::NOTSUP));
    assert!(unmount(&target.path).status.success());
    target.mount(client(), &["--disable-xattrs"], "h/vol");
    assert_eq!(value(), Err(rustix::io::Errno::NOTSUP));
}

#[test]
fn foreground_client_serves_until_unmount() {
    let scratch = Scratch::new();
    let (log, pid_file) = (scratch.path().join("log"), scratch.path().join("pid"));
    let setting = format!("standin.pid_file={}", pid_file.display());
    let volume = Volume::create(&scratch, "vol", &[&setting]);
    let path = scratch.directory("mnt");
    make_pipe(&log);
    let lines = fs::File::options().read(true).write(true).open(&log).expect("open the log");
    let arguments = ["-f", "-l"].map(Path::new).into_iter().chain([log.as_path(), Path::new("h/vol"), &path]);
    let arguments: Vec<&Path> = arguments.chain([Path::new("-c"), volume.config()]).collect();
    let mut client = BackgroundProcess::start("mount.quobyte", &arguments);
    let mut lines = BufReader::new(lines).lines();
    assert_eq!(lines.next().expect("a line").expect("read the log"), "mounted");
    assert!(mount_at(&path).is_some());
    assert!(unmount(&path).status.success());
    assert!(client.wait_for_end().success());
    assert_eq!(lines.next().expect("a line").expect("read the log"), "unmounted");
}
