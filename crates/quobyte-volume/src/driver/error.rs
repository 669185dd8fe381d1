//! What an operation can fail with.

use std::path::PathBuf;

use crate::error::Code;
use crate::host::records::StateError;
use crate::mount::MountError;
use crate::pure::connection::{ConnectionError, Export, ImageFormat, ImageName};
use crate::pure::disk::DiskError;
use crate::pure::guests::{Description, GuestUse};
use crate::pure::image::ImageError;
use crate::pure::io_policy::IoPolicyError;
use crate::pure::mount_path::MountPath;
use crate::pure::record::Attachment;

/// Why an operation failed. What it had begun is undone, unless the error is [`Error::RollbackFailed`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be used.
    #[error("{option} {reason}: {path:?}")]
    Config {
        /// The option at fault.
        option: &'static str,
        /// Its value.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The mounts below the configured base cannot be listed.
    #[error("mounts below {path} cannot be listed")]
    MountsUnlisted {
        /// The base.
        path: PathBuf,
        /// What failed.
        source: std::io::Error,
    },
    /// The connection_info cannot be used.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// No cache and I/O mode suits.
    #[error(transparent)]
    IoPolicy(#[from] IoPolicyError),
    /// libvirt could not be told of the disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The image holds more than it is to hold.
    #[error("{path} holds {current_size} bytes and is not cut to {requested}")]
    WouldShrink {
        /// The image.
        path: PathBuf,
        /// What it holds, in bytes.
        current_size: u64,
        /// What it is to hold, in bytes.
        requested: u64,
    },
    /// The mount is not as it should be.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The volume is not mounted, so its image cannot be looked at.
    #[error("nothing is mounted at {at}: connect the volume first")]
    NotMounted {
        /// Where it would be.
        at: MountPath,
    },
    /// The image may not be given to a guest.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The records or the lock cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// Another disk has the image, or a file that it is based on, and not all of them may share it.
    #[error("{export}: {name} cannot be given to this guest: {} is connected for {}", .holder.name, guest(.holder_name.as_deref(), .holder))]
    InUse {
        /// The export it is on.
        export: Export,
        /// The image that was asked for.
        name: ImageName,
        /// Who has it.
        holder: Box<Attachment>,
        /// That guest's name, where it is known.
        holder_name: Option<String>,
    },
    /// A guest uses the image that no record connects with it.
    #[error("{name} cannot be given to this guest: guest {} uses {}", .guest_use.name, .guest_use.path.display())]
    UsedByGuest {
        /// The image that was asked for.
        name: ImageName,
        /// The use.
        guest_use: Box<GuestUse>,
    },
    /// A file is connected in another format. It keeps that as long as it is on record.
    #[error("{file} is connected as {recorded} for instance {}", .holder.instance)]
    OtherFormat {
        /// The file.
        file: String,
        /// Its format.
        recorded: ImageFormat,
        /// Who has it.
        holder: Box<Attachment>,
    },
    /// The guest itself has the file: it runs with it, or was saved with it.
    #[error("guest {} {} {}", .guest_use.name, held(.guest_use), .guest_use.path.display())]
    HeldByGuest {
        /// The guest's use.
        guest_use: Box<GuestUse>,
    },
    /// The operation failed, and so did undoing it.
    #[error("the volume is not connected, and not all that was begun could be undone ({})", list(.left_behind))]
    RollbackFailed {
        /// Why the operation failed.
        #[source]
        cause: Box<Error>,
        /// What stays behind, and why.
        left_behind: Vec<Error>,
    },
}

impl Error {
    /// The stable code: the cause's, whether or not it could be undone.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Config { .. } => Code::InvalidConfig,
            Self::MountsUnlisted { source, .. } => Code::Internal.unless_exhausted(source),
            Self::Connection(error) => error.code(),
            Self::IoPolicy(error) => error.code(),
            Self::Disk(error) => error.code(),
            Self::WouldShrink { .. } => Code::WouldShrink,
            Self::Mount(error) => error.code(),
            Self::NotMounted { .. } => Code::NotMounted,
            Self::Image(error) => error.code(),
            Self::State(error) => error.code(),
            Self::InUse { .. } | Self::UsedByGuest { .. } | Self::HeldByGuest { .. } => Code::VolumeInUse,
            Self::OtherFormat { .. } => Code::FormatMismatch,
            Self::RollbackFailed { cause, .. } => cause.code(),
        }
    }

    /// This error, and what could not be undone after it.
    pub(super) fn with_left_behind(self, left_behind: Vec<Error>) -> Self {
        if left_behind.is_empty() {
            self
        } else {
            Self::RollbackFailed { cause: Box::new(self), left_behind }
        }
    }
}

fn guest(name: Option<&str>, attachment: &Attachment) -> String {
    let instance = attachment.instance;
    name.map_or_else(|| format!("instance {instance}"), |name| format!("{name} (instance {instance})"))
}

fn held(guest_use: &GuestUse) -> &'static str {
    if guest_use.description == Description::Saved { "was saved with" } else { "is running with" }
}

fn list(errors: &[Error]) -> String {
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    texts.join("; ")
}
