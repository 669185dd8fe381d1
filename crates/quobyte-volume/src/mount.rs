//! One mount point: what is there, bringing a mount up, taking it down.
//!
//! ```text
//!              mount               loses its registries
//!   Absent ──────────────▶ Healthy ◀───────────────────▶ Disconnected
//!     ▲                     │  ▲ │                            │
//!     │     no answer       │  │ └────── client dies ───────┐ │
//!     │   ┌─────────────────┘  │                            ▼ ▼
//!     │   ▼        answers     │                           Dead
//!     │  Hung ─────────────────┘                            │
//!     └──────────────────── unmount ────────────────────────┘
//!
//!  Foreign, WrongVolume: somebody else's mount; never used, never taken away.
//! ```
//!
//! [`inspect`] alone says in which state a mount point is; everybody else asks it.

mod client;
mod connection;
mod host;
mod launcher;
mod unmount;

use std::io;

pub use self::client::ClientError;
pub use self::host::{Host, LinuxConfig, LinuxHost};
pub use self::launcher::{Launcher, LauncherError, Manager};
pub use self::unmount::{How, Unmounted};
use crate::attachments::Attachment;
use crate::connection::Export;
use crate::error::Code;
use crate::image::{Declared, Layer};
use crate::mount_path::MountPath;
use crate::mount_table::Mount;
use crate::share::{Look, PendingLook, ShareError};

/// What a client's unit runs to mount what it is asked for, in its own environment. Not for people.
///
/// # Errors
/// When there is no request or the client does not mount; the one who asked is told.
pub fn start_in_unit() -> io::Result<()> {
    launcher::unit::start()
}

/// What a client's unit runs to end its client cleanly.
///
/// # Errors
/// When files on the mount are open, or the client does not end.
pub fn stop_in_unit() -> io::Result<()> {
    launcher::unit::stop()
}

/// What is at a mount point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountState {
    /// Nothing is mounted there.
    Absent,
    /// The export asked for, and its client answers.
    Healthy(Mount),
    /// The export asked for, but its client has lost its registries. It may find them again.
    Disconnected(Mount),
    /// The export asked for, but its client is dead. Nothing that is open on it will ever be served again.
    Dead(Mount),
    /// The export asked for, but nobody answered by the deadline.
    Hung(Mount),
    /// Another Quobyte volume.
    WrongVolume(Mount),
    /// Something that is not Quobyte.
    Foreign(Mount),
}

/// What came of looking at an image.
pub(crate) type Chain = Result<Vec<Layer>, ShareError>;

/// Finds out what is at a mount point. `known` is the mount that our records say is there.
///
/// # Errors
/// [`MountError::Table`] when the mount table cannot be read, [`MountError::Unreadable`] when the mount is there and
/// alive but closed to this user.
pub fn inspect(
    host: &dyn Host,
    at: &MountPath,
    export: &Export,
    known: Option<&Mount>,
) -> Result<MountState, MountError> {
    Ok(inspect_with(host, at, export, known, None)?.0)
}

/// The same, and in the same breath the layers of `image`: none unless the mount is healthy and an image is named.
pub(crate) fn inspect_with(
    host: &dyn Host,
    at: &MountPath,
    export: &Export,
    known: Option<&Mount>,
    image: Option<Declared<'_>>,
) -> Result<(MountState, Chain), MountError> {
    let top = host.top_mount(at, known).map_err(|source| MountError::Table { at: at.clone(), source })?;
    let state = match top {
        None => MountState::Absent,
        Some(mount) if !mount.is_quobyte() => MountState::Foreign(mount),
        Some(mount) if !mount.is_of(export) => MountState::WrongVolume(mount),
        Some(mount) => return Asked { mount, look: host.look(at, image) }.state(at),
    };
    Ok((state, Ok(Vec::new())))
}

/// A mount of the export asked for whose client is being asked.
pub(crate) struct Asked<'a> {
    mount: Mount,
    look: PendingLook<'a>,
}

impl<'a> Asked<'a> {
    /// Begins to ask, where it can be told at once that the export is mounted on top at `at`.
    pub(crate) fn at_once(
        host: &'a dyn Host,
        at: &'a MountPath,
        export: &Export,
        image: Option<Declared<'_>>,
    ) -> Option<Self> {
        let mount = host.top_mount_at_once(at).filter(|mount| mount.is_of(export))?;
        Some(Self { mount, look: host.look(at, image) })
    }

