//! What happens on the machine besides calls of the driver.

use super::machine::Machine;
use super::steps::{Event, GUESTS, export};
use crate::driver::fake::{ClientState, FakeMount};
use crate::driver::tests::instance;

impl Machine {
    pub(super) fn apply_event(&mut self, event: Event) {
        match event {
            Event::Plugs(user) if self.is_recorded(user) => self.plug(user),
            Event::Plugs(_) => {}
            Event::PlugsByHand(user) => {
                self.is_undisturbed &= self.is_recorded(user);
                self.plug(user);
            }
            Event::Unplugs(user) => self.unplug(user),
            Event::Starts(guest) => self.start(guest),
            Event::Stops(guest) => self.stop(guest),
            Event::Restarts(guest) => {
                self.stop(guest);
                self.start(guest);
            }
            Event::Saves(guest) => self.save(guest),
            Event::DropsSavedState(guest) => self.host.world().hypervisor.drop_saved(instance(guest)),
            Event::Undefines(guest) => self.host.world().hypervisor.undefine(instance(guest)),
            Event::Snapshots(user) if !user.is_overlay() => self.move_disk(user, user.other_layer()),
            Event::Commits(user) if user.is_overlay() => self.move_disk(user, user.other_layer()),
            Event::Snapshots(_) | Event::Commits(_) => {}
            Event::HypervisorAnswers(answers) => self.host.world().hypervisor.answers = answers,
            Event::HypervisorRestarts => {
                let hypervisor = &mut self.host.world().hypervisor;
                hypervisor.answers = true;
                if hypervisor.guests.values().all(|guest| guest.run.is_none()) {
                    hypervisor.last_run = 0;
                }
            }
            Event::ClientsWill(client) => self.host.world().mount_behavior = client,
            Event::ImagesAre(image) => self.host.world().image = image,
            Event::ClientBecomes(share, client_state) => self.change(share, |layers| {
                // The dead do not come back.
                if let Some(top) = layers.last_mut().filter(|top| top.client_state.is_alive()) {
                    top.client_state = client_state;
                }
            }),
            Event::LateMounts => self.host.world().mount_pending(),
            Event::MountedOver(share, fs_type) => {
                if fs_type == "fuse.quobyte" {
                    self.is_observable = false;
                    self.forget_pending(share);
                }
                let mut world = self.host.world();
                world.user = 4711;
                world.add_mount(&self.at(share), fs_type, export(share).mount_source(), ClientState::Healthy);
                world.user = 1000;
            }
            // The kernel lets its owner take a mount away that no file is open on. One that is torn away all the same,
            // without a call in between, is none that the driver could ever have known of.
            Event::Uncovered(share) => {
                let mut is_uncovered = false;
                self.change(share, |layers| {
                    let before = layers.len();
                    layers.retain(|layer| layer.mount.owner() == Some(1000) || layer.busy);
                    is_uncovered = layers.len() < before;
                });
                if is_uncovered {
                    self.tidy_up_after_others(share);
                }
            }
            Event::UnmountedLazily(share) => self.unmount_lazily(share),
            Event::RemountedByHand(share) => self.remount_by_hand(share),
            Event::Reboot => self.reboot(),
        }
    }

    /// A mount that no call has put on record is none that a guest was told of.
    fn unmount_lazily(&self, share: usize) {
        let at = self.at(share);
        let records = self.records();
        let mut world = self.host.world();
        let top = world.mounts.get(at.as_path()).and_then(|layers| layers.last());
        if top.is_some_and(|top| records.iter().any(|record| record.is_for_mount(&top.mount))) {
            world.unmount_lazily(&at);
        }
    }

    fn remount_by_hand(&self, share: usize) {
        let mut is_removed = false;
        self.change(share, |layers| {
            let is_dead =
                |top: &mut FakeMount| !top.client_state.is_alive() && top.mount.owner() == Some(1000);
            is_removed = layers.pop_if(is_dead).is_some();
        });
        if is_removed {
            self.forget_pending(share);
            let source = export(share).mount_source();
            self.host.world().add_mount(&self.at(share), "fuse.quobyte", source, ClientState::Healthy);
        }
    }

    /// A limit that the driver has (SEMANTICS 5): once somebody has mounted a share by hand, the client of a killed call
    /// that has not is looked for no more. Here such a client never mounts.
    fn forget_pending(&self, share: usize) {
        let at = self.at(share);
        self.host.world().pending_mounts.retain(|(other, ..)| *other != at);
    }

    /// Who has unmounted its own takes a directory along that no record says is ours: while it was mounted on, the driver
    /// had nothing left to take down there.
    pub(super) fn tidy_up_after_others(&self, share: usize) {
        let at = self.at(share);
        if self.host.count_stacked(&at) == 0 && !self.records().iter().any(|record| record.mount_path == at) {
            self.host.world().directories.remove(at.as_path());
        }
    }

    /// Changes what is mounted for a share.
    pub(super) fn change(&self, share: usize, change: impl FnOnce(&mut Vec<FakeMount>)) {
        let mut world = self.host.world();
        let at = self.at(share);
        if let Some(layers) = world.mounts.get_mut(at.as_path()) {
            change(layers);
            if layers.is_empty() {
                world.mounts.remove(at.as_path());
            }
        }
    }

    /// Mounts and processes go, records and guests' persistent and saved descriptions stay. So do empty directories, which are not
    /// looked for: no record of this boot says whose they are.
    #[expect(clippy::disallowed_methods, reason = "records are given the boot id of an earlier boot")]
    fn reboot(&mut self) {
        {
            let mut world = self.host.world();
            world.mounts.clear();
            world.detached.clear();
            world.pending_mounts.clear();
            world.directories.clear();
            GUESTS.iter().for_each(|guest| world.hypervisor.stop(instance(*guest)));
            world.hypervisor.last_run = 0;
        }
        self.open.clear();
        for (path, contents) in self.record_files() {
            let mut record: serde_json::Value = serde_json::from_slice(&contents).unwrap();
            record["boot_id"] = "an earlier boot".into();
            std::fs::write(path, record.to_string()).unwrap();
        }
    }
}
