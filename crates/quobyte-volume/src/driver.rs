//! The operations: connect, disconnect, inspect, reconcile, status.
//!
//! [`Driver`] is their public face. What is done to one share is a `ShareOperation`, which holds the share's lock from its
//! first look to its last write, and leaves things as they were when it fails. What an operation needs to know it finds
//! out itself: the kernel's mount table says what is mounted, the records say for whom.

mod connect;
mod context;
mod detach;
mod disconnect;
mod ensure_mounted;
mod error;
mod extend;
mod hold;
mod inspect_image;
mod lost;
mod operation;
mod parallel;
mod policy;
mod probe_direct_io;
mod reconcile;
mod release;
mod rollback;
mod stacked_mounts;
mod status;
mod survey;
mod verify_chain;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::connect::Connected;
use self::connect::{AskGuests, ConnectRequest};
use self::context::Context;
pub use self::context::{DriverConfig, check_path_option};
pub use self::disconnect::{Described, DisconnectOutcome, DisconnectRequest};
pub use self::error::Error;
pub use self::hold::HeldShare;
pub use self::inspect_image::ImageInspection;
pub use self::lost::LostGuest;
pub use self::reconcile::{Finding, Repair, Unrepaired};
pub use self::release::{Force, StillMounted};
pub use self::status::{DiskState, ShareState, ShareStatus, StatusReport};
use crate::host::records::{RemovedLock, StateDir};
use crate::host::{Deadline, Host};
use crate::pure::connection::{ConnectionInfo, Export, ImageName, InstanceId};
use crate::pure::disk::TargetDev;
use crate::pure::guests::{Description, Guest, GuestSurvey, Guests};
use crate::pure::image::Layer;
use crate::pure::io_policy::{Decision, Facts, HypervisorFacts};
use crate::pure::mount_path::MountPath;
use crate::pure::path_option::PathOption;
use crate::pure::record::Detaching;

/// Connects and disconnects volumes on one host. Any number of threads and processes may do so at once.
pub struct Driver {
    context: Context,
}

