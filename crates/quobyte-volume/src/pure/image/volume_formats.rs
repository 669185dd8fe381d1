//! Which formats a site permits for volumes.
//!
//! Cinder's Quobyte driver has asked `qemu-img` for a volume's format, which goes by what the guest has written. Where all
//! volumes are raw, an operator can say so, and nothing that a guest writes makes one of them qcow2.

use std::fmt;
use std::str::FromStr;

use super::Layer;
use crate::pure::connection::{ConnectionError, ImageFormat, ImageName, VolumeId};

/// Option `volume_formats`: the formats that files may have which are no snapshots of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VolumeFormats {
    raw: bool,
    qcow2: bool,
}

impl Default for VolumeFormats {
    /// Both.
    fn default() -> Self {
        Self { raw: true, qcow2: true }
    }
}

impl VolumeFormats {
    /// Checks the format that an image of that name is declared as.
    ///
    /// # Errors
    /// [`ConnectionError::FormatNotPermitted`]
    pub(crate) fn check_name(self, name: &ImageName, format: ImageFormat) -> Result<(), ConnectionError> {
        self.check(name.as_str(), format)
    }

    /// Checks every layer of an image.
    ///
    /// # Errors
    /// [`ConnectionError::FormatNotPermitted`] for the first that has a format which is not permitted.
    pub(crate) fn check_chain(self, chain: &[Layer]) -> Result<(), ConnectionError> {
        chain.iter().try_for_each(|layer| self.check(&layer.path.to_string(), layer.format))
    }

    fn check(self, path: &str, format: ImageFormat) -> Result<(), ConnectionError> {
        let is_permitted = match format {
            ImageFormat::Raw => self.raw,
            ImageFormat::Qcow2 => self.qcow2,
        };
        if is_permitted || is_snapshot(path) {
            return Ok(());
        }
        Err(ConnectionError::FormatNotPermitted { file: path.to_owned(), format: format.as_str() })
    }
}

impl FromStr for VolumeFormats {
    type Err = ConnectionError;

    /// Parses names of formats, joined by commas.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut formats = Self { raw: false, qcow2: false };
        for format in text.split(',') {
            match format.trim().parse()? {
                ImageFormat::Raw => formats.raw = true,
                ImageFormat::Qcow2 => formats.qcow2 = true,
            }
        }
        Ok(formats)
    }
}

impl fmt::Display for VolumeFormats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let formats = [(self.raw, ImageFormat::Raw), (self.qcow2, ImageFormat::Qcow2)];
        let names: Vec<_> =
            formats.iter().filter(|(has, _)| *has).map(|(_, format)| format.as_str()).collect();
        f.write_str(&names.join(","))
    }
}

/// Whether Cinder's Quobyte driver gives such a name to what a snapshot of a volume leaves: `volume-<uuid>.<snapshot>`.
pub(crate) fn is_snapshot(name: &str) -> bool {
    name.contains('.') && VolumeId::in_file_name(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOLUME: &str = "volume-8d2b8f5e-6f0a-4d9c-9b1e-0d7f6c5b4a39";

    fn check(formats: &str, name: &str, format: ImageFormat) -> bool {
        let formats: VolumeFormats = formats.parse().unwrap();
        formats.check_name(&ImageName::parse(name).unwrap(), format).is_ok()
    }

    #[test]
    fn snapshots_alone_may_have_other_formats() {
        for (formats, name, format, is_permitted) in [
            ("raw,qcow2", "disk", ImageFormat::Qcow2, true),
            ("raw", "disk", ImageFormat::Raw, true),
            ("raw", "disk", ImageFormat::Qcow2, false),
            ("raw", VOLUME, ImageFormat::Qcow2, false),
            ("raw", &format!("{VOLUME}.1"), ImageFormat::Qcow2, true),
            ("raw", "disk.qcow2", ImageFormat::Qcow2, false),
            (" qcow2 ", "disk", ImageFormat::Raw, false),
        ] {
            assert_eq!(check(formats, name, format), is_permitted, "{formats} {name}");
        }
    }

    #[test]
    fn other_words_are_no_formats() {
        for text in ["", "raw,", "vmdk", "raw qcow2", "RAW"] {
            text.parse::<VolumeFormats>().unwrap_err();
        }
    }
}
