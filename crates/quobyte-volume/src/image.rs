//! What a file on the share is, and whether it may be given to a guest.

mod chain;
mod detect;
mod path;
mod qcow2;
mod source;
mod swap;
mod violation;

use std::path::PathBuf;

pub use self::chain::{ChainError, Identity, Layer, MAX_LAYERS, Opened, walk};
pub use self::path::RelativePath;
pub use self::qcow2::{Backing, Header};
pub use self::source::ReadAt;
pub(crate) use self::swap::check_same;
pub use self::violation::{InspectError, Rule, Violation};
use crate::connection::{ImageFormat, ImageName};
use crate::error::Code;
use crate::mount::{Host, Mount, MountError, MountPath};
use crate::share::ShareError;

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

/// Why an image could not be vouched for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Mount(#[from] MountError),
}

/// Makes sure that the image `name`, declared as `format`, and everything below it may be given to a guest: regular
/// files on `mount`, the healthy mount at `at`, that keep every [`Rule`]. Returns its layers, the image first.
pub(crate) fn check(
    host: &dyn Host,
    at: &MountPath,
    name: &ImageName,
    format: ImageFormat,
    mount: &Mount,
) -> Result<Vec<Layer>, CheckError> {
    let rejected = |path, violation| CheckError::Image(ImageError::Rejected { path, violation });
    if format == ImageFormat::Raw && is_snapshot(name) {
        return Err(rejected(at.image(name), Violation::new(Rule::SnapshotDeclaredRaw, name)));
    }
    let layers = host.chain(at, name, format).map_err(|error| match error {
        ShareError::Missing { path } => ImageError::Missing { path }.into(),
        ShareError::Refused { path, violation } => rejected(path, violation),
        source => CheckError::Mount(MountError::Unreadable { at: at.clone(), source }),
    })?;
    // The mount that was judged and the one that was looked at may be two, if somebody mounts meanwhile.
    match layers.iter().find(|layer| layer.identity.device != mount.device) {
        Some(layer) => {
            let violation = Violation::new(Rule::LeadsAway, &layer.path);
            Err(rejected(at.as_path().join(layer.path.as_path()), violation))
        }
        None => Ok(layers),
    }
}

/// Whether Cinder's Quobyte driver gives such a name to what a snapshot of a volume leaves: `volume-<uuid>.<snapshot>`.
fn is_snapshot(name: &ImageName) -> bool {
    let volume = name.as_str().strip_prefix("volume-").and_then(|rest| rest.split_once('.'));
    volume.is_some_and(|(id, _)| uuid::Uuid::try_parse(id).is_ok())
}
