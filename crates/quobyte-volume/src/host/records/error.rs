//! Why records cannot be used.

use std::io;
use std::path::PathBuf;

use crate::error::Code;

/// Why records cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The state directory is not there, not ours alone or not writable. There is no fallback: two directories would mean
    /// two sets of locks.
    #[error("state directory {path} {reason}; {remedy}")]
    Unavailable {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What a person can do about it.
        remedy: String,
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
    /// Another process held the share, or the disk, until the deadline.
    #[error("{what} is still held by another operation")]
    Locked {
        /// The share's mount point, or the disk of a guest.
        what: String,
    },
    /// The record is of a version this program does not know.
    #[error(
        "{path} was written by a newer version of nova-quobyte (record version {version}) than this process runs: restart \
         the service, or run the command that is installed now"
    )]
    NewerVersion {
        /// The record's file.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
    /// The record cannot be understood.
    #[error("{path} is not a record of this program")]
    Malformed {
        /// The record's file.
        path: PathBuf,
        /// Where it stops making sense.
        source: serde_json::Error,
    },
}

impl StateError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Unavailable { source: Some(source), .. } | Self::Io { source, .. } => {
                Code::StateUnavailable.unless_exhausted(source)
            }
            Self::Unavailable { source: None, .. } => Code::StateUnavailable,
            Self::Locked { .. } => Code::LockTimeout,
            Self::NewerVersion { .. } | Self::Malformed { .. } => Code::RecordUnsupported,
        }
    }
}
