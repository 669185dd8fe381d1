//! Directories that are made with a mode, whatever this process's umask is.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use rustix::fs::{Mode, OFlags, chmod, open};

use super::crash;

/// What a directory has beside its mode until that is set. The umask does not take the sticky bit, which means nothing on
/// a directory that its owner alone may write, so one that a killed process left behind is known.
const UNFINISHED: u32 = 0o1000;

/// Makes the directory at `path` with that mode, by which its owner alone may write, unless something is there; returns
/// whether it did.
///
/// # Errors
/// When it cannot be made or not get its mode; then it is gone again.
#[expect(clippy::disallowed_methods, reason = "directories of ours are made here alone")]
pub(super) fn make(path: &Path, mode: u32) -> io::Result<bool> {
    match DirBuilder::new().mode(mode | UNFINISHED).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            finish(path, mode)?;
            Ok(false)
        }
        result => {
            result?;
            crash::point("a directory has been made");
            set_mode(path, mode).inspect_err(|_| {
                // The cause is what has to be told.
                let _ = std::fs::remove_dir(path);
            })?;
            Ok(true)
        }
    }
}

/// Gives a directory of this user's its mode if a process was killed between making it and that.
///
/// # Errors
/// When the mode cannot be set.
pub(super) fn finish(path: &Path, mode: u32) -> io::Result<()> {
    let own = rustix::process::geteuid().as_raw();
    let is_unfinished = path.symlink_metadata().is_ok_and(|found| {
        found.is_dir() && found.uid() == own && found.mode() & (UNFINISHED | 0o022) == UNFINISHED
    });
    if is_unfinished { set_mode(path, mode) } else { Ok(()) }
}

/// A link in the directory's place is not followed.
fn set_mode(directory: &Path, mode: u32) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = open(directory, flags, Mode::empty())?;
    let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
    Ok(chmod(path, Mode::from_raw_mode(mode))?)
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o7777
    }

    #[test]
    fn directory_of_killed_process_gets_its_mode() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made");
        assert!(make(&path, 0o755).unwrap());
        assert_eq!(mode(&path), 0o755);
        // As after a process whose umask was 0777.
        set_permissions(&path, Permissions::from_mode(UNFINISHED)).unwrap();
        assert!(!make(&path, 0o755).unwrap());
        assert_eq!(mode(&path), 0o755);
    }

    #[test]
    fn mode_of_anything_else_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::File::create(path("file")).unwrap();
        assert!(make(&path("elsewhere"), 0o755).unwrap());
        symlink(path("elsewhere"), path("link")).unwrap();
        assert!(make(&path("open"), 0o755).unwrap());
        for (name, found) in [("file", 0o1400), ("link", 0o1500), ("open", 0o1777), ("elsewhere", 0o500)] {
            set_permissions(path(name), Permissions::from_mode(found)).unwrap();
            assert!(!make(&path(name), 0o700).unwrap());
            assert_eq!(mode(&path(name)), found, "{name}");
        }
    }
}
