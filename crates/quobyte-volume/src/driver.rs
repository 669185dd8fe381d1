//! The order of things: connect, disconnect, status.
//!
//! Every operation on a share holds that share's lock from its first look to its last write, and leaves things as
//! they were when it fails. What an operation needs to know it finds out itself: the kernel's mount table says what is
//! mounted, the records say for whom.

mod at_once;
mod bring_up;
mod connect;
mod disconnect;
mod error;
mod extend;
mod judge;
mod policy;
mod reconcile;
mod status;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::connect::Connected;
pub use self::disconnect::{Disconnected, Force, Kept};
pub use self::error::Error;
pub use self::policy::Examined;
pub use self::reconcile::{Finding, LeftAlone, Mended};
pub use self::status::{ShareState, ShareStatus};
use crate::host::Deadline;
use crate::host::Host;
use crate::host::records::{LockedShare, StateDir};
use crate::pure::connection::{Export, ImageName};
use crate::pure::guests::Guests;
use crate::pure::io_policy::IoOptions;
use crate::pure::mount_path::MountPath;

/// What an operator configures.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where shares are mounted, `quobyte_mount_point_base`. Absolute.
    pub mount_point_base: PathBuf,
    /// UnmountMode long an operation waits for another one on the same share.
    pub lock_timeout: Duration,
    /// Fixed cache and I/O modes.
    pub io: IoOptions,
}

/// Connects and disconnects volumes on one host. Any number of threads and processes may do so at once.
pub struct Driver {
    config: Config,
    state: StateDir,
    host: Box<dyn Host + Send + Sync>,
    guests: Box<dyn Guests + Send + Sync>,
    shares_at_once: usize,
}

/// Ample for a host, and few enough for as many threads and helper processes.
const SHARES_AT_ONCE: usize = 32;

impl Driver {
    /// A driver for the given host and hypervisor, with records in `state`.
    ///
    /// # Errors
    /// [`Error::Config`] for a mount point base that cannot be used.
    pub fn new(
        config: Config,
        state: StateDir,
        host: Box<dyn Host + Send + Sync>,
        guests: Box<dyn Guests + Send + Sync>,
    ) -> Result<Self, Error> {
        let base = &config.mount_point_base;
        let reason = if !base.is_absolute() {
            "quobyte_mount_point_base is not an absolute path"
        } else if base.to_string_lossy().contains(char::is_control) {
            "quobyte_mount_point_base contains a control character"
        } else {
            return Ok(Self { config, state, host, guests, shares_at_once: SHARES_AT_ONCE });
        };
        Err(Error::Config { path: config.mount_point_base, reason })
    }

    /// The same, looking at no more than `count` shares at once in [`Driver::status`] and [`Driver::reconcile`], 32 unless
    /// set. With 1 all is done by the caller's own thread.
    #[must_use]
    pub fn with_shares_at_once(self, count: usize) -> Self {
        Self { shares_at_once: count, ..self }
    }

    /// Where an export is mounted on this host.
    #[must_use]
    pub fn mount_path(&self, export: &Export) -> MountPath {
        MountPath::new(&self.config.mount_point_base, export)
    }

    /// The path under which a guest's hypervisor opens an image.
    #[must_use]
    pub fn device_path(&self, export: &Export, name: &ImageName) -> PathBuf {
        self.mount_path(export).image(name)
    }

    /// The directory below which all shares are mounted.
    #[must_use]
    pub fn mount_point_base(&self) -> &Path {
        &self.config.mount_point_base
    }

    /// The share and the image that a path names, if it names an image as this driver would: a plain file in a mount
    /// directory directly below the configured base.
    #[must_use]
    pub fn place_of(&self, device_path: &Path) -> Option<(MountPath, ImageName)> {
        let name = ImageName::parse(device_path.file_name()?.to_str()?).ok()?;
        let mount_path = MountPath::recognise(&self.config.mount_point_base, device_path.parent()?)?;
        Some((mount_path, name))
    }

    fn lock(&self, at: &MountPath) -> Result<LockedShare, Error> {
        Ok(self.state.lock(at, Deadline::after(self.config.lock_timeout))?)
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
