//! What libvirt is told of a volume: its `<disk>` element. No I/O.
//!
//! The element is the one Nova's base volume driver and its Quobyte driver describe, part by part, so that a guest
//! cannot tell which of the two drivers attached its disk. Two things are more exact here: cache and I/O mode come
//! from an [`IoPolicy`], and a path or a serial that libvirt could not be told is an error before it is asked.

mod error;
mod target;
mod xml;

use std::path::Path;

pub use self::error::DiskError;
pub use self::target::{Bus, DiskTarget, TargetDev};
use crate::error::excerpt;
use crate::pure::connection::{AccessMode, ConnectionInfo, ImageFormat, IoTune, VolumeId};
use crate::pure::image::Layer;
use crate::pure::io_policy::IoPolicy;

/// A disk as libvirt is told of it. Building one checks everything, so that its XML is always well-formed and fits
/// libvirt's schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    volume_id: VolumeId,
    format: ImageFormat,
    policy: IoPolicy,
    source: String,
    /// Path and format of each file below the image.
    backing_files: Vec<(String, ImageFormat)>,
    target: DiskTarget,
    serial: String,
    io_tune: IoTune,
    read_only: bool,
}

impl Disk {
    /// Describes the volume `info`, whose image is at `device_path`, as the disk `target`.
    ///
    /// `chain` is the image and everything below it, as they were looked at. All of it is named, so that libvirt looks
    /// for nothing in a header that a guest may have written.
    ///
    /// The guest reads as serial number what the caller gave, which in Nova is always there; without one it reads the
    /// volume's id, so that the disk can be found below `/dev/disk/by-id` whoever attached it. A virtio disk shows
    /// the first 20 characters of it.
    ///
    /// # Errors
    /// [`DiskError`] for a path or a serial that libvirt could not be told.
    pub fn new(
        info: &ConnectionInfo,
        device_path: &Path,
        chain: &[Layer],
        target: &DiskTarget,
        policy: &IoPolicy,
    ) -> Result<Self, DiskError> {
        Ok(Self {
            volume_id: info.volume_id,
            format: info.format,
            policy: *policy,
            source: source(device_path)?,
            backing_files: backing_files(device_path, chain)?,
            target: target.clone(),
            serial: serial(info)?,
            io_tune: info.io_tune.clone(),
            read_only: info.access_mode == AccessMode::ReadOnly,
        })
    }
}

fn backing_files(image: &Path, chain: &[Layer]) -> Result<Vec<(String, ImageFormat)>, DiskError> {
    let share = image.parent().unwrap_or(image);
    let layers = chain.iter().skip(1);
    layers.map(|layer| Ok((source(&share.join(layer.path.as_path()))?, layer.format))).collect()
}

/// The path as it stands in the XML. XML 1.0 has no way to write most control characters, nor U+FFFE and U+FFFF, and
/// a reader may turn the rest into spaces.
fn source(path: &Path) -> Result<String, DiskError> {
    let path_error = |reason| DiskError::Path { path: path.into(), reason };
    let text = path.to_str().ok_or_else(|| path_error("it is not UTF-8"))?;
    if !path.is_absolute() {
        return Err(path_error("it is not absolute"));
    }
    if text.chars().any(|c| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')) {
        return Err(path_error("it contains a character that XML cannot hold"));
    }
    Ok(text.to_owned())
}

/// The characters are those of libvirt's schema.
fn serial(info: &ConnectionInfo) -> Result<String, DiskError> {
    let Some(serial) = &info.serial else {
        return Ok(info.volume_id.to_string());
    };
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '+' | '-' | ' ');
    if serial.is_empty() || !serial.chars().all(is_allowed) {
        return Err(DiskError::Serial { serial: excerpt(serial) });
    }
    Ok(serial.clone())
}

#[cfg(test)]
mod tests;
