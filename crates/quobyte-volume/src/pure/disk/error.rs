//! Why a disk cannot be described.

use std::path::Path;

use crate::error::{Code, excerpt};

/// Why a volume cannot be described to libvirt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// The image's path cannot be used.
    #[error("image path {path:?}: {reason}")]
    Path {
        /// The path.
        path: Box<Path>,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// The serial number cannot be used.
    #[error("serial \"{serial}\": it is not of letters, digits, '_', '.', '+', '-' and spaces")]
    Serial {
        /// What was given, cleaned and cut.
        serial: String,
    },
    /// The target names no whole disk.
    #[error("target \"{target}\" is not vd, sd, hd or xvd and one to three lower-case letters")]
    Target {
        /// What was given, cleaned and cut.
        target: String,
    },
    /// No bus of that name carries disks of ours.
    #[error("bus \"{bus}\" is none of virtio, scsi, sata, ide, usb")]
    Bus {
        /// What was given, cleaned and cut.
        bus: String,
    },
    /// The target is a name of another bus's disks.
    #[error(
        "target {target} is no name of a disk on bus {bus}; virtio has vd, scsi, sata and usb sd, ide hd"
    )]
    OtherBus {
        /// The target.
        target: String,
        /// The bus.
        bus: &'static str,
    },
}

impl DiskError {
    pub(super) fn bus(bus: &str) -> Self {
        Self::Bus { bus: excerpt(bus) }
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Serial { .. } => Code::InvalidConnection,
            // A name is checked when it is parsed, so what is wrong with a path comes from the configured base.
            Self::Path { .. } | Self::Target { .. } | Self::Bus { .. } | Self::OtherBus { .. } => {
                Code::InvalidConfig
            }
        }
    }
}
