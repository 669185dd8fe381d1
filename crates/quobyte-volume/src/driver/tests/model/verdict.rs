//! What must hold after a call.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::machine::{Machine, is_ours};
use super::records::Recorded;
use super::steps::{Call, FileUse, SHARES, export};
use crate::driver::fake::{ClientState, FakeMount, Image, MountBehavior, World};
use crate::driver::{Finding, Force};
use crate::pure::guests::{Description, GuestUse};
use crate::pure::kernel_mount::Mount;
use crate::pure::record::Attachment;

/// The machine before a call.
pub(super) struct Before {
    world: World,
    record_files: BTreeMap<PathBuf, Vec<u8>>,
    recorded: Recorded,
    recorded_shares: BTreeSet<usize>,
    /// The shares that nobody but the call's own target needs.
    unneeded_shares: BTreeSet<usize>,
    /// The mounts whose clients' processes were on record.
    known_clients: Vec<Mount>,
    /// The mounts that must outlive the call, each with its share.
    needed: Vec<(usize, FakeMount)>,
}

impl Before {
    pub(super) fn of(machine: &Machine, call: Call) -> Self {
        let world = machine.host.world().clone();
        let mut needed = Vec::new();
        let mut unneeded_shares = BTreeSet::new();
        for share in 0..SHARES.len() {
            let has_users = has_users(machine, call, share);
            let layers = layers(machine, &world, share).iter();
            let layers =
                layers.filter(|layer| !is_ours(share, layer) || is_needed(machine, call, has_users, layer));
            needed.extend(layers.map(|layer| (share, layer.clone())));
            if !has_users {
                unneeded_shares.insert(share);
            }
        }
        let records = machine.records();
        let known_clients = records.iter().filter(|record| !record.client.is_empty());
        let known_clients = known_clients.filter_map(|record| record.mount.clone()).collect();
        let is_recorded = |share: &usize| records.iter().any(|record| record.export == export(*share));
        let recorded_shares = (0..SHARES.len()).filter(is_recorded).collect();
        let (recorded, record_files) = (machine.recorded(), machine.record_files());
        Self { world, record_files, recorded, recorded_shares, unneeded_shares, known_clients, needed }
    }

    pub(super) fn check_transition(&self, machine: &Machine, call: Call) {
        machine.check_transition(call, &self.recorded);
    }

    /// Panics with the first mount that should be there and is gone, or whose client was killed.
    pub(super) fn assert_needed_mounts_are_there(&self, machine: &Machine, call: Call) {
        let world = machine.host.world();
        for detached in &world.detached {
            assert!(self.world.detached.contains(detached), "{call:?} killed the client of {detached:?}");
        }
        for (share, before) in &self.needed {
            let mut layers = layers(machine, &world, *share).iter();
            let Some(after) = layers.find(|layer| layer.mount == before.mount) else {
                panic!("{call:?} took {before:?} away");
            };
            assert_eq!(after.client_state, before.client_state, "{call:?} killed the client of {before:?}");
        }
    }

    /// Checks a call that came to its end undisturbed.
    pub(super) fn check_call(&self, machine: &Machine, call: Call, succeeded: bool) {
        machine.check_records(call, succeeded, &self.recorded);
        match call {
            Call::Connect(user) if succeeded => machine.check_lost(user.share..user.share + 1),
            Call::Connect(user) => assert!(!self.could_connect(machine, user), "{user:?} could be connected"),
            Call::Disconnect(user, _) => {
                let is_left = !layers(machine, &machine.host.world(), user.share).is_empty();
                let may_stay = !succeeded || !self.could_unmount(machine, user.share);
                assert!(!is_left || may_stay, "nobody needs what {user:?} left");
            }
            Call::Reconcile => {
                machine.check_lost(0..SHARES.len());
                machine.check_lost_runs();
                let again = machine.drivers[0].reconcile(false).unwrap();
                assert!(!again.iter().any(Finding::is_repaired), "found by a second look: {again:?}");
            }
            Call::DryRun => {
                assert_eq!(*machine.host.world(), self.world);
                assert_eq!(machine.record_files(), self.record_files);
            }
        }
        for share in 0..SHARES.len() {
            let count = |world: &World| {
                layers(machine, world, share).iter().filter(|layer| is_ours(share, layer)).count()
            };
            let after = count(&machine.host.world());
            assert!(after <= count(&self.world).max(1), "{call:?} mounted over a mount");
        }
    }

