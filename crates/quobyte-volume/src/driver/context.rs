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
use crate::pure::kernel_mount::fits_mount_table;
use crate::pure::mount_path::MountPath;
use crate::pure::path_option::PathOption;

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

/// Checks a path that is an option's value.
///
/// # Errors
/// [`Error::Config`] for one that no operation could use: see [`PathOption::fault`].
pub fn check_path_option(option: PathOption, path: &Path) -> Result<(), Error> {
    option.fault(path).map_or(Ok(()), |reason| Err(config_error(option, path, reason)))
}

fn config_error(option: PathOption, path: &Path, reason: &'static str) -> Error {
    Error::Config { option: option.as_str(), path: path.to_owned(), reason }
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
    /// `resolved` is the mount path without links on the way, which libvirt follows.
    pub(super) fn check_for_guest(
        &self,
        info: &ConnectionInfo,
        at: &MountPath,
        resolved: &Path,
    ) -> Result<(), Error> {
        info.name.check_for_guest()?;
        if has_refused_character(&at.as_path().to_string_lossy())
            || has_refused_character(&resolved.to_string_lossy())
        {
            return Err(self.base_error(
                "contains, or leads to, one of * ? [ ] { } \" \\, which AppArmor takes for a pattern or the end of a name, or \
                 a character that QEMU refuses",
            ));
        }
        Ok(())
    }

    /// Checks that whoever unmounts the export from there can find it in the mount table.
    pub(super) fn check_mount_table_line(&self, resolved: &Path, export: &Export) -> Result<(), Error> {
        if fits_mount_table(resolved, export) {
            return Ok(());
        }
        Err(self.base_error(
            "leads to a path that makes a line of the mount table longer than 4095 bytes, of which fusermount3 reads no more; \
             a space counts four times",
        ))
    }

    fn base_error(&self, reason: &'static str) -> Error {
        config_error(PathOption::QuobyteMountPointBase, &self.config.mount_point_base, reason)
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

    /// The same where the mount path without links on the way is known.
    pub(super) fn lock_resolved(&self, at: &MountPath, resolved: &Path) -> Result<LockedShare, Error> {
        Ok(self.state.lock_resolved(at, resolved, Deadline::after(self.config.lock_timeout))?)
    }
}