    /// Waits for the answer, which says in which state the mount is.
    ///
    /// # Errors
    /// [`MountError::Unreadable`]
    pub(crate) fn state(self, at: &MountPath) -> Result<(MountState, Chain), MountError> {
        let mount = self.mount;
        let state = match (self.look)() {
            Ok(Look { root, chain }) if root.is_connected() && root.device == mount.device => {
                return Ok((MountState::Healthy(mount), chain));
            }
            Ok(_) => MountState::Disconnected(mount),
            Err(ShareError::Dead { .. }) => MountState::Dead(mount),
            Err(ShareError::Hung { .. }) => MountState::Hung(mount),
            Err(source) => return Err(MountError::Unreadable { at: at.clone(), source }),
        };
        Ok((state, Ok(Vec::new())))
    }
}

/// Why a mount point is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The mount table cannot be read.
    #[error("it cannot be found out what is mounted at {at}")]
    Table {
        /// The mount point looked for.
        at: MountPath,
        /// What failed.
        source: io::Error,
    },
    /// Something else is mounted there.
    #[error("{at} holds {} of type {}, which is not Quobyte; unmount it or choose another quobyte_mount_point_base", .found.source, .found.fs_type)]
    Foreign {
        /// The mount point.
        at: MountPath,
        /// What is there.
        found: Box<Mount>,
    },
    /// Another Quobyte volume is mounted there.
    #[error("{at} holds {}, not {}", .found.source, .wanted.mount_source())]
    WrongVolume {
        /// The mount point.
        at: MountPath,
        /// What is there.
        found: Box<Mount>,
        /// What should be.
        wanted: Export,
    },
    /// The client does not serve the volume any more, and the mount could not be replaced.
    #[error("the Quobyte client of {at} does not serve {export} any more; {remedy}")]
    Stale {
        /// The mount point.
        at: MountPath,
        /// The export mounted there.
        export: Export,
        /// What an operator can do.
        remedy: String,
    },
    /// The client did not answer by the deadline.
    #[error("the Quobyte client of {at} does not answer; concerned: {}", concerned(.attachments))]
    Hung {
        /// The mount point.
        at: MountPath,
        /// Who has files on it.
        attachments: Vec<Attachment>,
    },
    /// The mount is there, but this user cannot look at it.
    #[error("{at} is mounted, but cannot be looked at")]
    Unreadable {
        /// The mount point.
        at: MountPath,
        /// What came of asking it.
        source: ShareError,
    },
    /// The directory to mount on cannot be made or used.
    #[error("mount point {at} cannot be prepared")]
    MountPoint {
        /// The mount point.
        at: MountPath,
        /// What failed.
        source: io::Error,
    },
    /// The client did not do its work.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The client was content, and yet nothing is mounted.
    #[error("mount.quobyte ended without an error, but {export} is not mounted at {at}")]
    NothingMounted {
        /// The mount point.
        at: MountPath,
        /// What should be there.
        export: Export,
    },
    /// The mount cannot be taken away, and not because it is in use.
    #[error("{at} cannot be unmounted")]
    Unmount {
        /// The mount point.
        at: MountPath,
        /// What failed.
        source: io::Error,
    },
}

impl MountError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Table { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Code::MountFailed
            }
            Self::Unmount { source, .. } if source.kind() == io::ErrorKind::TimedOut => Code::UnmountTimeout,
            Self::Table { .. } | Self::Client(ClientError::Host { .. }) => Code::Internal,
            Self::Hung { .. } => Code::MountHung,
            Self::Foreign { .. } => Code::NotQuobyte,
            Self::WrongVolume { .. } => Code::WrongVolume,
            Self::Stale { .. } => Code::MountStale,
            Self::Unreadable { source, .. } => source.code(),
            Self::Client(ClientError::NotFound { .. }) => Code::ClientNotFound,
            Self::Client(ClientError::Timeout { .. }) => Code::MountTimeout,
            Self::MountPoint { .. }
            | Self::Client(ClientError::Refused { .. } | ClientError::NotLaunched { .. })
            | Self::NothingMounted { .. } => Code::MountFailed,
            Self::Unmount { .. } => Code::UnmountFailed,
        }
    }
}

fn concerned(attachments: &[Attachment]) -> String {
    if attachments.is_empty() {
        return "no recorded attachment".to_owned();
    }
    let texts: Vec<_> = attachments
        .iter()
        .map(|attachment| format!("volume {} of instance {}", attachment.volume, attachment.instance))
        .collect();
    texts.join(", ")
}
