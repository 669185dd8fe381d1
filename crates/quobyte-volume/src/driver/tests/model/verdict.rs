//! What must hold after a call.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::machine::{Machine, is_ours};
use super::steps::{Call, SHARES, VolumeUse, export};
use crate::driver::fake::{ClientState, FakeMount, Image, MountBehavior, World};
use crate::driver::{Finding, Force};
use crate::pure::kernel_mount::Mount;

/// The machine before a call.
pub(super) struct Before {
    world: World,
    record_files: BTreeMap<PathBuf, Vec<u8>>,
    recorded_shares: BTreeSet<usize>,
    /// The mounts that must outlive the call, each with its share.
    needed: Vec<(usize, FakeMount)>,
}

impl Before {
    pub(super) fn of(machine: &Machine, call: Call) -> Self {
        let world = machine.host.world().clone();
        let described = machine.described();
        let mut needed = Vec::new();
        for share in 0..SHARES.len() {
            let layers = layers(machine, &world, share).iter();
            let layers = layers.filter(|layer| {
                !is_ours(share, layer) || is_needed(machine, &world, &described, call, share, layer)
            });
            needed.extend(layers.map(|layer| (share, layer.clone())));
        }
        let records = machine.records();
        let is_recorded = |share: &usize| records.iter().any(|record| record.export == export(*share));
        let recorded_shares = (0..SHARES.len()).filter(is_recorded).collect();
        Self { world, record_files: machine.record_files(), recorded_shares, needed }
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
        match call {
            Call::Connect(user) if succeeded => {
                assert_lost_attachments_reported(machine, user.share);
            }
            Call::Connect(user) => assert!(!self.could_connect(machine, user), "{user:?} could be connected"),
            Call::Disconnect(user, _) => {
                let is_left = !layers(machine, &machine.host.world(), user.share).is_empty();
                assert!(
                    !is_left || !self.could_unmount(machine, user.share),
                    "nobody needs what {user:?} left"
                );
            }
            Call::Reconcile => {
                (0..SHARES.len()).for_each(|share| assert_lost_attachments_reported(machine, share));
                let again = machine.drivers[0].reconcile(false).unwrap();
                let is_repaired =
                    |finding: &Finding| matches!(finding, Finding::Repaired(..) | Finding::Swept(_));
                assert!(!again.iter().any(is_repaired), "found by a second look: {again:?}");
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
    fn could_connect(&self, machine: &Machine, user: VolumeUse) -> bool {
        let layers = layers(machine, &self.world, user.share);
        let is_usable = |layer: &FakeMount| {
            is_ours(user.share, layer)
                && matches!(layer.client_state, ClientState::Healthy | ClientState::Dead)
        };
        (self.world.mount_behavior, self.world.image) == (MountBehavior::Mounts, Image::Regular)
            && layers.iter().all(is_usable)
            && (machine.attached.contains(&user)
                || !machine.attached.iter().any(|other| other.is_rival(user)))
    }

    /// Whether nothing stood in the way of unmounting the share, and nobody needs it any more.
    fn could_unmount(&self, machine: &Machine, share: usize) -> bool {
        let is_free = |layer: &FakeMount| is_ours(share, layer) && !layer.busy;
        let on_share = |user: &VolumeUse| user.share == share;
        layers(machine, &self.world, share).iter().all(is_free)
            && self.world.guests.as_ref().is_some_and(Vec::is_empty)
            && !machine.attached.iter().any(on_share)
            && self.recorded_shares.contains(&share)
    }
}

fn layers<'a>(machine: &Machine, world: &'a World, share: usize) -> &'a [FakeMount] {
    world.mounts.get(machine.at(share).as_path()).map_or(&[], Vec::as_slice)
}

/// Whether a mount of ours has to outlive the call.
fn is_needed(
    machine: &Machine,
    world: &World,
    described: &BTreeSet<VolumeUse>,
    call: Call,
    share: usize,
    layer: &FakeMount,
) -> bool {
    let (detaching, force) = match call {
        Call::Disconnect(user, force) => (Some(user), force),
        _ => (None, Force::No),
    };
    let stays = |user: &VolumeUse| user.share == share && Some(*user) != detaching;
    let has_users =
        machine.attached.iter().any(stays) || described.iter().any(stays) || world.guests.is_none();
    match layer.client_state {
        _ if force == Force::Always => false,
        ClientState::Dead => false,
        ClientState::Healthy | ClientState::Hung | ClientState::Failing => {
            has_users || (layer.busy && force == Force::No)
        }
        // connect replaces it where nothing is open on it.
        ClientState::Disconnected => layer.busy && (has_users || force == Force::No),
    }
}

/// Every attached guest whose open file has died is told so, unless something hides what is there.
fn assert_lost_attachments_reported(machine: &Machine, share: usize) {
    let shares = machine.drivers[0].status().unwrap().shares;
    let world = machine.host.world().clone();
    if !layers(machine, &world, share).iter().all(|layer| is_ours(share, layer)) {
        return;
    }
    let serves = |mount: &Mount| {
        let mut layers = layers(machine, &world, share).iter();
        layers.any(|layer| layer.mount == *mount && layer.client_state != ClientState::Dead)
    };
    let of_share = machine.open.iter().filter(|(user, _)| user.share == share);
    for (user, _) in of_share.filter(|(user, mount)| machine.attached.contains(user) && !serves(mount)) {
        let status = shares.iter().find(|status| status.record.export == export(share)).unwrap();
        let mut attachments = status.record.attachments.iter();
        let attachment = attachments.find(|one| one.matches(user.instance(), user.info().volume_id)).unwrap();
        assert!(status.is_lost(attachment), "{user:?} is not told that its file is dead");
    }
}

impl Machine {
    /// Who is attached after a caller was killed: it has done what it was asked for, or not.
    pub(super) fn after_crash(&self, call: Call) -> BTreeSet<VolumeUse> {
        let may_differ = match call {
            Call::Connect(user) | Call::Disconnect(user, _) => BTreeSet::from([user]),
            Call::Reconcile => self.described(),
            Call::DryRun => BTreeSet::new(),
        };
        let recorded = self.recorded();
        let differs: BTreeSet<_> = recorded.symmetric_difference(&self.attached).copied().collect();
        assert!(differs.is_subset(&may_differ), "{call:?}, killed, changed {differs:?}");
        recorded
    }
}
