//! Asking a hypervisor who uses a share.

use std::error::Error;
use std::path::PathBuf;

use crate::connection::{ImageFormat, InstanceId};
use crate::mount::MountPath;

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
    /// The format that the hypervisor takes it for, if it says.
    pub format: Option<ImageFormat>,
}
