//! What a file on the share is, and whether it may be given to a guest.

mod chain;
mod detect;
mod path;
mod qcow2;
mod source;
mod violation;

use std::path::PathBuf;

pub use self::chain::{ChainError, Identity, Layer, MAX_LAYERS, Opened, walk};
pub use self::path::RelativePath;
pub use self::qcow2::{Backing, Header};
pub use self::source::ReadAt;
pub use self::violation::{InspectError, Rule, Violation};
use crate::connection::ImageName;
use crate::error::Code;
use crate::mount::{Host, Mount, MountError, MountPath};
use crate::share::{ImageFacts, ShareError};

/// Why a file may not be given to a guest.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// There is no such file.
    #[error("image {path} does not exist on the volume")]
    Missing {
        /// The file asked for.
        path: PathBuf,
    },
    /// The file breaks a rule.
    #[error("image {path} is refused: {rule}")]
    Rejected {
        /// The file asked for.
        path: PathBuf,
        /// The rule it breaks.
        rule: &'static str,
    },
}

impl ImageError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Missing { .. } => Code::ImageMissing,
            Self::Rejected { .. } => Code::ImageRejected,
        }
    }
}

/// Why an image could not be vouched for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Mount(#[from] MountError),
}

/// Makes sure that `name` is a regular file directly on `mount`, the healthy mount at `at`.
pub(crate) fn check(
    host: &dyn Host,
    at: &MountPath,
    name: &ImageName,
    mount: &Mount,
) -> Result<ImageFacts, CheckError> {
    let path = at.image(name);
    let facts = match host.image(at, name) {
        Ok(facts) => facts,
        Err(ShareError::Missing { path }) => return Err(ImageError::Missing { path }.into()),
        Err(ShareError::LeadsAway { path }) => {
            let rule = "it is a symbolic link, or something is mounted on it";
            return Err(ImageError::Rejected { path, rule }.into());
        }
        Err(source) => {
            return Err(MountError::Unreadable { at: at.clone(), source }.into());
        }
    };
    if !facts.is_regular {
        return Err(ImageError::Rejected { path, rule: "it is not a regular file" }.into());
    }
    if facts.device != mount.device {
        return Err(ImageError::Rejected { path, rule: "it is not on the volume's own device" }.into());
    }
    Ok(facts)
}
