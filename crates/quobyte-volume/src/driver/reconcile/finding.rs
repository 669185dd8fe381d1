//! What reconcile finds.

use crate::driver::error::Error;
use crate::driver::release::StillMounted;
use crate::host::records::StateError;
use crate::pure::connection::Export;
use crate::pure::mount_path::MountPath;
use crate::pure::record::Attachment;

/// One thing that reconcile found.
#[derive(Debug)]
pub enum Finding {
    /// It was repaired, or would be were this no dry run.
    Repaired(MountPath, Repair),
    /// It was left alone.
    Unrepaired(MountPath, Unrepaired),
    /// Records that a killed process had not finished writing, or of an earlier boot, were removed; so many.
    Swept(usize),
    /// This record cannot be used by this version.
    UnusableRecord(StateError),
}

/// What was repaired about a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repair {
    /// It was mounted again. The guests of these attachments have files open that are dead.
    Remounted(Vec<Attachment>),
    /// Nobody used it any more, so it was taken down.
    TakenDown,
    /// Guests use it although no record said so; now there is one, with these attachments.
    Adopted(Vec<Attachment>),
}

/// Why something was left alone.
#[derive(Debug)]
pub enum Unrepaired {
    /// The client does not answer.
    Hung,
    /// The client has lost its registries.
    Disconnected,
    /// Something else is mounted there: this source, of this type.
    Foreign(String, String),
    /// The mount is dead, but another user's.
    NotOwner,
    /// It is mounted, but no record and no guest says for whom.
    NotRecorded,
    /// It is not known whether guests use it, for this reason.
    Unknown(String),
    /// No guest has the image of this attachment, of this export. It may be about to get it; if not, disconnect it.
    NoGuest(Attachment, Export),
    /// The guest has files open on a mount that has died. Restart it, or detach and attach the volume.
    Lost(Attachment),
    /// It should have been taken down, and has to stay.
    StillMounted(StillMounted),
    /// Action failed.
    Failed(Error),
}
