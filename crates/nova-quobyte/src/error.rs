//! What a command can fail with, beyond what the library reports.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use quobyte_volume::driver;
use quobyte_volume::error::Code;
use quobyte_volume::pure::connection::ConnectionError;
use quobyte_volume::pure::disk::DiskError;
use quobyte_volume::pure::io_policy::IoPolicyError;
use quobyte_volume::pure::mount_path::MountPath;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Driver(#[from] driver::Error),
    #[error("{path} cannot be read")]
    Input { path: PathBuf, source: io::Error },
    #[error("{path}: {reason}")]
    Config { path: PathBuf, reason: String },
    #[error("{doing}: libvirt says: {message}")]
    Libvirt { doing: String, message: String },
    #[error(
        "{doing}: libvirt did not answer within {limit:?}; look whether its daemon is stopped or overloaded"
    )]
    Silent { doing: String, limit: Duration },
    #[error(
        "whether domain {domain} gets the disk is not known, so the volume stays connected; once libvirt answers, attach \
         it again, or disconnect it"
    )]
    Undecided { domain: String, source: Box<Error> },
    #[error("libvirt at {uri} does not run on this host, and neither would what this command mounts")]
    Remote { uri: String },
    #[error("libvirt knows no domain {domain:?}")]
    DomainNotFound { domain: String },
    #[error("domain {domain} has no disk {target}")]
    DiskNotFound { domain: String, target: String },
    #[error(
        "disk {target} of domain {domain} is no image below {base}, so it is not this command's to detach"
    )]
    NotOurs { domain: String, target: String, base: PathBuf },
    #[error("domain {domain} has the image already, as {target}")]
    AttachedElsewhere { domain: String, target: String },
    #[error(
        "domain {domain} has had {target} open since before the volume was mounted, on a mount that is gone: detach it \
         and attach it again; or, if the domain was stopped and started since, connect the volume for it"
    )]
    Lost { domain: String, target: String },
    #[error("domain {domain} has no free disk name left")]
    NoTarget { domain: String },
    #[error("the hypervisor may not open {image}")]
    NotOpened { image: PathBuf, source: Box<Error> },
    #[error("the helper {path} is not installed")]
    NoHelper { path: PathBuf },
    #[error("the hypervisor cannot see {at}: {remedy}")]
    NotVisible { at: MountPath, remedy: &'static str, source: Option<Box<Error>> },
    #[error(
        "the guest did not let go of {target} in time and may yet do so; try again once it is up and its client answers"
    )]
    StillInUse { target: String },
    #[error("the guest refuses to let go of {target}")]
    Refused { target: String },
    #[error("the volume is not attached, and could not be disconnected either ({left})")]
    NotUndone {
        #[source]
        cause: Box<Error>,
        left: driver::Error,
    },
}

impl Error {
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Driver(error) => error.code(),
            Self::Input { .. } | Self::Config { .. } => Code::InvalidConfig,
            Self::Silent { .. }
            | Self::Undecided { .. }
            | Self::Libvirt { .. }
            | Self::Remote { .. }
            | Self::NoTarget { .. } => Code::LibvirtError,
            Self::NoHelper { .. } => Code::Internal,
            Self::DomainNotFound { .. } => Code::DomainNotFound,
            Self::Lost { .. } => Code::MountStale,
            Self::DiskNotFound { .. } | Self::NotOurs { .. } => Code::DiskNotFound,
            Self::NotVisible { .. } | Self::NotOpened { .. } => Code::MountNotVisible,
            Self::AttachedElsewhere { .. } | Self::StillInUse { .. } | Self::Refused { .. } => {
                Code::VolumeInUse
            }
            Self::NotUndone { cause, .. } => cause.code(),
        }
    }
}

/// Whether libvirt passes on that somebody may not do something.
pub(crate) fn is_denied(message: &str) -> bool {
    message.contains("Permission denied")
}

macro_rules! from_the_library {
    ($($error:ty),*) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::Driver(error.into())
            }
        })*
    };
}

from_the_library!(ConnectionError, DiskError, IoPolicyError);
