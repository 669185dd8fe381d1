//! What is on record of a share: what is mounted where, and for whom. No I/O: [`crate::host::records`] keeps the files.

mod attachment;
mod compare;
mod detaching;
mod guest_uses;
mod rival;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::attachment::{Attachment, Leaving};
pub(crate) use self::attachment::{FileQuery, Release};
pub use self::compare::Comparison;
pub(crate) use self::compare::MountAge;
pub use self::detaching::Detaching;
pub(crate) use self::rival::{Claim, Rival};
use super::connection::{Export, InstanceId, VolumeId};
use super::guests::{Guest, GuestUse};
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
    /// The processes of the client that was started for that mount; empty where they are not known.
    #[serde(default)]
    pub client: Vec<ClientProcess>,
    /// How the client was started, so that whoever repairs the share can start it in the same way.
    #[serde(default)]
    pub settings: ClientSettings,
    /// What a probe of that mount has seen, once there was one.
    #[serde(default)]
    pub probe: Option<Probe>,
    /// The rows of the I/O policy whose cost an operator has been told of, for that mount.
    #[serde(default, rename = "told")]
    pub warned_rows: Vec<String>,
    /// Which of its mounts this is about, later ones having greater numbers; see `advance_generation`.
    pub generation: u64,
    /// Whether the attachments have been compared with the hypervisor's guests since that mount was made.
    #[serde(default)]
    pub compared: bool,
    /// Who uses it.
    pub attachments: Vec<Attachment>,
    /// What guests have released that may still describe it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) releases: Vec<Release>,
    /// Disks that somebody has begun to take out of guests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) detaching: Vec<Detaching>,
}

/// One process, which no later process with its number is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientProcess {
    /// Its number.
    pub pid: u32,
    /// When it was started, in the kernel's ticks since the boot.
    pub start_time: u64,
}

/// How a client is started. What is `None` is left to whoever starts it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClientSettings {
    /// Its configuration file.
    pub client_cfg: Option<PathBuf>,
    /// Who starts it: a launcher's name.
    pub launcher: Option<String>,
    /// How long it may take to mount.
    pub mount_timeout: Option<Duration>,
}

impl ClientSettings {
    /// These settings, and those of `other` where these say nothing.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self {
            client_cfg: self.client_cfg.clone().or_else(|| other.client_cfg.clone()),
            launcher: self.launcher.clone().or_else(|| other.launcher.clone()),
            mount_timeout: self.mount_timeout.or(other.mount_timeout),
        }
    }
}

/// What is known of a mount before it is looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct KnownMount<'a> {
    /// The mount that was there.
    pub mount: Option<&'a Mount>,
    /// The processes of its client; empty where they are not known.
    pub client: &'a [ClientProcess],
    /// The share's generation that it is of; 0 where that is not known.
    pub generation: u64,
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
            client: Vec::new(),
            settings: ClientSettings::default(),
            probe: None,
            warned_rows: Vec::new(),
            generation: 0,
            compared: false,
            attachments: Vec::new(),
            releases: Vec::new(),
            detaching: Vec::new(),
        }
    }

    /// What is known of the mount.
    #[must_use]
    pub fn known_mount(&self) -> KnownMount<'_> {
        KnownMount { mount: self.mount.as_ref(), client: &self.client, generation: self.generation }
    }

    /// Records what is mounted. What was found out about an earlier mount does not apply to another one.
    pub(crate) fn set_mount(&mut self, mount: Mount) {
        if !self.is_for_mount(&mount) {
            self.probe = None;
            self.warned_rows.clear();
            self.client.clear();
            self.compared = false;
        }
        self.mount = Some(mount);
    }

    /// Whether it was written about this very mount.
    pub(crate) fn is_for_mount(&self, mount: &Mount) -> bool {
        self.mount.as_ref().is_some_and(|known| known.is_same(mount))
    }

    /// The guest's attachment that `query` asks for: the one of its file, else the one of its volume.
    #[must_use]
    pub(crate) fn attachment(&self, instance: InstanceId, query: &FileQuery<'_>) -> Option<&Attachment> {
        query.find(instance, &self.attachments).map(|index| &self.attachments[index])
    }

    /// Adds an attachment, or brings the one of that file, or of that volume, to that guest up to date in its place. It keeps
    /// the ids and the files that the volume had. Whatever the guest has released of it, it has again.
    pub(crate) fn attach(&mut self, attachment: Attachment, volume: Option<VolumeId>) {
        for release in &mut self.releases {
            release.retract(&attachment);
        }
        self.releases.retain(|release| !release.files.is_empty());
        self.detaching.retain(|detaching| !detaching.is_of(&attachment));
        let query = FileQuery { volume, ..FileQuery::of(&attachment) };
        let index = query.find(attachment.instance, &self.attachments);
        match index.map(|index| &mut self.attachments[index]) {
            Some(present) => present.update(attachment),
            None => self.attachments.push(attachment),
        }
    }

    /// Notes that somebody begins to take that disk out.
    pub(crate) fn begin_detach(&mut self, detaching: Detaching) {
        self.end_detach(&detaching);
        self.detaching.push(detaching);
    }

    /// Forgets what was noted of that disk.
    pub(crate) fn end_detach(&mut self, detaching: &Detaching) {
        self.detaching.retain(|known| !known.is_same_disk(detaching));
    }

    /// Whether somebody has begun to take a disk with the attachment out of its guest.
    pub(crate) fn is_being_detached(&self, attachment: &Attachment) -> bool {
        let attachments = &self.attachments;
        self.detaching.iter().any(|detaching| detaching.attachment(attachments) == Some(attachment))
    }

    /// Removes the guest's attachment that `query` asks for, and returns it if it was there.
    pub(crate) fn detach(&mut self, instance: InstanceId, query: &FileQuery<'_>) -> Option<Attachment> {
        let index = query.find(instance, &self.attachments)?;
        Some(self.attachments.remove(index))
    }

    /// Notes that the guest has released an attachment with all its layers, where its shut-off description still names
    /// them.
    pub(crate) fn release(&mut self, attachment: &Attachment, guest: &Guest) {
        let uses = self.uses_of(attachment, guest);
        let Some(release) = Release::new(attachment, uses, &self.mount_path) else { return };
        match self.releases.iter_mut().find(|known| known.instance == release.instance) {
            Some(known) => known.merge(release),
            None => self.releases.push(release),
        }
    }

    /// Whether a guest has released what that use is about. What it runs with, or was saved with, it has not.
    pub(crate) fn is_released(&self, guest_use: &GuestUse) -> bool {
        self.releases.iter().any(|release| release.covers(guest_use, &self.mount_path))
    }

    /// The attachments whose guests run on with files of a mount that is gone.
    #[must_use]
    pub fn lost(&self) -> Vec<Attachment> {
        let is_lost = |attachment: &&Attachment| attachment.lost_in.is_some() && self.is_stale(attachment);
        self.attachments.iter().filter(is_lost).cloned().collect()
    }

    /// Whether the attachment was made on an earlier mount than the present one.
    #[must_use]
    pub(crate) fn is_stale(&self, attachment: &Attachment) -> bool {
        attachment.generation < self.generation
    }
}
