//! Files that this user alone writes: whatever else lies in their place is refused, and not waited for.

use std::fs::{File, Metadata, OpenOptions, Permissions, set_permissions};
use std::io::{self, Error, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::users;

/// The mode of a file that is made.
const MODE: u32 = 0o600;

/// Opens a regular file of this user's. A FIFO would have its reader wait for who writes, and a lock on another user's
/// file may be held by that user. `options` do not truncate: what is refused stays as it was.
pub(super) fn open(path: &Path, options: &OpenOptions) -> io::Result<File> {
    open_checked(path, options).map(|(file, _)| file)
}

fn open_checked(path: &Path, options: &OpenOptions) -> io::Result<(File, Metadata)> {
    let mut options = options.clone();
    options.mode(MODE).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is no regular file"));
    }
    check_owner(&metadata)?;
    Ok((file, metadata))
}

/// The same for a file that `options` may make: this user may read and write it, whatever the umask.
pub(super) fn make(path: &Path, options: &OpenOptions) -> io::Result<File> {
    let (file, metadata) = match open_checked(path, options) {
        // A process whose umask took it from its owner was killed as it made it.
        Err(error) if error.kind() == ErrorKind::PermissionDenied && is_closed_to_owner(path)? => {
            set_permissions(path, Permissions::from_mode(MODE)).map_err(|_| error)?;
            open_checked(path, options)?
        }
        opened => opened?,
    };
    if metadata.mode() & MODE != MODE {
        file.set_permissions(Permissions::from_mode(MODE))?;
    }
    Ok(file)
}

/// Whether it is a file of this user's that its mode keeps from this user.
fn is_closed_to_owner(path: &Path) -> io::Result<bool> {
    let Ok(metadata) = path.symlink_metadata() else { return Ok(false) };
    check_owner(&metadata)?;
    Ok(metadata.is_file() && metadata.mode() & MODE != MODE)
}

fn check_owner(metadata: &Metadata) -> io::Result<()> {
    if metadata.uid() == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    let owner = users::name(metadata.uid());
    let reason = format!("it belongs to user {owner}, who may hold it; remove it once nobody does");
    Err(Error::new(ErrorKind::PermissionDenied, reason))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn only_own_regular_files_are_opened() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let options = |write: bool| {
            let mut options = OpenOptions::new();
            options.read(true).write(write).create(write);
            options
        };
        open(&path("own"), &options(true)).unwrap();
        set_permissions(path("own"), Permissions::from_mode(0o200)).unwrap();
        // Root may open it, too.
        let _ = open(&path("own"), &options(false));
        assert_eq!(path("own").metadata().unwrap().mode() & 0o7777, 0o200, "whoever closed it meant it");
        make(&path("own"), &options(true)).unwrap();
        assert_eq!(path("own").metadata().unwrap().mode() & 0o7777, MODE);
        mknodat(CWD, path("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        symlink(path("own"), path("link")).unwrap();
        for name in ["fifo", "link", "."] {
            open(&path(name), &options(false)).unwrap_err();
        }
        open(&path("fifo"), &options(true)).unwrap_err();
        // Only root can give a file away.
        if rustix::process::geteuid().is_root() {
            chown(path("own"), Some(65534), None).unwrap();
            let error = open(&path("own"), &options(false)).unwrap_err();
            assert!(error.to_string().contains("belongs to user"), "{error}");
        }
    }
}
