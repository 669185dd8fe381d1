//! What reconcile finds.

use std::slice;

use crate::driver::error::Error;
use crate::driver::release::StillMounted;
use crate::error::{Code, with_causes};
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
#[derive(Debug, Clone, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Repair {
    /// It was mounted again. The guests of these attachments have files open that are dead.
    Remounted(Vec<Attachment>),
    /// Nobody used it any more, so it was taken down.
    TakenDown,
    /// Guests use it although no record said so; now there is one, with these attachments.
    Adopted(Vec<Attachment>),
}

impl Repair {
    /// The repair as scripts see it, in `snake_case`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        self.into()
    }
}

/// Why something was left alone.
#[derive(Debug, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
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
    /// The repair failed.
    Failed(Error),
}

impl Finding {
    /// What was found, as scripts see it.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Repaired(_, repair) => repair.as_str(),
            Self::Unrepaired(_, Unrepaired::StillMounted(why)) => why.as_str(),
            Self::Unrepaired(_, why) => why.into(),
            Self::Swept(_) => "swept",
            Self::UnusableRecord(_) => "record_unusable",
        }
    }

    /// The code of the error that kept this from being repaired, if one did.
    #[must_use]
    pub fn error_code(&self) -> Option<Code> {
        match self {
            Self::Unrepaired(_, Unrepaired::Failed(error)) => Some(error.code()),
            Self::UnusableRecord(error) => Some(error.code()),
            _ => None,
        }
    }

    /// What there is to know beyond the code: what is mounted, why something is unknown, the error.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::UnusableRecord(error) => Some(with_causes(error)),
            Self::Unrepaired(_, unrepaired) => match unrepaired {
                Unrepaired::Foreign(source, fs_type) => Some(format!("{source} of type {fs_type}")),
                Unrepaired::Unknown(reason) | Unrepaired::StillMounted(StillMounted::Unknown(reason)) => {
                    Some(reason.clone())
                }
                Unrepaired::Failed(error) => Some(with_causes(error)),
                _ => None,
            },
            Self::Swept(_) | Self::Repaired(..) => None,
        }
    }

    /// Whether guests have lost the files that they had open, those of its attachments.
    #[must_use]
    pub const fn has_lost_attachments(&self) -> bool {
        matches!(self, Self::Repaired(_, Repair::Remounted(_)) | Self::Unrepaired(_, Unrepaired::Lost(_)))
    }

    /// Whether it was repaired, or would be were this no dry run.
    #[must_use]
    pub const fn is_repaired(&self) -> bool {
        matches!(self, Self::Repaired(..) | Self::Swept(_))
    }

    /// The share it is about.
    #[must_use]
    pub const fn mount_path(&self) -> Option<&MountPath> {
        match self {
            Self::Repaired(at, _) | Self::Unrepaired(at, _) => Some(at),
            Self::Swept(_) | Self::UnusableRecord(_) => None,
        }
    }

    /// The attachments it is about.
    #[must_use]
    pub fn attachments(&self) -> &[Attachment] {
        match self {
            Self::Repaired(_, Repair::Remounted(attachments) | Repair::Adopted(attachments)) => attachments,
            Self::Unrepaired(_, Unrepaired::NoGuest(attachment, _) | Unrepaired::Lost(attachment)) => {
                slice::from_ref(attachment)
            }
            _ => &[],
        }
    }
}
