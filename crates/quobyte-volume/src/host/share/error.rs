//! Why a share gives no answer, or no good one.

use std::io;
use std::path::PathBuf;

use super::client_calls::{ChainFailure, RefusedRequests};
use crate::error::Code;
use crate::host::records::StateError;
use crate::pure::image::Violation;
use crate::pure::mount_path::MountPath;

/// Why the share gave no answer, or no good one.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// The client behind the mount is gone: the kernel says that it has ended the connection to it.
    #[error("the client of {at} is dead")]
    Dead {
        /// The share's mount point.
        at: MountPath,
        /// What the kernel said.
        source: io::Error,
    },
    /// The share answers as if its client were gone (ENOTCONN, ECONNABORTED, ESTALE), which a client that lives can do as
    /// well.
    #[error("{at} is not served")]
    Unserved {
        /// The share's mount point.
        at: MountPath,
        /// Which requests were refused so.
        refused: RefusedRequests,
        /// What the kernel, or the client, said.
        source: io::Error,
    },
    /// There was no answer by the deadline.
    #[error("{at} does not answer")]
    Hung {
        /// The share's mount point.
        at: MountPath,
    },
    /// There is no such file.
    #[error("{path} does not exist")]
    Missing {
        /// The file asked for.
        path: PathBuf,
    },
    /// A file breaks a rule.
    #[error("{path} is refused: {violation}")]
    Refused {
        /// The file: the one asked for, or one below it.
        path: PathBuf,
        /// The rule, and by what it is broken.
        violation: Violation,
    },
    /// The share answered with another error.
    #[error("{path} cannot be looked at")]
    Failed {
        /// The file or directory asked for.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The helper process cannot be had.
    #[error("the helper {program} cannot be used")]
    Helper {
        /// Its program.
        program: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// The lock under which the share is asked cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
}

impl ShareError {
    /// The stable code, where the share itself is at fault and not an image on it.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Dead { .. } | Self::Unserved { .. } => Code::MountStale,
            Self::Hung { .. } => Code::MountHung,
            Self::Missing { .. } | Self::Refused { .. } | Self::Failed { .. } => Code::MountNotVisible,
            Self::State(error) => error.code(),
            Self::Helper { source, .. } => Code::Internal.unless_exhausted(source),
        }
    }
}

impl ChainFailure {
    /// This failure as an error of the share at `at`.
    pub(super) fn into_share_error(self, at: &MountPath) -> ShareError {
        match self {
            Self::Refused(path, violation) => {
                ShareError::Refused { path: at.as_path().join(path.as_path()), violation }
            }
            Self::Failed(path, errno) => share_error(at, at.as_path().join(path.as_path()), errno),
        }
    }
}

/// The error that the number `errno` stands for on a share.
pub(super) fn share_error(at: &MountPath, path: PathBuf, errno: i32) -> ShareError {
    let source = io::Error::from_raw_os_error(errno);
    match errno {
        libc::ENOTCONN | libc::ESTALE | libc::ECONNABORTED => {
            ShareError::Unserved { at: at.clone(), refused: RefusedRequests::Some, source }
        }
        libc::ENOENT => ShareError::Missing { path },
        _ => ShareError::Failed { path, source },
    }
}
