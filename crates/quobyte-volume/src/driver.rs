//! The operations: connect, disconnect, inspect, reconcile, status.
//!
//! [`Driver`] is their public face. What is done to one share is a `ShareOperation`, which holds the share's lock from its
//! first look to its last write, and leaves things as they were when it fails. What an operation needs to know it finds
//! out itself: the kernel's mount table says what is mounted, the records say for whom.

mod connect;
mod context;
mod disconnect;
mod ensure_mounted;
mod error;
mod extend;
mod inspect_image;
mod operation;
mod parallel;
mod policy;
mod probe_direct_io;
mod reconcile;
mod release;
mod rollback;
mod stacked_mounts;
mod status;
mod verify_chain;

use std::path::{Path, PathBuf};

use self::connect::ConnectRequest;
pub use self::connect::Connected;
use self::context::Context;
pub use self::context::DriverConfig;
pub use self::disconnect::DisconnectOutcome;
pub use self::error::Error;
pub use self::inspect_image::ImageInspection;
pub use self::reconcile::{Finding, Repair, Unrepaired};
pub use self::release::{Force, StillMounted};
pub use self::status::{DiskState, ShareState, ShareStatus, StatusReport};
use crate::host::Host;
use crate::host::records::StateDir;
use crate::pure::connection::{ConnectionInfo, Export, ImageName, InstanceId, VolumeId};
use crate::pure::guests::{GuestUse, Guests};
use crate::pure::image::Layer;
use crate::pure::io_policy::{Decision, Facts, HypervisorFacts};
use crate::pure::mount_path::MountPath;

/// Connects and disconnects volumes on one host. Any number of threads and processes may do so at once.
pub struct Driver {
    context: Context,
}

/// Ample for a host, and few enough for as many threads and helper processes.
const MAX_PARALLEL_SHARES: usize = 32;

