//! What the caller wants connected: `connection_info`, parsed and checked. No I/O.
//!
//! The text comes from Cinder through Nova, or from a person; either way it is a peer's word. Every field is checked
//! here, before anything is done, and what this driver must not obey (`mount_point_base`, `device_path`, `options`)
//! has no place in the result.

mod error;
mod export;
mod image_name;
mod io_tune;
mod wire;
mod wire_value;

use std::fmt;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr};
use uuid::Uuid;

pub use self::error::ConnectionError;
pub use self::export::{Export, MAX_EXPORT_LEN};
pub use self::image_name::ImageName;
pub(crate) use self::image_name::PROBE_FILE_PREFIX;
pub use self::io_tune::{IoLimit, IoTune};
pub use self::wire_value::{MAX_CONNECTION_INFO_DEPTH, MAX_CONNECTION_INFO_LEN, WireValue};
use crate::error::excerpt;

/// A volume to connect, and how the guest is to see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The Quobyte volume that holds the image.
    pub export: Export,
    /// The image's file on that volume. It may change under a snapshot while the volume stays the same.
    pub name: ImageName,
    /// What the file is declared to be; never guessed from its content.
    pub format: ImageFormat,
    /// The volume's identity.
    pub volume_id: VolumeId,
    /// The serial number the guest reads, exactly as the caller gave it.
    pub serial: Option<String>,
    /// Whether the guest may write.
    pub access_mode: AccessMode,
    /// Whether the guest's discards free space on the volume.
    pub discard: bool,
    /// Whether other guests may have the image at the same time.
    pub multiattach: bool,
    /// Limits on the guest's I/O.
    pub io_tune: IoTune,
    /// Sector sizes shown to the guest.
    pub block_size: BlockSize,
}

impl ConnectionInfo {
    /// A read-write connection with nothing but its image named.
    #[must_use]
    pub fn new(export: Export, name: ImageName, format: ImageFormat) -> Self {
        let volume_id = VolumeId::derive(&export, &name);
        Self {
            export,
            name,
            format,
            volume_id,
            serial: None,
            access_mode: AccessMode::ReadWrite,
            discard: false,
            multiattach: false,
            io_tune: IoTune::default(),
            block_size: BlockSize::default(),
        }
    }
}

/// What names a volume that was connected: all that disconnecting it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeReference {
    /// The Quobyte volume that holds the image.
    pub export: Export,
    /// The image's file on that volume.
    pub name: ImageName,
    /// The volume's identity.
    pub volume_id: VolumeId,
}

impl VolumeReference {
    /// A volume of which nothing but its image is known.
    #[must_use]
    pub fn new(export: Export, name: ImageName) -> Self {
        let volume_id = VolumeId::derive(&export, &name);
        Self { export, name, volume_id }
    }

    /// Parses one URL for volume and image, `[quobyte://]host[:port][,host…]/volume/image`: its last part is the image,
    /// however many the volume has.
    ///
    /// # Errors
    /// [`ConnectionError::Export`], also where a part is missing, and [`ConnectionError::Name`].
    pub fn parse_url(url: &str) -> Result<Self, ConnectionError> {
        let invalid = |reason| Err(ConnectionError::Export { export: excerpt(url), reason });
        let (volume, name) = url.rsplit_once('/').unwrap_or(("", url));
        let path = volume.strip_prefix("quobyte://").unwrap_or(volume);
        if !path.contains('/') && !path.ends_with(':') {
            return invalid("it names no image, or no volume: an image is [quobyte://]host/volume/image");
        }
        if name.is_empty() || volume.ends_with('/') {
            return invalid("a part is empty: an image is [quobyte://]host/volume/image");
        }
        Ok(Self::new(Export::parse(volume)?, ImageName::parse(name)?))
    }
}

/// An image format this driver attaches.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Display, EnumString, IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
#[strum(parse_err_ty = ConnectionError, parse_err_fn = ConnectionError::format)]
pub enum ImageFormat {
    /// The file is the disk, byte for byte.
    Raw,
    /// QEMU's copy-on-write format.
    Qcow2,
}

impl ImageFormat {
    /// The name that libvirt, QEMU and Cinder use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Whether the guest may write to the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccessMode {
    /// Read and write, the default.
    ReadWrite,
    /// Read only.
    ReadOnly,
}

/// Sector sizes shown to the guest, in bytes; `None` leaves them to QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlockSize {
    /// The smallest unit the guest can address.
    pub logical: Option<u32>,
    /// The unit the guest should align to.
    pub physical: Option<u32>,
}

/// A volume's identity, which stays when a snapshot moves the volume to another file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VolumeId(Uuid);

impl VolumeId {
    /// The identity of a volume whose caller named none: the UUID in Cinder's `volume-<uuid>`, else one made of
    /// export and name, the same every time.
    #[must_use]
    pub fn derive(export: &Export, name: &ImageName) -> Self {
        Self::in_file_name(name.as_str()).unwrap_or_else(|| {
            Self(Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("quobyte://{export}/{name}").as_bytes()))
        })
    }

    /// The volume that Cinder names a file for: `volume-<uuid>`, or `volume-<uuid>.<snapshot>`.
    pub(crate) fn in_file_name(name: &str) -> Option<Self> {
        let rest = name.strip_prefix("volume-")?;
        rest.split('.').next()?.parse().ok()
    }
}

impl From<Uuid> for VolumeId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl std::str::FromStr for VolumeId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self)
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A guest's identity: the UUID of its libvirt domain, which is also Nova's instance UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceId(Uuid);

impl From<Uuid> for InstanceId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl std::str::FromStr for InstanceId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self)
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests;
