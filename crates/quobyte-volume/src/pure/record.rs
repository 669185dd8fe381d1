//! What is on record of a share: what is mounted where, and for whom. No I/O: [`crate::host::records`] keeps the files.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::connection::{Export, ImageFormat, ImageName, InstanceId, VolumeId};
use super::image::Layer;
use super::io_policy::Probe;
use super::kernel_mount::Mount;
use super::mount_path::MountPath;

/// One share: what was mounted where, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareRecord {
    pub(crate) version: u64,
    /// Which boot of the machine this is about; mounts do not outlive one.
    pub(crate) boot_id: String,
    /// What is mounted.
    pub export: Export,
    /// Where it is mounted.
    pub mount_path: MountPath,
    /// The mount as the kernel showed it once it was made; `None` while it is being made.
    pub mount: Option<Mount>,
    /// What a probe of that mount has seen, once there was one.
    #[serde(default)]
    pub probe: Option<Probe>,
    /// The rows of the I/O policy whose cost an operator has been told of, for that mount.
    #[serde(default, rename = "told")]
    pub warned_rows: Vec<String>,
    /// Which of its mounts this is about, later ones having greater numbers; see `advance_generation`.
    pub generation: u64,
    /// Who uses it.
    pub attachments: Vec<Attachment>,
}

/// One volume attached to one guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The guest.
    pub instance: InstanceId,
    /// The volume.
    pub volume: VolumeId,
    /// The volume's file when it was connected.
    pub name: ImageName,
    /// The file's declared format.
    pub format: ImageFormat,
    /// The image's layers as they were looked at; empty where another driver attached it.
    #[serde(default)]
    pub chain: Vec<Layer>,
    /// The share's generation when the guest was last connected. Files opened on an earlier one are on a
    /// mount that is gone.
    pub generation: u64,
}

impl Attachment {
    /// Whether this is the attachment of that volume to that guest, whatever file it is in.
    #[must_use]
    pub fn matches(&self, instance: InstanceId, volume: VolumeId) -> bool {
        self.instance == instance && self.volume == volume
    }
}

impl fmt::Display for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "volume {} of instance {}", self.volume, self.instance)
    }
}

impl ShareRecord {
    /// What would be on record of a share that has no record: that it is nobody's. It is of no boot and is never stored.
    pub(crate) fn unrecorded(export: Export, mount_path: MountPath) -> Self {
        Self {
            version: 0,
            boot_id: String::new(),
            export,
            mount_path,
            mount: None,
            probe: None,
            warned_rows: Vec::new(),
            generation: 0,
            attachments: Vec::new(),
        }
    }

    /// Records what is mounted. The probe and the warnings of an earlier mount do not apply to another one.
    pub(crate) fn set_mount(&mut self, mount: Mount) {
        if !self.is_for_mount(&mount) {
            self.probe = None;
            self.warned_rows.clear();
        }
        self.mount = Some(mount);
    }

    /// Whether it was written about this very mount.
    pub(crate) fn is_for_mount(&self, mount: &Mount) -> bool {
        self.mount.as_ref().is_some_and(|known| known.is_same(mount))
    }

    /// Whether that volume is attached to that guest.
    pub(crate) fn has_attachment(&self, instance: InstanceId, volume: VolumeId) -> bool {
        self.attachments.iter().any(|attachment| attachment.matches(instance, volume))
    }

    /// Adds an attachment, or brings the one of that volume to that guest up to date in its place.
    pub(crate) fn attach(&mut self, attachment: Attachment) {
        let same = |other: &&mut Attachment| other.matches(attachment.instance, attachment.volume);
        match self.attachments.iter_mut().find(same) {
            Some(present) => *present = attachment,
            None => self.attachments.push(attachment),
        }
    }

    /// Removes an attachment, and returns it if it was there.
    pub(crate) fn detach(&mut self, instance: InstanceId, volume: VolumeId) -> Option<Attachment> {
        let index = self.attachments.iter().position(|attachment| attachment.matches(instance, volume))?;
        Some(self.attachments.remove(index))
    }

    /// The attachments whose files were opened on a mount that has been replaced since.
    #[must_use]
    pub fn lost(&self) -> Vec<Attachment> {
        self.attachments
            .iter()
            .filter(|attachment| attachment.generation < self.generation)
            .cloned()
            .collect()
    }
}
