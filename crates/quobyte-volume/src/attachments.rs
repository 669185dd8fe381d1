//! Who uses which share: durable records, and the lock that goes with each.
//!
//! ```text
//! <state_dir>/shares/<key>.json   one share: its export, its mount, its attachments
//! <state_dir>/locks/<key>.lock    held while anything about that share changes
//! ```
//!
//! Mounts do not outlive a reboot, so records need not either: the directory belongs on a tmpfs, and nothing is
//! synced. A record is replaced whole (written beside, then renamed), so a process killed at any point leaves the old
//! one or the new one. A share's record is in place before its mount is made and goes after its mount is gone.

mod lock;
mod record;

use std::io;
use std::path::{Path, PathBuf};

pub use self::lock::LockedShare;
pub use self::record::{Attachment, ShareRecord};
use crate::deadline::Deadline;
use crate::error::Code;
use crate::mount::MountPath;

/// The directory that holds records and locks.
#[derive(Debug, Clone)]
pub struct StateDir {
    path: PathBuf,
}

/// Why records cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The state directory is not there, not ours or not writable. There is no fallback: two directories would mean
    /// two sets of locks.
    #[error(
        "state directory {path} {reason}; make it for the user that runs this, or name another with --state-dir"
    )]
    Unavailable {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
        /// What the kernel said, if it was asked.
        source: Option<io::Error>,
    },
    /// A file of the state directory cannot be read or written.
    #[error("{path} cannot be read or written")]
    Io {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// Another process held the share until the deadline.
    #[error("{at} is still held by another operation")]
    Locked {
        /// The share's mount point.
        at: MountPath,
    },
    /// The record is of a version this program does not know.
    #[error("{path} was written by a newer version of this program (record version {version})")]
    Newer {
        /// The record's file.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
    /// The record cannot be understood.
    #[error("{path} is not a record of this program")]
    Unreadable {
        /// The record's file.
        path: PathBuf,
        /// Where it stops making sense.
        source: serde_json::Error,
    },
}

impl StateError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Unavailable { .. } | Self::Io { .. } => Code::StateUnavailable,
            Self::Locked { .. } => Code::LockTimeout,
            Self::Newer { .. } | Self::Unreadable { .. } => Code::RecordUnsupported,
        }
    }
}

impl StateDir {
    /// Opens the state directory at `path`. It is made if its parent lets this user make it.
    ///
    /// # Errors
    /// [`StateError::Unavailable`] when there is no such directory or it belongs to another user, whose mounts and
    /// locks are not ours to touch.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        use std::os::unix::fs::MetadataExt;
        let unavailable = |reason, source| StateError::Unavailable {
            path: path.to_owned(),
            reason,
            source,
        };
        make_directory(path).map_err(|source| unavailable("cannot be made", Some(source)))?;
        let directory = path
            .metadata()
            .map_err(|source| unavailable("cannot be used", Some(source)))?;
        if directory.uid() != rustix::process::geteuid().as_raw() {
            return Err(unavailable("belongs to another user", None));
        }
        for part in ["shares", "locks"] {
            make_directory(&path.join(part))
                .map_err(|source| unavailable("is not writable", Some(source)))?;
        }
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// Waits until no other process or thread holds the share at `at`, then holds it.
    ///
    /// # Errors
    /// [`StateError::Locked`] at the deadline, [`StateError::Io`] when the lock file cannot be used.
    pub(crate) fn lock(&self, at: &MountPath, deadline: Deadline) -> Result<LockedShare, StateError> {
        let key = at.key();
        let held = lock::hold(&self.path.join("locks").join(format!("{key}.lock")), at, deadline)?;
        Ok(LockedShare::new(
            held,
            self.path.join("shares").join(format!("{key}.json")),
        ))
    }

    /// Every share's record, or why it cannot be used, in no order. A snapshot: nothing is held.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn records(&self) -> Result<Vec<Result<ShareRecord, StateError>>, StateError> {
        let directory = self.path.join("shares");
        let io = |source| StateError::Io {
            path: directory.clone(),
            source,
        };
        let mut records = Vec::new();
        for entry in directory.read_dir().map_err(io)? {
            let path = entry.map_err(io)?.path();
            // What is being written has another ending until it is whole.
            if path.extension().is_some_and(|extension| extension == "json") {
                records.extend(record::read(&path).transpose());
            }
        }
        Ok(records)
    }
}

#[expect(clippy::disallowed_methods, reason = "the state directory is made here alone")]
fn make_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
