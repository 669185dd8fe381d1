//! What the stand-in client promises on its command line and in the mount table.
#![expect(clippy::disallowed_methods, reason = "a test looks at its files and changes them itself")]

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use e2e::{Asker, Daemon, Finished, Lab, Program, Scratch, Volume, make_pipe, mount_at};

/// A volume that nobody has mounted yet, and a place for it.
struct Place {
    volume: Volume,
    path: PathBuf,
    scratch: Scratch,
}

impl Place {
    fn new(settings: &[&str]) -> Self {
        let scratch = Scratch::new();
        Self { volume: Volume::create(&scratch, "vol", settings), path: scratch.directory("mnt"), scratch }
    }

    /// `mount.quobyte OPTIONS EXPORT PATH -c CONFIG`, with a `CONFIG` that finds the volume.
    fn ask(&self, client: Program, options: &[&str], export: &str) -> Finished {
        client.args(options).arg(export).arg(&self.path).arg("-c").arg(self.volume.config()).run()
    }

    fn refused(&self, finished: &Finished, status: i32, text: &str) {
        assert_eq!(finished.status.code(), Some(status), "{finished:?}");
        assert!(finished.stderr.contains(text), "{finished:?}");
        assert_eq!(mount_at(&self.path), None);
    }
}

impl Drop for Place {
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
fn the_mount_table_shows_a_users_mount_as_the_real_clients() {
    let place = Place::new(&[]);
    let finished = place.ask(client(), &["--disable-xattrs"], "quobyte://h1:7861,h2,h3/vol");
    assert!(finished.status.success(), "{finished:?}");
    let entry = mount_at(&place.path).expect("the volume is mounted");
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
fn the_mount_table_shows_roots_mount_the_same_way() {
    let place = Place::new(&[]);
    let finished = place.ask(Program::as_root("mount.quobyte"), &[], "h1,h2/vol");
    assert!(finished.status.success(), "{finished:?}");
    let entry = mount_at(&place.path).expect("the volume is mounted");
    assert_eq!((entry.fs_type.as_str(), entry.source.as_str()), ("fuse.quobyte", "quobyte@h1|h2/vol"));
    assert!(entry.super_options.contains("allow_other"), "{entry:?}");
    let finished = Program::as_root("umount.quobyte").arg(&place.path).run();
    assert!(finished.status.success(), "{finished:?}");
    assert_eq!(mount_at(&place.path), None);
}

#[test]
fn the_root_has_no_size_and_the_space_is_the_stores() {
    let place = Place::new(&[]);
    place.ask(client(), &[], "h/vol");
    fs::write(place.volume.directory().join("file"), "data").expect("write to the store");
    assert_eq!(fs::metadata(&place.path).expect("stat the mount").size(), 0);
    let space = |path: &Path| {
        let space = rustix::fs::statvfs(path).expect("ask for the space");
        (space.f_blocks, space.f_frsize, space.f_namemax)
    };
    assert_eq!(space(&place.path), space(place.volume.directory()));
}

#[test]
fn without_a_volume_every_volume_is_a_directory() {
    let place = Place::new(&[]);
    fs::write(place.volume.directory().join("file"), "data").expect("write to the store");
    let finished = place.ask(client(), &[], "h/");
    assert!(finished.status.success(), "{finished:?}");
    let entry = mount_at(&place.path).expect("the volumes are mounted");
    assert_eq!(entry.source, "quobyte@h/");
    assert_eq!(fs::read_to_string(place.path.join("vol/file")).expect("read through the mount"), "data");
}

#[test]
fn a_command_line_it_does_not_know_is_refused_with_the_usage() {
    let place = Place::new(&[]);
    for options in [&["--nonsense"][..], &["-x"], &["--disable-xattrs=yes"], &["-o", "=x"]] {
        let finished = place.ask(client(), options, "h/vol");
        place.refused(&finished, 1, "usage: mount.quobyte");
    }
    place.refused(&place.ask(client(), &[], "no-volume"), 1, "usage: mount.quobyte");
}

#[test]
fn the_version_comes_with_a_failing_status() {
    let finished = client().arg("--version").run();
    assert_eq!(finished.status.code(), Some(1));
    assert!(finished.stdout.starts_with("mount.quobyte "), "{finished:?}");
}

#[test]
fn under_its_own_name_it_tells_how_to_call_it() {
    let finished = Program::as_nova("quobyte-standin").run();
    assert_eq!(finished.status.code(), Some(1));
    assert!(finished.stderr.contains("mount.quobyte"), "{finished:?}");
}

#[test]
fn a_volume_that_does_not_exist_is_refused() {
    let place = Place::new(&[]);
    place.refused(&place.ask(client(), &[], "h/other"), 4, "cannot open volume \"other\"");
}

#[test]
fn a_volume_that_is_a_link_out_of_the_store_is_refused() {
    let place = Place::new(&[]);
    let store = place.volume.directory().parent().expect("a volume is in a store");
    std::os::unix::fs::symlink("/etc", store.join("link")).expect("make a link");
    place.refused(&place.ask(client(), &[], "h/link"), 4, "cannot open volume \"link\"");
}

#[test]
fn a_configuration_that_is_named_and_missing_is_refused() {
    let place = Place::new(&[]);
    let missing = place.scratch.path().join("missing.cfg");
    let finished = client().arg("h/vol").arg(&place.path).arg("-c").arg(&missing).run();
    place.refused(&finished, 4, "cannot read configuration");
}

#[test]
fn the_store_can_come_from_the_environment() {
    let place = Place::new(&[]);
    let store = place.volume.directory().parent().expect("a volume is in a store");
    let finished = client().env("QUOBYTE_STANDIN_STORE", store).arg("h/vol").arg(&place.path).run();
    assert!(finished.status.success(), "{finished:?}");
    assert!(mount_at(&place.path).is_some());
}

#[test]
fn a_mount_point_that_is_not_there_is_refused() {
    let place = Place::new(&[]);
    fs::remove_dir(&place.path).expect("remove the mount point");
    place.refused(&place.ask(client(), &[], "h/vol"), 4, "cannot mount on");
}

#[test]
fn a_mount_point_in_use_is_refused_and_keeps_its_mount() {
    let place = Place::new(&[]);
    place.ask(client(), &[], "h1/vol");
    let before = mount_at(&place.path);
    assert!(before.is_some());
    let finished = place.ask(client(), &[], "h2/vol");
    assert_eq!(finished.status.code(), Some(4), "{finished:?}");
    assert!(finished.stderr.contains("is busy or already mounted"), "{finished:?}");
    assert_eq!(mount_at(&place.path), before);
}

#[test]
fn a_read_only_mount_takes_no_changes() {
    let place = Place::new(&[]);
    place.ask(client(), &["-o", "ro,user_xattr"], "h/vol");
    let error = fs::write(place.path.join("file"), "data").expect_err("the mount is read-only");
    assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
}

#[test]
fn unmounting_a_busy_mount_fails_with_the_kernels_words() {
    let place = Place::new(&[]);
    place.ask(client(), &[], "h/vol");
    let file = fs::File::create(place.path.join("file")).expect("make a file");
    let finished = unmount(&place.path);
    assert!(!finished.status.success());
    assert!(finished.stderr.contains("Device or resource busy"), "{finished:?}");
    assert!(mount_at(&place.path).is_some());
    drop(file);
}

#[test]
fn the_daemon_ends_when_it_is_unmounted() {
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
fn the_log_tells_when_it_mounted_and_unmounted() {
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
fn quobytes_extended_attributes_can_be_turned_off() {
    let place = Place::new(&[]);
    let value = || {
        let mut value = [0; 256];
        rustix::fs::getxattr(&place.path, "quobyte.info", &mut value)
            .map(|length| String::from_utf8_lossy(&value[..length]).into_owned())
    };
    place.ask(client(), &[], "h/vol");
    let info = value().expect("the attribute is there");
    assert!(info.contains("object_size_bytes: 8388608\n"), "{info}");
    let other = rustix::fs::setxattr(&place.path, "user.x", b"1", rustix::fs::XattrFlags::empty());
    assert_eq!(other, Err(rustix::io::Errno::NOTSUP));
    assert!(unmount(&place.path).status.success());
    place.ask(client(), &["--disable-xattrs"], "h/vol");
    assert_eq!(value(), Err(rustix::io::Errno::NOTSUP));
}

#[test]
fn in_the_foreground_it_serves_until_it_is_unmounted_and_logs_the_same() {
    let scratch = Scratch::new();
    let (log, pid_file) = (scratch.path().join("log"), scratch.path().join("pid"));
    let setting = format!("standin.pid_file={}", pid_file.display());
    let volume = Volume::create(&scratch, "vol", &[&setting]);
    let path = scratch.directory("mnt");
    make_pipe(&log);
    let lines = fs::File::options().read(true).write(true).open(&log).expect("open the log");
    let arguments = ["-f", "-l"].map(Path::new).into_iter().chain([log.as_path(), Path::new("h/vol"), &path]);
    let arguments: Vec<&Path> = arguments.chain([Path::new("-c"), volume.config()]).collect();
    let mut client = Asker::start("mount.quobyte", &arguments);
    let mut lines = BufReader::new(lines).lines();
    assert_eq!(lines.next().expect("a line").expect("read the log"), "mounted");
    assert!(mount_at(&path).is_some());
    assert!(unmount(&path).status.success());
    assert!(client.wait_for_end().success());
    assert_eq!(lines.next().expect("a line").expect("read the log"), "unmounted");
}
