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

use std::time::Instant;

pub use self::error::MountError;
use crate::host::Host;
use crate::host::share::{ChainReply, PendingShareReply, RefusedRequests, ShareError, ShareReply};
use crate::pure::connection::Export;
use crate::pure::image::DeclaredImage;
use crate::pure::kernel_mount::Mount;
use crate::pure::mount_path::MountPath;
use crate::pure::record::{ClientProcess, KnownMount};

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

/// Finds out what is at a mount point. `known` is what our records say is there.
///
/// # Errors
/// [`MountError::Table`] when the mount table cannot be read, [`MountError::Unreadable`] when the mount is there and
/// alive but closed to this user.
pub fn inspect(
    host: &dyn Host,
    at: &MountPath,
    export: &Export,
    known: KnownMount<'_>,
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
    host: &'a dyn Host,
    at: &'a MountPath,
    state: InquiryState<'a>,
    begun: Instant,
}

enum InquiryState<'a> {
    /// The mount table was enough to know the state.
    Known(MountState),
    /// The export is mounted, and its client has yet to reply.
    Pending(Mount, KnownClient, PendingShareReply<'a>),
}

/// The client of a mount, as far as it is known.
#[derive(Debug, Clone, Default)]
struct KnownClient {
    processes: Vec<ClientProcess>,
    /// The generation of the share that it was started for.
    generation: u64,
}

impl KnownClient {
    /// The client of `mount`, where that is the known mount.
    fn of(mount: &Mount, known: KnownMount<'_>) -> Self {
        if known.mount.is_some_and(|known| known.is_same(mount)) {
            Self { processes: known.client.to_vec(), generation: known.generation }
        } else {
            Self::default()
        }
    }

    /// Whether it is known to have ended: its processes have, and have left none that they started after it had mounted.
    fn has_ended(&self, host: &dyn Host, at: &MountPath) -> bool {
        !self.processes.is_empty()
            && !self.processes.iter().any(|process| host.is_running(*process))
            && host.client_processes(at, self.generation).is_empty()
    }
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
        known: KnownMount<'_>,
        image: Option<DeclaredImage<'_>>,
    ) -> Result<Self, MountError> {
        let begun = Instant::now();
        let state = match top_mount(host, at, known.mount)? {
            None => InquiryState::Known(MountState::Absent),
            Some(mount) if !mount.is_quobyte() => InquiryState::Known(MountState::Foreign(mount)),
            Some(mount) if !mount.is_of(export) => InquiryState::Known(MountState::WrongVolume(mount)),
            Some(mount) => {
                let client = KnownClient::of(&mount, known);
                InquiryState::Pending(mount, client, host.query_share(at, image))
            }
        };
        Ok(Self { host, at, state, begun })
    }

    /// Begins to ask the client where the kernel tells without delay that the export is mounted on top; `None` says
    /// nothing about the mount point.
    pub(crate) fn start_fast(
        host: &'a dyn Host,
        at: &'a MountPath,
        export: &Export,
        image: Option<DeclaredImage<'_>>,
    ) -> Option<Self> {
        let begun = Instant::now();
        let mount = host.top_mount_fast(at).filter(|mount| mount.is_of(export))?;
        let reply = host.query_share(at, image);
        Some(Self { host, at, state: InquiryState::Pending(mount, KnownClient::default(), reply), begun })
    }

    /// Adds what our records say is there, where the inquiry was begun without them.
    pub(crate) fn with_known(mut self, known: KnownMount<'_>) -> Self {
        if let InquiryState::Pending(mount, client, _) = &mut self.state {
            *client = KnownClient::of(mount, known);
        }
        self
    }

    /// Waits for the client's answer.
    ///
    /// # Errors
    /// [`MountError::Unreadable`]
    pub(crate) fn wait(self) -> Result<Inspection, MountError> {
        let (at, begun) = (self.at, self.begun);
        let inspection = self.answer()?;
        tracing::debug!(mount_path = %at, state = inspection.state.as_str(), took = ?begun.elapsed(), "looked at the mount");
        Ok(inspection)
    }

    fn answer(self) -> Result<Inspection, MountError> {
        let (mount, client, reply) = match self.state {
            InquiryState::Known(state) => return Ok(Inspection { state, chain: None }),
            InquiryState::Pending(mount, client, reply) => (mount, client, reply),
        };
        let state = match reply() {
            Ok(ShareReply { root, chain }) if root.is_connected() && root.device == mount.device => {
                return Ok(Inspection { state: MountState::Healthy(mount), chain: Some(chain) });
            }
            Ok(_) => MountState::Disconnected(mount),
            Err(ShareError::Dead { .. }) => MountState::Dead(mount),
            Err(ShareError::Unserved { refused, .. }) => {
                // The processes decide where the kernel does not: a client that lives may answer with any error.
                let is_gone = match client.processes.as_slice() {
                    _ if refused == RefusedRequests::SomeWhileConnected => false,
                    [] => refused == RefusedRequests::All,
                    _ => client.has_ended(self.host, self.at),
                };
                if is_gone { MountState::Dead(mount) } else { MountState::Disconnected(mount) }
            }
            Err(ShareError::Hung { .. }) => MountState::Hung(mount),
            Err(source) => return Err(MountError::Unreadable { at: self.at.clone(), source }),
        };
        Ok(Inspection { state, chain: None })
    }
}