impl Driver {
    /// A driver for the given host and hypervisor, with records in `state`.
    ///
    /// # Errors
    /// [`Error::Config`] for a mount point base that cannot be used.
    pub fn new(
        config: DriverConfig,
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
            let max_parallel_shares = MAX_PARALLEL_SHARES;
            return Ok(Self { context: Context { config, state, host, guests, max_parallel_shares } });
        };
        Err(Error::Config { path: config.mount_point_base, reason })
    }

    /// The same, looking at no more than `count` shares in parallel in [`Driver::status`] and [`Driver::reconcile`], 32
    /// unless set. With 1 all is done by the caller's own thread.
    #[must_use]
    pub fn with_max_parallel_shares(self, count: usize) -> Self {
        Self { context: Context { max_parallel_shares: count, ..self.context } }
    }

    /// Where an export is mounted on this host.
    #[must_use]
    pub fn mount_path(&self, export: &Export) -> MountPath {
        self.context.mount_path(export)
    }

    /// The path under which a guest's hypervisor opens an image.
    #[must_use]
    pub fn device_path(&self, export: &Export, name: &ImageName) -> PathBuf {
        self.mount_path(export).image(name)
    }

    /// The directory below which all shares are mounted.
    #[must_use]
    pub fn mount_point_base(&self) -> &Path {
        &self.context.config.mount_point_base
    }

    /// The share and the image that a path names, if it names an image as this driver would: a plain file in a mount
    /// directory directly below the configured base.
    #[must_use]
    pub fn locate_image(&self, device_path: &Path) -> Option<(MountPath, ImageName)> {
        let name = ImageName::parse(device_path.file_name()?.to_str()?).ok()?;
        let mount_path =
            MountPath::from_mount_point(&self.context.config.mount_point_base, device_path.parent()?)?;
        Some((mount_path, name))
    }

    /// Connects a volume for a guest: afterwards its share is mounted and answers, the image is a regular file on it,
    /// and a record keeps the share mounted until the guest's last volume on it is disconnected. A mount whose client
    /// has died is replaced. Connecting what is connected changes nothing.
    ///
    /// # Errors
    /// The first thing that is not as it should be, [`Error::InUse`] where another guest has the volume and it is not
    /// multiattach. Nothing this call made is left: no mount, directory or record, and no process but a helper that is
    /// ending.
    pub fn connect(
        &self,
        info: &ConnectionInfo,
        instance: InstanceId,
        facts: &HypervisorFacts,
    ) -> Result<Connected, Error> {
        connect::connect(&self.context, &ConnectRequest { info, instance, has_image_open: false, facts })
    }

    /// The same for a guest that has the image open already: it goes on with the files it has, so an attachment on
    /// record stays one of the mount that it was made on.
    ///
    /// # Errors
    /// Those of [`Driver::connect`].
    pub fn connect_running(
        &self,
        info: &ConnectionInfo,
        instance: InstanceId,
        facts: &HypervisorFacts,
    ) -> Result<Connected, Error> {
        connect::connect(&self.context, &ConnectRequest { info, instance, has_image_open: true, facts })
    }

    /// Disconnects a volume from a guest, and unmounts its share when no attachment and no guest is left and the
    /// kernel agrees, or as `force` has it. Disconnecting what is not connected succeeds, and so does disconnecting
    /// from a mount that is gone, dead or hung.
    ///
    /// `at` is where the share should be; if the volume was connected elsewhere (the configured base or the export
    /// has changed since), the recorded place counts.
    ///
    /// # Errors
    /// When the records or the mount table cannot be read, or the share cannot be unmounted for another reason than
    /// being in use. The attachment's record is gone then if it could be written, and the share's own stays.
    pub fn disconnect(
        &self,
        at: &MountPath,
        volume: VolumeId,
        instance: InstanceId,
        force: Force,
    ) -> Result<DisconnectOutcome, Error> {
        disconnect::disconnect(&self.context, at, volume, instance, force)
    }

    /// Disconnects the volume that a guest was given as the file `name` at `at`, where no more than that is known for
    /// certain. What the records say of that file counts, then `fallback`.
    ///
    /// # Errors
    /// Those of [`Driver::disconnect`].
    pub fn disconnect_file(
        &self,
        at: &MountPath,
        name: &ImageName,
        instance: InstanceId,
        fallback: Option<VolumeId>,
        force: Force,
    ) -> Result<DisconnectOutcome, Error> {
        disconnect::disconnect_file(&self.context, at, name, instance, fallback, force)
    }

    /// The image and everything below it as they are now, verified as a connect would. Where the volume is connected,
    /// they are the files that were looked at then.
    ///
    /// # Errors
    /// [`Error::NotMounted`], since only what was looked at may be described; those of a connect that finds the share
    /// mounted; and a breach of [`Rule::Swapped`](crate::pure::image::Rule::Swapped).
    pub fn chain(&self, info: &ConnectionInfo) -> Result<Vec<Layer>, Error> {
        inspect_image::chain(&self.context, info)
    }

    /// The same, and what a connect would decide. A mount that was not probed is probed; nothing is put on record.
    ///
    /// # Errors
    /// Those of [`Driver::chain`] and [`Error::IoPolicy`].
    pub fn inspect_image(
        &self,
        info: &ConnectionInfo,
        facts: &HypervisorFacts,
    ) -> Result<ImageInspection, Error> {
        inspect_image::inspect_image(&self.context, info, facts)
    }

    /// What is known without asking a mount.
    #[must_use]
    pub fn unprobed_facts(&self, host: &HypervisorFacts) -> Facts {
        self.context.unprobed_facts(host)
    }

    /// Decides for a volume, given the facts.
    ///
    /// # Errors
    /// [`Error::IoPolicy`]
    pub fn decide(&self, info: &ConnectionInfo, facts: &Facts) -> Result<Decision, Error> {
        self.context.decide(info, facts)
    }

    /// The size, in bytes, to which QEMU is to resize a connected volume that is to hold `requested` bytes: that, in
    /// whole sectors. The file itself is not touched: while a guest has it open only QEMU may change it, and does so,
    /// raw or qcow2, as it resizes the disk.
    ///
    /// # Errors
    /// [`Error::WouldShrink`] where the image holds more already, and those of [`Driver::chain`].
    pub fn extend(&self, info: &ConnectionInfo, requested: u64) -> Result<u64, Error> {
        extend::extend(&self.context, info, requested)
    }

    /// Every recorded share with its state, ordered by export, and every record that cannot be used. Nothing is
    /// held meanwhile: it is a snapshot.
    ///
    /// # Errors
    /// When the state directory cannot be listed.
    pub fn status(&self) -> Result<StatusReport, Error> {
        status::status(&self.context)
    }

    /// Every use of those shares by a guest, so that an attachment can be told with its domain and its target.
    ///
    /// # Errors
    /// When the hypervisor cannot be asked.
    pub fn guests(
        &self,
        shares: &[ShareStatus],
    ) -> Result<Vec<GuestUse>, Box<dyn std::error::Error + Send + Sync>> {
        let shares: Vec<_> = shares.iter().map(|share| share.record.mount_path.clone()).collect();
        if shares.is_empty() { Ok(Vec::new()) } else { self.context.guests.uses_below(&shares) }
    }

    /// Finds what a crash, a reboot of the client or another program has left, and repairs what is certainly ours;
    /// with `dry_run` it only tells what it would do. Calling it again finds nothing more to repair.
    ///
    /// # Errors
    /// When the state directory or the mount table cannot be read. What fails about one share is a finding.
    pub fn reconcile(&self, dry_run: bool) -> Result<Vec<Finding>, Error> {
        reconcile::reconcile(&self.context, dry_run)
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