/// A part of a guest, its metadata or one of its disks, that nobody else changes while this value lives.
#[derive(Debug)]
pub struct GuestLock(#[expect(dead_code, reason = "dropping it releases the lock")] RemovedLock);

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
        check_path_option(PathOption::QuobyteMountPointBase, &config.mount_point_base)?;
        let max_parallel_shares = MAX_PARALLEL_SHARES;
        Ok(Self { context: Context { config, state, host, guests, max_parallel_shares } })
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

    /// The mount path that `path` is, if some share could be mounted there: a directory below the configured base, or the
    /// one of a record.
    #[must_use]
    pub fn mount_path_at(&self, path: &Path) -> Option<MountPath> {
        let records = self.context.state.records().ok().into_iter().flatten().flatten();
        let mut recorded = records.map(|record| record.mount_path);
        MountPath::from_mount_point(&self.context.config.mount_point_base, path)
            .or_else(|| recorded.find(|at| at.as_path() == path))
    }

    /// The share and the image that a path leads to, if it leads to a plain file in a mount directory directly below the
    /// configured base. Links on the way are followed; nothing on a share is touched.
    #[must_use]
    pub fn locate_image(&self, device_path: &Path) -> Option<(MountPath, ImageName)> {
        let (at, name) = MountPath::with_file(&self.context.config.mount_point_base, device_path)?;
        Some((at, ImageName::parse(name.to_str()?).ok()?))
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
        let ask = AskGuests::IfNeeded;
        connect::connect(&self.context, &ConnectRequest { info, instance, ask, facts, is_described: false })
    }

    /// The same for a guest that is about to start, and whose description has the disk. Nobody is to disconnect it: the
    /// attachment ends, at the next reconciliation, with the guest's having the disk.
    ///
    /// # Errors
    /// Those of [`Driver::connect`].
    pub fn connect_described(
        &self,
        info: &ConnectionInfo,
        instance: InstanceId,
        facts: &HypervisorFacts,
    ) -> Result<Connected, Error> {
        let ask = AskGuests::IfNeeded;
        connect::connect(&self.context, &ConnectRequest { info, instance, ask, facts, is_described: true })
    }

    /// The same as [`Driver::connect`], by what the hypervisor knows of its guests now. A guest that runs on with files of a
    /// mount that is gone is among the lost ones of the result.
    ///
    /// # Errors
    /// Those of [`Driver::connect`].
    pub fn connect_compared(
        &self,
        info: &ConnectionInfo,
        instance: InstanceId,
        facts: &HypervisorFacts,
    ) -> Result<Connected, Error> {
        let ask = AskGuests::Always;
        connect::connect(&self.context, &ConnectRequest { info, instance, ask, facts, is_described: false })
    }

    /// Mounts a share for somebody who is no guest, and keeps it mounted while the value lives. Nothing is on record of that:
    /// once the value is dropped, or its process killed, [`Driver::reconcile_share`] unmounts what nobody else needs.
    ///
    /// # Errors
    /// Those of [`Driver::connect`] that are about the mount. Nothing this call made is left.
    pub fn hold(&self, export: &Export) -> Result<HeldShare, Error> {
        hold::hold(&self.context, export)
    }

    /// Whether a record says that the volume is connected for the guest, and stays so. Waits for an operation on its share
    /// that is under way.
    ///
    /// # Errors
    /// When the record cannot be read, or another operation does not end in time.
    pub fn is_connected(&self, info: &ConnectionInfo, instance: InstanceId) -> Result<bool, Error> {
        connect::is_connected(&self.context, info, instance)
    }

    /// Waits until nobody else detaches that disk of the guest, and keeps others from it until the value is dropped.
    /// Whoever detaches it may wait up to `guest_timeout` for the guest, and before and after that for the share as any
    /// operation.
    ///
    /// # Errors
    /// When another one does not end in time, or the lock file cannot be used.
    pub fn lock_disk(
        &self,
        instance: InstanceId,
        target: &TargetDev,
        guest_timeout: Duration,
    ) -> Result<GuestLock, Error> {
        let deadline = Deadline::after(guest_timeout + 2 * self.context.config.lock_timeout);
        Ok(GuestLock(self.context.state.lock_disk(instance, target, deadline)?))
    }

    /// Waits until nobody else changes what the metadata of the guest's domain says of its volumes, and keeps others from it
    /// until the value is dropped.
    ///
    /// # Errors
    /// When another one does not end in time, or the lock file cannot be used.
    pub fn lock_metadata(&self, instance: InstanceId) -> Result<GuestLock, Error> {
        let deadline = Deadline::after(self.context.config.lock_timeout);
        Ok(GuestLock(self.context.state.lock_metadata(instance, deadline)?))
    }

    /// Disconnects a volume from a guest, and unmounts its share when no attachment and no guest is left and the
    /// kernel agrees, or as the request's force has it. Disconnecting what is not connected succeeds, and so does
    /// disconnecting from a mount that is gone, dead or hung.
    ///
    /// What the guest runs with, or was saved with, stays on record until the guest has released it.
    ///
    /// # Errors
    /// [`Error::HeldByGuest`] for what the guest runs with, or was saved with, unless forced. When the records or the
    /// mount table cannot be read, or the share cannot be unmounted for another reason than being in use. The
    /// attachment's record is gone then if it could be written, and the share's own stays.
    pub fn disconnect(&self, request: &DisconnectRequest<'_>) -> Result<DisconnectOutcome, Error> {
        disconnect::disconnect(&self.context, request)
    }

    /// Puts on record that the caller is about to take a disk out of its guest. From then on [`Driver::begun_detach`] knows
    /// it, whatever becomes of the caller, until [`Driver::finish_detach`] has succeeded or the file is connected for that
    /// guest anew. Once no description of the guest has the disk, reconciling disconnects its volume, too.
    ///
    /// # Errors
    /// When the record cannot be read or written: the disk is not to be taken out then.
    pub fn begin_detach(&self, at: &MountPath, detaching: &Detaching) -> Result<(), Error> {
        detach::begin(&self.context, at, detaching)
    }

    /// Takes back [`Driver::begin_detach`]: the guest keeps the disk.
    ///
    /// # Errors
    /// When the record cannot be read or written.
    pub fn cancel_detach(&self, at: &MountPath, detaching: &Detaching) -> Result<(), Error> {
        detach::cancel(&self.context, at, detaching)
    }

    /// Disconnects the volume of a disk that was taken out, unless the guest has the file as another disk.
    ///
    /// # Errors
    /// Those of [`Driver::disconnect`]. It can be called again then.
    pub fn finish_detach(&self, at: &MountPath, detaching: &Detaching) -> Result<DisconnectOutcome, Error> {
        detach::finish(&self.context, at, detaching)
    }

    /// A detach of the guest's disk of that name that was begun and not finished, and the mount path of its share.
    ///
    /// # Errors
    /// When the records cannot be listed.
    pub fn begun_detach(
        &self,
        instance: InstanceId,
        target: &TargetDev,
    ) -> Result<Option<(MountPath, Detaching)>, Error> {
        detach::begun(&self.context, instance, target)
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

    /// The guests of this host and their uses of those shares, so that an attachment can be told with its domain and its
    /// target.
    ///
    /// # Errors
    /// When the hypervisor cannot be asked, with the reason for people.
    pub fn guests(&self, shares: &[ShareStatus]) -> Result<GuestSurvey, String> {
        let shares: Vec<_> = shares.iter().map(|share| share.record.mount_path.clone()).collect();
        if shares.is_empty() { Ok(GuestSurvey::default()) } else { self.context.survey(&shares, None, None) }
    }

    /// The guests of this host and their uses of the shares at those mount paths, if the hypervisor answers within `timeout`.
    ///
    /// # Errors
    /// When the hypervisor cannot be asked, with the reason for people.
    pub fn guests_at(&self, shares: &[MountPath], timeout: Duration) -> Result<GuestSurvey, String> {
        self.context.survey(shares, None, Some(timeout))
    }

    /// Every detach of a disk of the guest that was begun and not finished, with the mount path of its share.
    ///
    /// # Errors
    /// When the records cannot be listed.
    pub fn begun_detaches(&self, instance: InstanceId) -> Result<Vec<(MountPath, Detaching)>, Error> {
        detach::begun_of(&self.context, instance)
    }

    /// One guest with its uses of the share at `at`; `None` where there is no such guest.
    ///
    /// # Errors
    /// When the hypervisor cannot be asked, with the reason for people.
    pub fn guest(&self, at: &MountPath, instance: InstanceId) -> Result<Option<Guest>, String> {
        let mut survey = self.context.survey(std::slice::from_ref(at), Some(instance), None)?;
        Ok(survey.guests.pop())
    }

    /// The name of a guest that runs with the file at `path` on the share at `at`, if the hypervisor names one.
    #[must_use]
    pub fn running_guest_with(&self, at: &MountPath, path: &Path) -> Option<String> {
        let survey = self.context.survey(std::slice::from_ref(at), None, None).ok()?;
        let mut uses = survey.uses_of(at).filter(|found| found.description == Description::Running);
        uses.find(|found| found.has_file(path)).map(|found| found.name.clone())
    }

    /// Finds what a crash, a reboot of the client or another program has left, and repairs what is certainly ours;
    /// with `dry_run` it only tells what it would do. Calling it again finds nothing more to repair.
    ///
    /// # Errors
    /// When the state directory or the mount table cannot be read. What fails about one share is a finding.
    pub fn reconcile(&self, dry_run: bool) -> Result<Vec<Finding>, Error> {
        reconcile::reconcile(&self.context, dry_run)
    }

    /// The same for the share at `at` alone.
    ///
    /// # Errors
    /// When the record or the mount table cannot be read, or the share not be repaired.
    pub fn reconcile_share(&self, at: &MountPath) -> Result<Vec<Finding>, Error> {
        reconcile::reconcile_one(&self.context, at)
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
