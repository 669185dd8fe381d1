//! Asking a hypervisor who uses a share.

use std::error::Error;
use std::path::PathBuf;

use crate::connection::{ImageFormat, InstanceId, VolumeId};
use crate::mount_path::MountPath;

/// What the driver asks of a hypervisor. Each door has its own: the command asks libvirt, Nova its host object.
pub trait Guests {
    /// Every use of a path at or below `at` by a guest that is running, shut off or saved. It is asked only when
    /// records alone would let a share go.
    ///
    /// # Errors
    /// When the hypervisor cannot be asked. The share then stays: not knowing is no permission.
    fn using(&self, at: &MountPath) -> Result<Vec<GuestUse>, Box<dyn Error + Send + Sync>>;
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

/// A disk as a guest has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestDisk {
    /// The volume, where the disk's description carries its id.
    pub volume: Option<VolumeId>,
    /// The format that the hypervisor takes the file for; raw where it says none, as Nova has it.
    pub format: ImageFormat,
}
