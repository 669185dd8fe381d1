//! An image with everything below it.
//!
//! A snapshot leaves the volume's data in one file and puts the guest's writes in an overlay that names it; a volume
//! made from a cached snapshot starts as such an overlay. So a guest is given a whole chain, and each link of it is
//! somebody's word on which file to open next.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

use super::path::RelativePath;
use super::qcow2::{Backing, ImageHeader, OpenCost};
use super::source::ReadAt;
use super::violation::{InspectError, Rule, Violation};
use crate::pure::connection::ImageFormat;
use crate::pure::guest_path::has_refused_character;
use crate::pure::kernel_mount::Device;

/// The most files a chain may have, which is also the most that libvirt follows. Cinder adds one per snapshot.
pub const MAX_LAYERS: usize = 200;

/// Which file it is, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The device it is on.
    pub device: Device,
    /// The inode's number.
    pub inode: u64,
    /// When the file was created, in seconds and nanoseconds since 1970, where the client tells it (statx's `btime`;
    /// over FUSE since Linux 6.6). A file system may give the number of a deleted file to the next one.
    #[serde(default, rename = "born", skip_serializing_if = "Option::is_none")]
    pub btime: Option<(i64, u32)>,
}

/// A file of the chain, opened.
pub struct Opened<'a> {
    /// Which file it is.
    pub identity: Identity,
    /// Its length in bytes.
    pub size: u64,
    /// Its content.
    pub content: Box<dyn ReadAt + 'a>,
}

impl fmt::Debug for Opened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("identity", &self.identity)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// One file of a chain that keeps every rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Where it is beneath the share.
    pub path: RelativePath,
    /// What the caller, or the layer above, declares it to be.
    pub format: ImageFormat,
    /// Which file was looked at.
    pub identity: Identity,
    /// The size of the disk it holds, in bytes.
    pub virtual_size: u64,
}

/// Why a chain could not be vouched for.
#[derive(Debug, thiserror::Error)]
pub enum ChainError<E> {
    /// A layer breaks a rule.
    #[error("{path} is refused: {violation}")]
    Refused {
        /// The layer.
        path: RelativePath,
        /// The rule, and by what it is broken.
        violation: Violation,
    },
    /// A layer cannot be read.
    #[error("{path} cannot be read")]
    Unreadable {
        /// The layer.
        path: RelativePath,
        /// What the layer's content answered.
        source: io::Error,
    },
    /// A layer cannot be opened.
    #[error(transparent)]
    Open(E),
}

/// Follows the chain from the file at `start`, which is declared as `format`, down to the layer that has nothing below.
///
/// The layers come back in that order. `open` is asked for one at a time and must open a regular file beneath the share
/// without following a link. A raw layer is the last one, and nothing that it holds is looked at.
///
/// # Errors
/// [`ChainError`], which names the layer at fault; what `open` answers is passed on as it is.
pub fn walk<'a, E>(
    start: RelativePath,
    format: ImageFormat,
    open: &mut dyn FnMut(&RelativePath) -> Result<Opened<'a>, E>,
) -> Result<Vec<Layer>, ChainError<E>> {
    let mut layers: Vec<Layer> = Vec::new();
    let mut next = Some(Backing { name: start, format });
    let mut cost = OpenCost::default();
    while let Some(Backing { name: path, format }) = next {
        let file = open(&path).map_err(ChainError::Open)?;
        let header = check_position(&layers, &path, file.identity)
            .map_err(InspectError::from)
            .and_then(|()| read_layer_header(&path, format, &file))
            .and_then(|header| {
                cost = cost.plus(header.cost);
                cost.check()?;
                Ok(header)
            });
        let header = match header {
            Ok(header) => header,
            Err(InspectError::Violation(violation)) => return Err(ChainError::Refused { path, violation }),
            Err(InspectError::Read(source)) => return Err(ChainError::Unreadable { path, source }),
        };
        layers.push(Layer { path, format, identity: file.identity, virtual_size: header.virtual_size });
        next = header.backing;
    }
    Ok(layers)
}

/// Checks whether a file may be the next layer below these.
fn check_position(above: &[Layer], path: &RelativePath, file: Identity) -> Result<(), Violation> {
    if let Some(of) = above.first().and_then(|top| top.path.volume())
        && path.volume().is_some_and(|other| other != of)
    {
        return Err(Violation::new(Rule::AnotherVolume, path));
    }
    let is_too_deep = above.len() >= MAX_LAYERS;
    Violation::check(!is_too_deep, Rule::ChainDepth, &format_args!("more than {MAX_LAYERS} files"))?;
    match above.iter().find(|layer| layer.identity == file) {
        Some(same) => Err(Violation::new(Rule::ChainLoop, &format_args!("it is {} as well", same.path))),
        None => Ok(()),
    }
}

/// Reads the header of a layer, and resolves the name of its backing file from the share's root.
fn read_layer_header(
    path: &RelativePath,
    format: ImageFormat,
    file: &Opened<'_>,
) -> Result<ImageHeader, InspectError> {
    match format {
        ImageFormat::Raw => {
            Ok(ImageHeader { virtual_size: file.size, backing: None, cost: OpenCost::default() })
        }
        ImageFormat::Qcow2 => {
            let mut header = ImageHeader::parse(&*file.content, file.size)?;
            if let Some(backing) = &mut header.backing {
                backing.name = path.resolve(&backing.name)?;
                let name = backing.name.to_string();
                Violation::check(!has_refused_character(&name), Rule::BackingName, &name)?;
            }
            Ok(header)
        }
    }
}

#[cfg(test)]
mod tests;
