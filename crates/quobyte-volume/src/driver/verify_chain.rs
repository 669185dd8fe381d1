//! Whether the image that was looked at may be given to a guest.

use super::error::Error;
use crate::host::share::{ChainReply, ShareError};
use crate::mount::MountError;
use crate::pure::connection::ImageFormat;
use crate::pure::image::{self, DeclaredImage, ImageError, Layer, Rule, Violation};
use crate::pure::kernel_mount::Mount;
use crate::pure::mount_path::MountPath;

/// Makes sure that the image, and everything below it, may be given to a guest: regular files on `mount`, the healthy
/// mount at `at`, that keep every [`Rule`]. Returns its layers, the image first.
pub(super) fn verify_chain(
    DeclaredImage { name, format }: DeclaredImage<'_>,
    chain: ChainReply,
    mount: &Mount,
    at: &MountPath,
) -> Result<Vec<Layer>, Error> {
    let rejected = |path, violation| Error::from(ImageError::Rejected { path, violation });
    if format == ImageFormat::Raw && image::is_snapshot(name.as_str()) {
        return Err(rejected(at.image(name), Violation::new(Rule::SnapshotDeclaredRaw, name)));
    }
    let layers = chain.map_err(|error| match error {
        ShareError::Missing { path } => ImageError::Missing { path }.into(),
        ShareError::Refused { path, violation } => rejected(path, violation),
        source => MountError::Unreadable { at: at.clone(), source }.into(),
    })?;
    // The mount that was verified and the one that the image was found on may be two, if somebody mounts meanwhile.
    match layers.iter().find(|layer| layer.identity.device != mount.device) {
        Some(layer) => {
            let violation = Violation::new(Rule::LeadsAway, &layer.path);
            Err(rejected(at.as_path().join(layer.path.as_path()), violation))
        }
        None => Ok(layers),
    }
}
