//! The state of one mount point.
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
//! An `Inquiry` alone says in which state a mount point is; [`inspect`] makes one.

mod error;

pub use self::error::MountError;
use crate::host::Host;
use crate::host::share::{ChainReply, PendingShareReply, ShareError, ShareReply};
use crate::pure::connection::Export;
use crate::pure::image::DeclaredImage;
use crate::pure::kernel_mount::Mount;
use crate::pure::mount_path::MountPath;

/// What is at a mount point.
#[derive(Debug, Clone, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
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

impl MountState {
    /// Whether nothing that was open on the mount on record will ever be served again.
    #[must_use]
    pub const fn has_lost_open_files(&self) -> bool {
        match self {
            Self::Absent | Self::Dead(_) => true,
            Self::Healthy(_)
            | Self::Disconnected(_)
            | Self::Hung(_)
            | Self::WrongVolume(_)
            | Self::Foreign(_) => false,
        }
    }

    /// The state as scripts see it, in `snake_case`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        self.into()
    }
}

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
    Ok(Inquiry::start(host, at, export, known, None)?.wait()?.state)
}

/// The mount on top at `at`, by the mount table alone.
pub(crate) fn top_mount(
    host: &dyn Host,
    at: &MountPath,
    known: Option<&Mount>,
) -> Result<Option<Mount>, MountError> {
    host.top_mount(at, known).map_err(|source| MountError::Table { at: at.clone(), source })
}

/// One question about a mount point, put to the mount table and to the client of what is mounted there. The client is
/// asked for its root and, in the same round trip, for an image.
pub(crate) struct Inquiry<'a> {
    at: &'a MountPath,
    state: InquiryState<'a>,
}

enum InquiryState<'a> {
    /// The mount table was enough to know the state.
    Known(MountState),
    /// The export is mounted, and its client has yet to reply.
    Pending(Mount, PendingShareReply<'a>),
}

/// The answer to an [`Inquiry`].
pub(crate) struct Inspection {
    /// The state of the mount point.
    pub(crate) state: MountState,
    /// The layers of the image asked for; `None` unless the mount is healthy.
    pub(crate) chain: Option<ChainReply>,
}

impl<'a> Inquiry<'a> {
    /// Asks the mount table, then begins to ask the client.
    ///
    /// # Errors
    /// [`MountError::Table`]
    pub(crate) fn start(
        host: &'a dyn Host,
        at: &'a MountPath,
        export: &Export,
        known: Option<&Mount>,
        image: Option<DeclaredImage<'_>>,
    ) -> Result<Self, MountError> {
        let state = match top_mount(host, at, known)? {
            None => InquiryState::Known(MountState::Absent),
            Some(mount) if !mount.is_quobyte() => InquiryState::Known(MountState::Foreign(mount)),
            Some(mount) if !mount.is_of(export) => InquiryState::Known(MountState::WrongVolume(mount)),
            Some(mount) => InquiryState::Pending(mount, host.query_share(at, image)),
        };
        Ok(Self { at, state })
    }

    /// Begins to ask the client where the kernel tells without delay that the export is mounted on top; `None` says
    /// nothing about the mount point.
    pub(crate) fn start_fast(
        host: &'a dyn Host,
        at: &'a MountPath,
        export: &Export,
        image: Option<DeclaredImage<'_>>,
    ) -> Option<Self> {
        let mount = host.top_mount_fast(at).filter(|mount| mount.is_of(export))?;
        Some(Self { at, state: InquiryState::Pending(mount, host.query_share(at, image)) })
    }

    /// Waits for the client's answer.
    ///
    /// # Errors
    /// [`MountError::Unreadable`]
    pub(crate) fn wait(self) -> Result<Inspection, MountError> {
        let (mount, reply) = match self.state {
            InquiryState::Known(state) => return Ok(Inspection { state, chain: None }),
            InquiryState::Pending(mount, reply) => (mount, reply),
        };
        let state = match reply() {
            Ok(ShareReply { root, chain }) if root.is_connected() && root.device == mount.device => {
                return Ok(Inspection { state: MountState::Healthy(mount), chain: Some(chain) });
            }
            Ok(_) => MountState::Disconnected(mount),
            Err(ShareError::Dead { .. }) => MountState::Dead(mount),
            Err(ShareError::Hung { .. }) => MountState::Hung(mount),
            Err(source) => return Err(MountError::Unreadable { at: self.at.clone(), source }),
        };
        Ok(Inspection { state, chain: None })
    }
}
