//! A machine with two callers, and the model: who is attached.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::time::Duration;

use super::interrupted::{Interrupted, Killed, PendingInterruption};
use super::steps::{Call, Event, Interruption, Step, VolumeUse, export};
use super::verdict::Before;
use crate::driver::fake::{ClientState, FakeHost, FakeMount, Image, MountBehavior};
use crate::driver::tests::disk;
use crate::driver::{Driver, DriverConfig, Finding, Force, Repair};
use crate::host::records::StateDir;
use crate::pure::connection::ImageFormat;
use crate::pure::guests::GuestUse;
use crate::pure::io_policy::{HypervisorFacts, IoOptions};
use crate::pure::kernel_mount::Mount;
use crate::pure::mount_path::MountPath;
use crate::pure::record::ShareRecord;

pub(super) struct Machine {
    pub(super) directory: tempfile::TempDir,
    pub(super) host: FakeHost,
    pending: PendingInterruption,
    pub(super) drivers: Vec<Driver>,
    /// The model: who is attached.
    pub(super) attached: BTreeSet<VolumeUse>,
    /// Whose guests have their image open, and on which mount.
    pub(super) open: BTreeMap<VolumeUse, Mount>,
}

impl Machine {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (host, pending) = (FakeHost::new(), PendingInterruption::default());
        let (drivers, attached, open) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
        let mut machine = Self { directory, host, pending, drivers, attached, open };
        machine.drivers = (0..2).map(|caller| machine.driver(caller)).collect();
        machine
    }

    /// One caller has a kernel that tells of one mount, the other has not.
    fn driver(&self, caller: usize) -> Driver {
        let config = DriverConfig {
            mount_point_base: "/mnt".into(),
            lock_timeout: Duration::from_secs(30),
            io: IoOptions::default(),
        };
        let (host, pending) = (self.host.clone(), self.pending.clone());
        let host = Interrupted { host, pending, has_statmount: caller == 0 };
        let driver = Driver::new(config, self.state(), Box::new(host.clone()), Box::new(host)).unwrap();
        // What comes between two steps is to come between the same two each time.
        driver.with_max_parallel_shares(1)
    }

    fn state(&self) -> StateDir {
        StateDir::open(&self.directory.path().join("state")).unwrap()
    }

    pub(super) fn at(&self, share: usize) -> MountPath {
        MountPath::new("/mnt".as_ref(), &export(share))
    }

    /// Does one step, and makes sure of what must hold after it.
    pub(super) fn run_step(&mut self, step: &Step) {
        match step {
            Step::Event(event) => self.apply_event(*event),
            Step::Call { caller, call, interruption } => self.call(*caller, *call, *interruption),
        }
        assert_eq!(self.recorded(), self.attached, "after {step:?}");
    }

    /// Every fault is mended and everybody leaves; then nothing may be left.
    pub(super) fn disconnect_all(&mut self) {
        VolumeUse::all().for_each(|user| self.close(user));
        let all = 0..super::steps::SHARES.len();
        all.for_each(|share| self.apply_event(Event::Uncovered(share)));
        self.repair_world();
        let calls = self.attached.iter().map(|user| Call::Disconnect(*user, Force::No));
        for call in calls.chain([Call::Reconcile]).collect::<Vec<_>>() {
            self.run_step(&Step::Call { caller: 0, call, interruption: None });
        }
        let mut world = self.host.world();
        world.mount_pending();
        assert!(world.mounts.is_empty() && world.directories.is_empty(), "{world:?}");
        assert_eq!(self.record_files(), BTreeMap::new());
    }

    fn repair_world(&self) {
        let mut world = self.host.world();
        (world.mount_behavior, world.image, world.guests) =
            (MountBehavior::Mounts, Image::Regular, Some(Vec::new()));
        world.mounts.retain(|path, layers| {
            let is_ours = |layer: &FakeMount| {
                let mut exports =
                    (0..super::steps::SHARES.len()).filter(|share| self.at(*share).as_path() == path);
                exports.any(|share| is_ours(share, layer))
            };
            layers.retain(is_ours);
            for layer in layers.iter_mut() {
                layer.busy = false;
                layer.client_state = if layer.client_state == ClientState::Dead {
                    ClientState::Dead
                } else {
                    ClientState::Healthy
                };
            }
            !layers.is_empty()
        });
    }

    fn call(&mut self, caller: usize, call: Call, interruption: Option<(u32, Interruption)>) {
        let before = Before::of(self, call);
        *self.pending.lock().unwrap() = interruption;
        let outcome = catch_unwind(AssertUnwindSafe(|| self.run(caller, call)));
        let is_unspent = self.pending.lock().unwrap().take().is_some();
        let interruption = interruption.filter(|_| !is_unspent).map(|(_, interruption)| interruption);
        match outcome {
            Ok((attached, succeeded)) => {
                self.attached = attached;
                if interruption.is_none() {
                    before.check_call(self, call, succeeded);
                }
            }
            Err(panic) if panic.is::<Killed>() => {
                self.drivers[caller] = self.driver(caller);
                self.attached = self.after_crash(call);
            }
            Err(panic) => resume_unwind(panic),
        }
        if interruption != Some(Interruption::ClientsDie) {
            before.assert_needed_mounts_are_there(self, call);
        }
    }

    /// Makes the call, and returns who is attached after it and whether it succeeded. Only a connect may fail.
    fn run(&mut self, caller: usize, call: Call) -> (BTreeSet<VolumeUse>, bool) {
        let driver = &self.drivers[caller];
        let mut attached = self.attached.clone();
        match call {
            Call::Connect(user) => {
                let connected = driver.connect(&user.info(), user.instance(), &HypervisorFacts::default());
                let Ok(connected) = connected else { return (attached, false) };
                assert!(connected.mount.is_of(&export(user.share)));
                attached.insert(user);
                // From now on the guest has its image open on this mount or not at all.
                if self.open.get(&user).is_some_and(|mount| !mount.is_same(&connected.mount)) {
                    self.close(user);
                }
            }
            Call::Disconnect(user, force) => {
                let volume = user.info().volume_id;
                driver.disconnect(&self.at(user.share), volume, user.instance(), force).unwrap();
                attached.remove(&user);
            }
            Call::Reconcile => attached.extend(self.adopted(&driver.reconcile(false).unwrap())),
            Call::DryRun => drop(driver.reconcile(true).unwrap()),
        }
        (attached, true)
    }

    fn adopted(&self, findings: &[Finding]) -> BTreeSet<VolumeUse> {
        let mut adopted = BTreeSet::new();
        for finding in findings {
            let Finding::Repaired(at, Repair::Adopted(attachments)) = finding else { continue };
            adopted.extend(VolumeUse::all().filter(|user| {
                let mut attachments = attachments.iter();
                self.at(user.share) == *at
                    && attachments.any(|one| one.matches(user.instance(), user.info().volume_id))
            }));
        }
        let described = self.described();
        assert!(adopted.is_subset(&described), "{adopted:?} {described:?}");
        adopted
    }

    /// The users that guests' descriptions amount to, as far as the hypervisor says.
    pub(super) fn described(&self) -> BTreeSet<VolumeUse> {
        let world = self.host.world();
        let guests = world.guests.as_deref().unwrap_or_default();
        VolumeUse::all().filter(|user| guests.contains(&self.description(*user))).collect()
    }

    pub(super) fn description(&self, user: VolumeUse) -> GuestUse {
        let path = self.at(user.share).image(&user.info().name);
        GuestUse {
            instance: user.instance(),
            name: "vm".to_owned(),
            path,
            disk: Some(disk(None, ImageFormat::Raw)),
        }
    }

    /// Who is attached according to the records.
    pub(super) fn recorded(&self) -> BTreeSet<VolumeUse> {
        let records = self.records();
        let is_recorded = |user: &VolumeUse| {
            let mut records = records.iter().filter(|record| record.export == export(user.share));
            records.any(|record| record.has_attachment(user.instance(), user.info().volume_id))
        };
        let recorded: BTreeSet<_> = VolumeUse::all().filter(is_recorded).collect();
        let count: usize = records.iter().map(|record| record.attachments.len()).sum();
        assert_eq!(count, recorded.len(), "{records:?}");
        recorded
    }

    pub(super) fn records(&self) -> Vec<ShareRecord> {
        self.state().records().unwrap().into_iter().map(Result::unwrap).collect()
    }

    /// The files of the records and what is in them.
    pub(super) fn record_files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = self.directory.path().join("state/shares").read_dir().unwrap();
        let files = files.map(|entry| entry.unwrap().path());
        files.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
    }
}

/// Whether a mount of that share is one the driver made, or may take for one.
pub(super) fn is_ours(share: usize, layer: &FakeMount) -> bool {
    layer.mount.owner() == Some(1000) && layer.mount.is_of(&export(share))
}
