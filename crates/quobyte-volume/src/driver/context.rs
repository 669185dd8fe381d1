//! What every operation of a driver goes by: its configuration, its records, and the two seams to the outside.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::Error;
use crate::host::records::{LockedShare, StateDir};
use crate::host::{Deadline, Host};
use crate::pure::connection::{ConnectionInfo, Export};
use crate::pure::guest_path::has_refused_character;
use crate::pure::guests::Guests;
use crate::pure::image::VolumeFormats;
use crate::pure::io_policy::{Cache, Decision, Facts, HypervisorFacts, IoOptions};
use crate::pure::mount_path::MountPath;

/// What an operator configures.
#[derive(Debug, Clone)]
pub struct DriverConfig {
    /// Where shares are mounted, `quobyte_mount_point_base`. Absolute.
    pub mount_point_base: PathBuf,
    /// How long an operation waits for another one on the same share.
    pub lock_timeout: Duration,
    /// Fixed cache and I/O modes.
    pub io: IoOptions,
    /// The cache mode that Nova's `disk_cachemodes` names for files, for callers who describe disks in Nova's place.
    pub nova_cache: Option<Cache>,
    /// The formats that images may have which are no snapshots of others.
    pub volume_formats: VolumeFormats,
}

pub(super) const MOUNT_POINT_BASE: &str = "quobyte_mount_point_base";

/// Checks a path that is an option's value: records and requests are JSON, which can hold no other.
///
/// # Errors
/// [`Error::Config`] for one that is not UTF-8, is not absolute, or has a control character.
pub fn check_path_option(option: &'static str, path: &Path) -> Result<(), Error> {
    let config_error = |reason| Err(Error::Config { option, path: path.to_owned(), reason });
    match path.to_str() {
        None => config_error("is not UTF-8"),
        Some(path) if path.contains(char::is_control) => config_error("contains a control character"),
        // Where this runs would decide what it means.
        Some(_) if !path.is_absolute() => config_error("is not absolute"),
        Some(_) => Ok(()),
    }
}

/// What the operations of a driver have in common.
pub(super) struct Context {
    pub(super) config: DriverConfig,
    pub(super) state: StateDir,
    pub(super) host: Box<dyn Host + Send + Sync>,
    pub(super) guests: Box<dyn Guests + Send + Sync>,
    /// How many shares status and reconcile look at in parallel.
    pub(super) max_parallel_shares: usize,
}

impl Context {
    pub(super) fn host(&self) -> &dyn Host {
        self.host.as_ref()
    }

    pub(super) fn mount_path(&self, export: &Export) -> MountPath {
        MountPath::new(&self.config.mount_point_base, export)
    }

    /// Checks that a guest's AppArmor profile can name the image at its path. Only what gives an image to a guest asks.
    pub(super) fn check_for_guest(&self, info: &ConnectionInfo) -> Result<(), Error> {
        info.name.check_for_guest()?;
        let at = self.mount_path(&info.export);
        // libvirt follows the links on the way.
        if has_refused_character(&at.as_path().to_string_lossy())
            || has_refused_character(&at.resolved().to_string_lossy())
        {
            return Err(Error::Config {
                option: MOUNT_POINT_BASE,
                path: self.config.mount_point_base.clone(),
                reason: "contains, or leads to, one of * ? [ ] { } \" \\, which AppArmor takes for a pattern or the end of a \
                         name, or a character that QEMU refuses",
            });
        }
        Ok(())
    }

    /// What is known of host and hypervisor without asking a mount.
    pub(super) fn unprobed_facts(&self, host: &HypervisorFacts) -> Facts {
        Facts { aio: self.host().aio_slots(), ..Facts::from(*host) }
    }

    /// Decides how QEMU is to read and write a volume's image.
    pub(super) fn decide(&self, info: &ConnectionInfo, facts: &Facts) -> Result<Decision, Error> {
        Ok(Decision::make(info, facts, &self.config.io)?.with_nova_cache(self.config.nova_cache))
    }

    /// Waits until no other operation holds the share at `at`, then holds it.
    pub(super) fn lock(&self, at: &MountPath) -> Result<LockedShare, Error> {
        Ok(self.state.lock(at, Deadline::after(self.config.lock_timeout))?)
    }
}
