//! Whose the state directory is. Whoever else may write in it can take records away, and whoever may pass its parts can
//! hold locks.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::StateError;
use crate::host::users;

/// The permission to write of the group and of others.
const WRITABLE: u32 = 0o022;
/// The sticky bit: in a directory that others may write, they rename and remove only what is theirs.
const STICKY: u32 = 0o1000;

/// Makes sure that nobody but this user may change the state directory, and that not every user may put another in its
/// place. Owners and groups of what is above it are trusted: on Debian `/var/local` is its group's to write.
///
/// # Errors
/// [`StateError::Unavailable`] with what to do about it.
pub(super) fn check_directory(path: &Path) -> Result<(), StateError> {
    let own = read(path, path.metadata())?;
    check_owner(path, &own)?;
    if own.mode() & WRITABLE != 0 {
        return Err(unavailable(
            path,
            "may be written by others".to_owned(),
            format!("chmod go-w {}", path.display()),
        ));
    }
    let real = path.canonicalize().map_err(|error| cannot_be_used(path, error))?;
    for above in real.ancestors().skip(1) {
        let mode = read(above, above.metadata())?.mode();
        if mode & 0o002 != 0 && mode & STICKY == 0 {
            let above = above.display();
            let reason = format!("is in {above}, where every user may put another in its place");
            return Err(unavailable(
                path,
                reason,
                format!("chmod o-w {above}, or name another with --state-dir"),
            ));
        }
    }
    Ok(())
}

/// Makes sure that a directory in it is this user's, and closed to others. One that is not there is as good.
///
/// # Errors
/// As [`check_directory`].
pub(super) fn check_part(path: &Path) -> Result<(), StateError> {
    let metadata = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => read(path, metadata)?,
    };
    if !metadata.is_dir() {
        let remedy = format!("move it away: mv {0} {0}.old", path.display());
        return Err(unavailable(path, "is no directory".to_owned(), remedy));
    }
    check_owner(path, &metadata)?;
    if metadata.mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(unavailable(path, "is open to others".to_owned(), format!("chmod go= {}", path.display())))
}

fn check_owner(path: &Path, metadata: &Metadata) -> Result<(), StateError> {
    if metadata.uid() == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    let owner = users::name(metadata.uid());
    let remedy = format!("run this as its owner, who has the records: sudo -u '{owner}' nova-quobyte …");
    Err(unavailable(path, format!("belongs to user {owner}"), remedy))
}

fn read(path: &Path, metadata: io::Result<Metadata>) -> Result<Metadata, StateError> {
    metadata.map_err(|error| cannot_be_used(path, error))
}

/// Why the state directory, or a part of it, cannot be made or looked at.
pub(super) fn cannot_be_used(path: &Path, source: io::Error) -> StateError {
    let user = users::name(rustix::process::geteuid().as_raw());
    let remedy = format!(
        "have root make it for user {user}: install -d -o '{user}' -m 700 {}; or name another with --state-dir",
        path.display()
    );
    StateError::Unavailable {
        path: path.to_owned(),
        reason: "cannot be used".to_owned(),
        remedy,
        source: Some(source),
    }
}

fn unavailable(path: &Path, reason: String, remedy: String) -> StateError {
    StateError::Unavailable { path: PathBuf::from(path), reason, remedy, source: None }
}
