//! A machine with two callers and two guests.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::time::Duration;

use super::guests::OpenFile;
use super::interrupted::{Interrupted, Killed, PendingInterruption};
use super::steps::{Call, Event, FileUse, GUESTS, Interruption, SHARES, Step, export};
use super::verdict::Before;
use crate::driver::fake::{ClientState, FakeHost, FakeMount, Image, MountBehavior};
use crate::driver::tests::{instance, request};
use crate::driver::{Driver, DriverConfig, Error, Force};
use crate::host::records::StateDir;
use crate::pure::connection::ImageFormat;
use crate::pure::guests::Description;
use crate::pure::image::VolumeFormats;
use crate::pure::io_policy::{HypervisorFacts, IoOptions};
use crate::pure::mount_path::MountPath;

pub(super) struct Machine {
    pub(super) directory: tempfile::TempDir,
    pub(super) host: FakeHost,
    pending: PendingInterruption,
    pub(super) drivers: Vec<Driver>,
    /// Which files guests have open.
    pub(super) open: BTreeMap<FileUse, OpenFile>,
    /// Whether no guest has got a file by hand, or while nobody could tell who else has it.
    pub(super) is_undisturbed: bool,
    /// Whether the driver could see on which mount each guest's files are: every call so far has come to its end, the
    /// hypervisor has answered it, and nobody has mounted the same export over a mount.
    pub(super) is_observable: bool,
}

impl Machine {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (host, pending) = (FakeHost::new(), PendingInterruption::default());
        host.world().hypervisor.clock = Some(0);
        for volume in ["a", "b"] {
            let below = (volume.to_owned(), ImageFormat::Raw);
            host.world().images.below.insert(format!("{volume}.s"), below);
        }
        let mut machine = Self {
            directory,
            host,
            pending,
            drivers: Vec::new(),
            open: BTreeMap::new(),
            is_undisturbed: true,
            is_observable: true,
        };
        machine.drivers = (0..2).map(|caller| machine.driver(caller)).collect();
        machine
    }

    /// One caller has a kernel that tells of one mount, the other has not.
    fn driver(&self, caller: usize) -> Driver {
        let config = DriverConfig {
            nova_cache: None,
            mount_point_base: "/mnt".into(),
            lock_timeout: Duration::from_secs(30),
            io: IoOptions::default(),
            volume_formats: VolumeFormats::default(),
        };
        let (host, pending) = (self.host.clone(), self.pending.clone());
        let host = Interrupted { host, pending, has_statmount: caller == 0 };
        let driver = Driver::new(config, self.state(), Box::new(host.clone()), Box::new(host)).unwrap();
        // What comes between two steps is to come between the same two each time.
        driver.with_max_parallel_shares(1)
    }

    pub(super) fn state(&self) -> StateDir {
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
            Step::Attach { caller, user } => {
                self.call(*caller, Call::Connect(*user), None);
                self.apply_event(Event::Plugs(*user));
                self.apply_event(Event::Starts(user.guest));
            }
            Step::Delete { caller, guest } => self.delete(*caller, *guest),
            Step::Swap { caller, from } => self.swap(*caller, *from),
        }
        self.check_rivals();
        let recorded = self.recorded();
        for (user, open) in &mut self.open {
            open.is_tracked &= recorded.contains_key(user);
        }
    }

    /// Nova's order: nothing says any more that the guest is to have its volumes back, and yet it is still defined.
    fn delete(&mut self, caller: usize, guest: u128) {
        self.stop(guest);
        let volumes: Vec<_> = self.recorded().into_keys().filter(|user| user.guest == guest).collect();
        for user in volumes {
            self.call(caller, Call::Disconnect(user, Force::Leave), None);
        }
        self.host.world().hypervisor.undefine(instance(guest));
    }

    fn swap(&mut self, caller: usize, from: FileUse) {
        let to = from.other_volume();
        let has_target =
            self.uses().iter().any(|(other, _)| other.guest == to.guest && other.is_same_volume(to));
        if !self.open.contains_key(&from) || has_target {
            return;
        }
        self.call(caller, Call::Connect(to), None);
        if self.is_recorded(to) {
            self.move_disk(from, to);
            let unneeded = if self.open.contains_key(&to) { from } else { to };
            self.call(caller, Call::Disconnect(unneeded, Force::Leave), None);
        }
    }

    /// Everybody closes, stops and disconnects, and what dies comes back: then nothing may be left.
    pub(super) fn disconnect_all(&mut self) {
        for guest in GUESTS {
            self.stop(guest);
            self.host.world().hypervisor.undefine(instance(guest));
        }
        (0..SHARES.len()).for_each(|share| self.apply_event(Event::Uncovered(share)));
        self.repair_world();
        let calls = self.recorded().into_keys().map(|user| Call::Disconnect(user, Force::No));
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
        (world.mount_behavior, world.image) = (MountBehavior::Mounts, Image::Regular);
        world.hypervisor.answers = true;
        world.mounts.retain(|path, layers| {
            let is_ours = |layer: &FakeMount| {
                let mut exports = (0..SHARES.len()).filter(|share| self.at(*share).as_path() == path);
                exports.any(|share| is_ours(share, layer))
            };
            layers.retain(is_ours);
            for layer in layers.iter_mut() {
                layer.busy = false;
                if layer.client_state.is_alive() {
                    layer.client_state = ClientState::Healthy;
                }
            }
            !layers.is_empty()
        });
    }

    fn call(&mut self, caller: usize, call: Call, interruption: Option<(u32, Interruption)>) {
        let before = Before::of(self, call);
        *self.pending.lock().unwrap() = interruption;
        let outcome = catch_unwind(AssertUnwindSafe(|| self.run_call(caller, call)));
        let is_unspent = self.pending.lock().unwrap().take().is_some();
        let interruption = interruption.filter(|_| !is_unspent).map(|(_, interruption)| interruption);
        self.is_observable &= self.host.world().hypervisor.answers && interruption.is_none();
        before.check_transition(self, call);
        match outcome {
            Ok(succeeded) => {
                if interruption.is_none() {
                    before.check_call(self, call, succeeded);
                }
            }
            Err(panic) if panic.is::<Killed>() => self.drivers[caller] = self.driver(caller),
            Err(panic) => resume_unwind(panic),
        }
        if interruption != Some(Interruption::ClientsDie) {
            before.assert_needed_mounts_are_there(self, call);
        }
    }

    /// Makes the call, and returns whether it succeeded. Only a connect may fail, and a disconnect of what a guest has.
    fn run_call(&mut self, caller: usize, call: Call) -> bool {
        let driver = &self.drivers[caller];
        match call {
            Call::Connect(user) => {
                let connected = driver.connect(&user.info(), user.instance(), &HypervisorFacts::default());
                let Ok(connected) = connected else { return false };
                assert!(connected.mount.is_of(&export(user.share)));
                // Without an answer the records alone decide, and a guest is taken to have its file on this mount.
                if !self.host.world().hypervisor.answers {
                    self.is_undisturbed = false;
                    self.open.entry(user).and_modify(|open| open.is_tracked = false);
                }
            }
            Call::Disconnect(user, force) => {
                match driver.disconnect(&request(&self.at(user.share), &user.info(), user.guest, force)) {
                    Err(Error::HeldByGuest { guest_use }) => {
                        assert!(force == Force::No && guest_use.description != Description::Persistent);
                        return false;
                    }
                    outcome => drop(outcome.unwrap()),
                }
            }
            Call::Reconcile => drop(driver.reconcile(false).unwrap()),
            Call::DryRun => drop(driver.reconcile(true).unwrap()),
        }
        true
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
