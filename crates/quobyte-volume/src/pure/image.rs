//! What a file on the share is, and whether it may be given to a guest.

mod chain;
mod local_overlay;
mod other_formats;
mod path;
mod qcow2;
mod source;
mod swap;
mod violation;
mod volume_formats;

use std::path::PathBuf;

pub use self::chain::{ChainError, Identity, Layer, MAX_LAYERS, Opened, walk};
pub(crate) use self::local_overlay::named_paths;
pub use self::path::RelativePath;
pub use self::qcow2::{Backing, ImageHeader};
pub use self::source::ReadAt;
pub(crate) use self::swap::check_not_swapped;
pub use self::violation::{InspectError, Rule, Violation};
pub use self::volume_formats::VolumeFormats;
pub(crate) use self::volume_formats::is_snapshot;
use crate::error::Code;
use crate::pure::connection::{ConnectionInfo, ImageFormat, ImageName};

/// Why a file may not be given to a guest.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// There is no such file.
    #[error("image {path} does not exist on the volume")]
    Missing {
        /// The file: the one asked for, or one below it.
        path: PathBuf,
    },
    /// The file breaks a rule.
    #[error("{path} is refused: {violation}")]
    Rejected {
        /// The file: the one asked for, or one below it.
        path: PathBuf,
        /// The rule, and by what it is broken.
        violation: Violation,
    },
}

impl ImageError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Missing { .. } => Code::ImageMissing,
            Self::Rejected { violation, .. } => violation.code(),
        }
    }
}

/// An image as a caller asks for it.
#[derive(Debug, Clone, Copy)]
pub struct DeclaredImage<'a> {
    /// Its name, directly on the share.
    pub name: &'a ImageName,
    /// The format that it is declared as.
    pub format: ImageFormat,
}

impl<'a> From<&'a ConnectionInfo> for DeclaredImage<'a> {
    fn from(info: &'a ConnectionInfo) -> Self {
        Self { name: &info.name, format: info.format }
    }
}
