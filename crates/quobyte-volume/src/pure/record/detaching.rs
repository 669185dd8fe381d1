//! A disk that somebody has begun to take out of its guest.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::attachment::{Attachment, FileQuery};
use crate::pure::connection::{ImageName, InstanceId, VolumeId};
use crate::pure::disk::TargetDev;

/// A disk that somebody has begun to take out of its guest, and that is on record until its volume is disconnected. Once no
/// description of the guest has the disk, nothing else says which volume it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detaching {
    /// The guest.
    pub instance: InstanceId,
    /// The disk's name in the guest.
    pub target: TargetDev,
    /// The file that the disk is kept in.
    pub name: ImageName,
    /// The volume, where the disk's description tells it.
    pub volume: Option<VolumeId>,
    /// Whether the guest's next start gives that name to another disk, which stays.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keeps_other: bool,
}

impl Detaching {
    /// Whether both are about one disk with one file.
    pub(super) fn is_same_disk(&self, other: &Self) -> bool {
        self.instance == other.instance && self.target == other.target && self.name == other.name
    }

    /// Whether the disk is one of the attachment's guest with a file of it.
    pub(super) fn is_of(&self, attachment: &Attachment) -> bool {
        self.instance == attachment.instance && attachment.has_file(Path::new(self.name.as_str()))
    }

    /// Which of `attachments` it takes out of the guest.
    pub(super) fn attachment<'a>(&self, attachments: &'a [Attachment]) -> Option<&'a Attachment> {
        let query = FileQuery { name: Some(&self.name), chain: &[], volume: self.volume };
        query.find(self.instance, attachments).map(|index| &attachments[index])
    }
}
