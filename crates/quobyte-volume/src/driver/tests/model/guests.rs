//! What guests do with their disks, and what they have open.

use super::machine::Machine;
use super::steps::{FileUse, export};
use crate::driver::fake::{ClientState, FakeUse};
use crate::driver::tests::instance;
use crate::pure::guests::{Description, GuestQuestion, GuestUse, RunId};
use crate::pure::kernel_mount::Mount;

/// A file that a running guest has open.
#[derive(Debug, Clone)]
pub(super) struct OpenFile {
    pub(super) mount: Mount,
    /// Whether a record has named the guest and the file ever since, so that its loss can be known.
    pub(super) is_tracked: bool,
    /// Whether the record could not tell that it was opened on the newest mount.
    pub(super) is_ambiguous: bool,
}

impl Machine {
    /// The guest gets the file as a disk, in its persistent description and, where it runs and can open it, in the running
    /// one.
    pub(super) fn plug(&mut self, user: FileUse) {
        if self.uses().iter().any(|(other, _)| other.guest == user.guest && other.is_same_volume(user)) {
            return;
        }
        let disk = self.disk(user);
        self.host.world().hypervisor.uses(user.instance(), Description::Persistent).push(disk.clone());
        if self.run(user.guest).is_some() && self.open_file(user) {
            self.host.world().hypervisor.uses(user.instance(), Description::Running).push(disk);
        }
    }

    pub(super) fn unplug(&mut self, user: FileUse) {
        let path = self.at(user.share).as_path().join(user.name());
        if let Some(guest) = self.host.world().hypervisor.guests.get_mut(&user.instance()) {
            for (description, uses) in &mut guest.descriptions {
                if *description != Description::Saved {
                    uses.retain(|one| one.layers[0] != path);
                }
            }
        }
        self.close(user);
    }

    /// A guest starts only if QEMU can open every disk. Nobody starts a guest on a file that another has meanwhile.
    pub(super) fn start(&mut self, guest: u128) {
        let wanted = match self.host.world().hypervisor.guests.get(&instance(guest)) {
            None => return,
            Some(known) if known.run.is_some() => return,
            Some(known) if known.descriptions.contains_key(&Description::Saved) => Description::Saved,
            Some(_) => Description::Persistent,
        };
        let uses = self.uses();
        let files: Vec<_> =
            uses.iter().filter(|(user, description)| user.guest == guest && *description == wanted).collect();
        let is_taken = |user: &FileUse| {
            let recorded = self.recorded();
            recorded.keys().any(|other| other.is_rival(*user))
                || uses.iter().any(|(other, _)| other.is_rival(*user))
        };
        if files.iter().any(|(user, _)| is_taken(user) || self.openable_mount(*user).is_none()) {
            return;
        }
        self.is_undisturbed &= files.iter().all(|(user, _)| self.is_recorded(*user));
        for (user, _) in &files {
            self.open_file(*user);
        }
        self.host.world().hypervisor.start(instance(guest));
    }

    pub(super) fn stop(&mut self, guest: u128) {
        self.host.world().hypervisor.stop(instance(guest));
        self.close_all(guest);
    }

    pub(super) fn save(&mut self, guest: u128) {
        self.host.world().hypervisor.save(instance(guest));
        self.close_all(guest);
    }

    /// The guest's disk goes on in another file, by a snapshot, a commit or a copy.
    pub(super) fn move_disk(&mut self, from: FileUse, to: FileUse) {
        let Some(open) = self.open.get(&from).cloned() else { return };
        if self.openable_mount(to).is_none_or(|mount| mount != open.mount) {
            return;
        }
        let (old, new) = (self.at(from.share).as_path().join(from.name()), self.disk(to));
        let mut world = self.host.world();
        let Some(guest) = world.hypervisor.guests.get_mut(&from.instance()) else { return };
        for (description, uses) in &mut guest.descriptions {
            for one in
                uses.iter_mut().filter(|one| *description != Description::Saved && one.layers[0] == old)
            {
                let volumes = one.disk.as_ref().map(|disk| disk.volumes.clone()).unwrap_or_default();
                *one = new.clone().change(|disk| disk.volumes = volumes);
            }
        }
        drop(world);
        self.open.remove(&from);
        self.open.insert(to, open);
    }

    fn disk(&self, user: FileUse) -> FakeUse {
        let path = |user: FileUse| self.at(user.share).as_path().join(user.name());
        let disk = FakeUse::disk(path(user)).of_volume(user.info().volume_id);
        if user.is_overlay() { disk.over([path(user.other_layer())]) } else { disk }
    }

    /// The mount on which a guest would open the file now.
    fn openable_mount(&self, user: FileUse) -> Option<Mount> {
        let world = self.host.world();
        let top = world.mounts.get(self.at(user.share).as_path())?.last()?;
        let is_usable = top.client_state == ClientState::Healthy && top.mount.is_of(&export(user.share));
        is_usable.then(|| top.mount.clone())
    }

    fn open_file(&mut self, user: FileUse) -> bool {
        let Some(mount) = self.openable_mount(user) else { return false };
        let recorded = self.recorded();
        let known = recorded.get(&user);
        let is_ambiguous =
            known.is_some_and(|(attachment, is_stale)| *is_stale || attachment.lost_in.is_some());
        self.change(user.share, |layers| {
            layers.iter_mut().filter(|layer| layer.mount == mount).for_each(|layer| layer.busy = true);
        });
        self.open.insert(user, OpenFile { mount, is_tracked: known.is_some(), is_ambiguous });
        true
    }

    fn close_all(&mut self, guest: u128) {
        FileUse::all().filter(|user| user.guest == guest).for_each(|user| self.close(user));
    }

    fn close(&mut self, user: FileUse) {
        let Some(OpenFile { mount, .. }) = self.open.remove(&user) else { return };
        let is_busy = self.open.values().any(|other| other.mount == mount);
        let mut world = self.host.world();
        for layer in world.mounts.values_mut().flatten().filter(|layer| layer.mount == mount) {
            layer.busy = is_busy;
        }
        world.detached.retain(|(_, layer)| layer.mount != mount || is_busy);
    }

    pub(super) fn run(&self, guest: u128) -> Option<RunId> {
        self.host.world().hypervisor.guests.get(&instance(guest))?.run
    }

    /// Every use of a file in a description of a guest, whether or not the hypervisor answers.
    pub(super) fn uses(&self) -> Vec<(FileUse, Description)> {
        let uses = (0..super::steps::SHARES.len()).flat_map(|share| {
            let user = move |one: &GuestUse| {
                let name = one.path.file_name()?.to_str()?;
                Some((FileUse::named(share, name, one.instance)?, one.description))
            };
            self.guest_uses(share).into_iter().filter_map(move |one| user(&one))
        });
        uses.collect()
    }

    pub(super) fn guest_uses(&self, share: usize) -> Vec<GuestUse> {
        let mut hypervisor = self.host.world().hypervisor.clone();
        hypervisor.answers = true;
        let question = GuestQuestion { shares: &[self.at(share)], only: None, timeout: None };
        let survey = hypervisor.survey(&question).unwrap();
        survey.guests.into_iter().flat_map(|guest| guest.uses).collect()
    }
}
