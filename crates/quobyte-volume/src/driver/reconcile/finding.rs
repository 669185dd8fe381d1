//! What reconcile finds.

use std::slice;

use crate::driver::error::Error;
use crate::driver::lost::LostGuest;
use crate::driver::release::StillMounted;
use crate::error::{Code, with_causes};
use crate::host::records::StateError;
use crate::pure::connection::Export;
use crate::pure::guests::GuestUse;
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
    /// The uses of the guest of that name are not all known, for that reason.
    UnknownGuest(String, String),
}

/// What was repaired about a share.
#[derive(Debug, Clone, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Repair {
    /// It was mounted again. These guests, and no others, have files open that are dead.
    Remounted(Vec<LostGuest>),
    /// Nobody used it any more, so it was taken down.
    TakenDown,
    /// Guests have these files although no record said so, or said that they were leaving; now one does.
    Adopted(Vec<Attachment>),
    /// The guests of these attachments have moved to other files, which are on record now.
    Moved(Vec<Attachment>),
    /// Guests have released these files, which had been disconnected before.
    Released(Vec<Attachment>),
    /// The guests of these attachments have been stopped since they lost their files.
    Restarted(Vec<Attachment>),
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
    /// The guest has files open on a mount that has died. Restart it, or detach and attach the volumes.
    Lost(LostGuest),
    /// The volume is disconnected, but its guest has yet to release it.
    Leaving(Attachment),
    /// Two guests use one file and must not.
    Rivals(Box<(Attachment, Attachment)>),
    /// A guest uses something of the share that is no image of it, or an image below a file that is elsewhere. It keeps the
    /// share mounted, and is on no record.
    NotAdopted(GuestUse),
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
            Self::UnknownGuest(..) => "unknown_guest",
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
            Self::UnknownGuest(name, reason) => Some(format!("{name}: {reason}")),
            Self::Unrepaired(_, unrepaired) => match unrepaired {
                Unrepaired::Foreign(source, fs_type) => Some(format!("{source} of type {fs_type}")),
                Unrepaired::Unknown(reason) | Unrepaired::StillMounted(StillMounted::Unknown(reason)) => {
                    Some(reason.clone())
                }
                Unrepaired::Failed(error) => Some(with_causes(error)),
                Unrepaired::Lost(guest) => Some(guest.name.clone()),
                Unrepaired::NotAdopted(guest_use) => {
                    Some(format!("guest {} uses {}", guest_use.name, guest_use.path.display()))
                }
                _ => None,
            },
            Self::Swept(_) | Self::Repaired(..) => None,
        }
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
            Self::Swept(_) | Self::UnusableRecord(_) | Self::UnknownGuest(..) => None,
        }
    }

    /// The attachments it is about.
    #[must_use]
    pub fn attachments(&self) -> Vec<Attachment> {
        let guests = self.lost_guests().iter().flat_map(|guest| guest.attachments.clone());
        let others = match self {
            Self::Repaired(
                _,
                Repair::Adopted(attachments)
                | Repair::Moved(attachments)
                | Repair::Released(attachments)
                | Repair::Restarted(attachments),
            ) => attachments,
            Self::Unrepaired(_, Unrepaired::NoGuest(attachment, _) | Unrepaired::Leaving(attachment)) => {
                slice::from_ref(attachment)
            }
            Self::Unrepaired(_, Unrepaired::Rivals(pair)) => return vec![pair.0.clone(), pair.1.clone()],
            _ => &[],
        };
        guests.chain(others.to_vec()).collect()
    }

    /// The guests that have lost the files that they had open.
    #[must_use]
    pub fn lost_guests(&self) -> &[LostGuest] {
        match self {
            Self::Repaired(_, Repair::Remounted(guests)) => guests,
            Self::Unrepaired(_, Unrepaired::Lost(guest)) => slice::from_ref(guest),
            _ => &[],
        }
    }
}
