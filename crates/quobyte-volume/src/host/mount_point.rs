//! The directory that a share is mounted on: made with the way to it, never over anything, and removed again.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, StatxFlags, open, openat2, statx};

use super::{crash, directory};

/// Makes the directory at `path` and what is missing on the way there; returns what it made, outermost first.
///
/// # Errors
/// When something else than an empty directory is in the way, or a directory cannot be made.
pub(super) fn make(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut made = Vec::new();
    if let Err(error) = create_with_retries(path, &mut made).and_then(|()| check_usable(path)) {
        // What cannot be removed again is an empty directory; the cause is what has to be told.
        for directory in made.iter().rev() {
            let _ = remove(directory);
        }
        return Err(error);
    }
    Ok(made)
}

fn check_usable(path: &Path) -> io::Result<()> {
    // A link here would have the client mount wherever it points.
    if file_type(path)? != FileType::Directory {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    first_entry(path)?.map_or(Ok(()), |entry| Err(not_empty_error(&entry)))
}

/// Removes an empty directory that was mounted on. One that is not there is as good as removed.
#[expect(clippy::disallowed_methods, reason = "mount directories are removed here alone")]
pub(super) fn remove(directory: &Path) -> io::Result<()> {
    crash::point("a directory is about to go");
    match std::fs::remove_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => {
            crash::point("a directory is gone");
            Ok(())
        }
    }
}

/// How often the way to a mount point may be removed while it is made.
const MAX_RETRIES: usize = 100;

/// Makes the directory at `path` and what is missing on the way there, and adds each to `made`.
///
/// A failing connect to another share removes the directories that it has made on the way. Then this starts again.
fn create_with_retries(path: &Path, made: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut retries = 0;
    loop {
        match create_missing(path, made) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && retries < MAX_RETRIES => retries += 1,
            result => return result,
        }
    }
}

fn create_missing(path: &Path, made: &mut Vec<PathBuf>) -> io::Result<()> {
    let missing: Vec<_> = path.ancestors().take_while(|path| file_type(path).is_err()).collect();
    // A process that was killed may have made the last of those that are there.
    if let Some(last) = path.ancestors().nth(missing.len()) {
        directory::finish(last, MODE)?;
    }
    for &directory in missing.iter().rev() {
        // Another share's connect makes the same base.
        if directory::make(directory, MODE)? {
            made.push(directory.to_owned());
        }
    }
    Ok(())
}

/// The mode of a directory that is made on the way to a mount: QEMU, which is another user, has to pass it.
const MODE: u32 = 0o755;

/// What is at `path`, without asking a file system that may be mounted there meanwhile.
fn file_type(path: &Path) -> io::Result<FileType> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    Ok(FileType::from_raw_mode(statx(CWD, path, flags, StatxFlags::TYPE)?.stx_mode.into()))
}

/// What lies in the directory at `path` itself, and not in what may be mounted there meanwhile, which is not asked.
fn first_entry(path: &Path) -> io::Result<Option<OsString>> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let directory = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = open(parent, directory | OFlags::PATH, Mode::empty())?;
    let same_mount = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    let directory = openat2(parent, name, directory | OFlags::RDONLY, Mode::empty(), same_mount)?;
    for entry in Dir::new(directory)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            return Ok(Some(name.to_owned()));
        }
    }
    Ok(None)
}

/// A mount would cover what somebody has written here while the volume was not mounted, perhaps a guest's data.
fn not_empty_error(entry: &OsStr) -> io::Error {
    let reason =
        format!("it holds {entry:?} on this host's own disk, which a mount would hide; move that away");
    io::Error::new(io::ErrorKind::DirectoryNotEmpty, reason)
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::pure::connection::Export;
    use crate::pure::mount_path::MountPath;

    fn at(base: &Path) -> MountPath {
        MountPath::new(base, &Export::parse("reg/vol").unwrap())
    }

    #[test]
    fn created_directories_are_outermost_first() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().join("a/b");
        let at = at(&base);
        let made = make(at.as_path()).unwrap();
        assert_eq!(made, [directory.path().join("a"), base, at.as_path().to_owned()]);
        assert!(at.as_path().is_dir());
        assert!(make(at.as_path()).unwrap().is_empty());
    }

    #[test]
    fn base_of_killed_process_is_passable() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().join("mnt");
        make(&base).unwrap();
        // As a process leaves it that is killed before it sets the mode.
        let set = |path: &Path, mode| set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
        set(&base, 0o1700);
        let at = at(&base);
        make(at.as_path()).unwrap();
        assert_eq!((mode(&base), mode(at.as_path())), (0o755, 0o755));
        set(at.as_path(), 0o1000);
        make(at.as_path()).unwrap();
        assert_eq!(mode(at.as_path()), 0o755);
    }

    #[test]
    fn mount_base_below_dangling_link_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("nothing", &link).unwrap();
        let error = make(at(&link.join("mnt")).as_path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn symlink_at_mount_point_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let at = at(directory.path());
        std::os::unix::fs::symlink("/tmp", at.as_path()).unwrap();
        assert_eq!(make(at.as_path()).unwrap_err().kind(), io::ErrorKind::NotADirectory);
        assert!(at.as_path().is_symlink());
    }

    #[test]
    fn non_empty_mount_point_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let at = at(directory.path());
        make(at.as_path()).unwrap();
        std::fs::File::create(at.as_path().join("volume-1")).unwrap();
        let error = make(at.as_path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::DirectoryNotEmpty);
        assert!(error.to_string().contains("volume-1"), "{error}");
    }

    #[test]
    fn only_empty_directories_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        remove(&directory.path().join("none")).unwrap();
        std::fs::File::create(directory.path().join("file")).unwrap();
        assert!(remove(directory.path()).is_err());
        assert!(directory.path().is_dir());
    }
}