    /// Whether nothing stood in the way of connecting.
    fn could_connect(&self, machine: &Machine, user: FileUse) -> bool {
        let layers = layers(machine, &self.world, user.share);
        let is_usable = |layer: &FakeMount| {
            is_ours(user.share, layer)
                && match layer.client_state {
                    ClientState::Healthy | ClientState::Dead => true,
                    // That its process is gone proves it, where that is on record.
                    ClientState::Vanished => self.known_clients.contains(&layer.mount),
                    _ => false,
                }
        };
        // The guest's own disk may be another layer of the volume, under an id that tells nothing.
        let stands_in_the_way = |other: &FileUse| other.is_rival(user) || *other == user.other_layer();
        let is_rivalled = || {
            let uses = machine.uses();
            self.recorded.keys().any(stands_in_the_way)
                || uses.iter().any(|(other, _)| stands_in_the_way(other))
        };
        (self.world.mount_behavior, self.world.image) == (MountBehavior::Mounts, Image::Regular)
            && layers.iter().all(is_usable)
            && !is_rivalled()
    }

    /// Whether nothing stood in the way of unmounting the share, and nobody needs it any more.
    fn could_unmount(&self, machine: &Machine, share: usize) -> bool {
        let is_free = |layer: &FakeMount| is_ours(share, layer) && !layer.busy;
        layers(machine, &self.world, share).iter().all(is_free)
            && self.world.hypervisor.answers
            && self.unneeded_shares.contains(&share)
            && self.recorded_shares.contains(&share)
    }
}

fn layers<'a>(machine: &Machine, world: &'a World, share: usize) -> &'a [FakeMount] {
    world.mounts.get(machine.at(share).as_path()).map_or(&[], Vec::as_slice)
}

/// Whether anybody but the target of the call needs the share, or may need it.
fn has_users(machine: &Machine, call: Call, share: usize) -> bool {
    let target = match call {
        Call::Disconnect(user, _) => Some(user),
        _ => None,
    };
    let records = machine.records();
    let record = records.iter().find(|record| record.export == export(share));
    let recorded = machine.recorded();
    // A disk that was swapped carries an old id, and what is on record for it answers to that where no file does.
    let by_id = target.and_then(|target| {
        let mut of_guest = recorded
            .iter()
            .filter(|(other, _)| (other.share, other.guest) == (target.share, target.guest))
            .map(|(other, (attachment, _))| (*other, attachment));
        let has_file = |(_, attachment): (FileUse, &Attachment)| attachment.has_file(target.name().as_ref());
        let has_id =
            |(_, attachment): &(FileUse, &Attachment)| attachment.has_volume(target.info().volume_id);
        if of_guest.clone().any(has_file) { None } else { of_guest.find(has_id).map(|(other, _)| other) }
    });
    let is_target = |user: FileUse| {
        let mut targets = target.into_iter().chain(by_id);
        targets.any(|target| target.guest == user.guest && target.is_same_volume(user))
    };
    let has_left = |user: FileUse| {
        let mut left = recorded.iter().filter(|(_, (attachment, _))| attachment.leaving.is_some());
        left.any(|(other, _)| {
            other.guest == user.guest && other.is_same_volume(user) && !machine.is_held(user)
        })
    };
    // An id that a swapped disk carries can make two files of one guest one attachment.
    let is_step_of_target = |user: FileUse| {
        let mut targets =
            recorded.iter().filter(|(other, _)| other.guest == user.guest && is_target(**other));
        targets.any(|(_, (attachment, _))| attachment.has_file(user.name().as_ref()))
    };
    let is_released = |one: &GuestUse| {
        let user = one.path.file_name().and_then(|name| FileUse::named(share, name.to_str()?, one.instance));
        one.description == Description::Persistent
            && (record.is_some_and(|record| record.is_released(one))
                || user.is_some_and(|user| is_target(user) || is_step_of_target(user) || has_left(user)))
    };
    let is_attached = recorded.iter().any(|(user, (attachment, _))| {
        let is_unused = attachment.leaving.is_some() && !machine.is_held(*user)
            || attachment.adopted && !machine.is_described(*user);
        user.share == share && !is_target(*user) && !is_unused
    });
    is_attached
        || machine.guest_uses(share).iter().any(|one| !is_released(one))
        || !machine.host.world().hypervisor.answers
}

/// Whether a mount of ours has to outlive the call.
fn is_needed(machine: &Machine, call: Call, has_users: bool, layer: &FakeMount) -> bool {
    let force = match call {
        Call::Disconnect(_, force) => force,
        _ => Force::No,
    };
    let is_open = machine.open.values().any(|open| open.mount == layer.mount);
    match layer.client_state {
        _ if force == Force::Always => false,
        ClientState::Dead | ClientState::Vanished => false,
        ClientState::Healthy | ClientState::Hung | ClientState::Failing => {
            has_users || is_open || (layer.busy && force < Force::IfAlone)
        }
        // connect replaces it where nothing is open on it.
        ClientState::Disconnected | ClientState::Stale => {
            is_open || layer.busy && (has_users || force < Force::IfAlone)
        }
    }
}
