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
//! [`inspect`] alone says in which state a mount point is; everybody else asks it.

mod error;

pub use self::error::MountError;
use crate::host::Host;
use crate::host::share::{Look, PendingLook, ShareError};
use crate::pure::connection::Export;
use crate::pure::image::{Declared, Layer};
use crate::pure::mount_path::MountPath;
use crate::pure::mounts::Mount;

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
        let mount = host.top_mount_fast(at).filter(|mount| mount.is_of(export))?;
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
