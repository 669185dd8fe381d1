//! Which guests use a share, and what the driver asks of a hypervisor to learn it.

use std::error::Error;
use std::path::PathBuf;

use super::connection::{ImageFormat, InstanceId, VolumeId};
use super::mount_path::MountPath;
use super::record::Attachment;

/// What the driver asks of a hypervisor. Each door has its own: the command asks libvirt, Nova its host object.
pub trait Guests {
    /// Every use of a path at or below one of `shares` by a guest that is running, shut off or saved. It is asked when
    /// records alone would let a share go, and once by a whole reconcile or status, for all shares.
    ///
    /// # Errors
    /// When the hypervisor cannot be asked. A share then stays: not knowing is no permission.
    fn uses_below(&self, shares: &[MountPath]) -> Result<Vec<GuestUse>, Box<dyn Error + Send + Sync>>;
}

/// One path that a guest uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestUse {
    /// The guest.
    pub instance: InstanceId,
    /// The guest's name, for people.
    pub name: String,
    /// The path, as the hypervisor has it.
    pub path: PathBuf,
    /// What it is, where the path is the file of a disk itself: not a file below it, a kernel or a directory.
    pub disk: Option<GuestDisk>,
}

impl GuestUse {
    /// Whether this is the disk of that attachment, whose share is mounted at `at`.
    #[must_use]
    pub fn is_disk_of(&self, attachment: &Attachment, at: &MountPath) -> bool {
        self.instance == attachment.instance && self.path == at.image(&attachment.name)
    }
}

/// A disk as a guest has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestDisk {
    /// Its name in the guest's description, such as `vdb`.
    pub target: String,
    /// The volume, where the disk's description carries its id.
    pub volume: Option<VolumeId>,
    /// The format that the hypervisor takes the file for; raw where it says none, as Nova has it.
    pub format: ImageFormat,
}
