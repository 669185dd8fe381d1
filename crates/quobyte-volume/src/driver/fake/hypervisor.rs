//! The guests of the fake host: each with up to three descriptions, and a number for each run.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;

use crate::pure::connection::{ImageFormat, InstanceId, VolumeId};
use crate::pure::guests::{
    Description, Guest, GuestDisk, GuestQuestion, GuestSurvey, GuestUse, RunId, UnknownUses,
};

/// libvirt, as far as the driver can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::driver) struct Hypervisor {
    pub(in crate::driver) answers: bool,
    pub(in crate::driver) guests: BTreeMap<InstanceId, FakeGuest>,
    /// The number of the newest run.
    pub(in crate::driver) last_run: u32,
    /// When guests are started, where that is known: a time that never comes again.
    pub(in crate::driver) clock: Option<u64>,
}

/// One guest. It runs while it has a running description.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::driver) struct FakeGuest {
    pub(in crate::driver) descriptions: BTreeMap<Description, Vec<FakeUse>>,
    pub(in crate::driver) run: Option<RunId>,
    pub(in crate::driver) unknown: Option<UnknownUses>,
}

/// One use, of whichever description has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::driver) struct FakeUse {
    /// The files, the topmost first.
    pub(in crate::driver) layers: Vec<PathBuf>,
    /// `None` for a kernel, a directory, or a file below one that is elsewhere.
    pub(in crate::driver) disk: Option<GuestDisk>,
}

impl FakeUse {
    /// A raw disk that says nothing but its file.
    pub(in crate::driver) fn disk(path: PathBuf) -> Self {
        let disk =
            GuestDisk { volumes: Vec::new(), format: ImageFormat::Raw, shareable: false, is_copy: false };
        Self { layers: vec![path], disk: Some(disk) }
    }

    /// The same as a qcow2 overlay on the files below.
    pub(in crate::driver) fn over(mut self, below: impl IntoIterator<Item = PathBuf>) -> Self {
        self.layers.extend(below);
        self.change(|disk| disk.format = ImageFormat::Qcow2)
    }

    pub(in crate::driver) fn of_volume(self, volume: VolumeId) -> Self {
        self.change(|disk| disk.volumes.push(volume))
    }

    pub(in crate::driver) fn change(mut self, change: impl FnOnce(&mut GuestDisk)) -> Self {
        change(self.disk.as_mut().expect("it is a disk"));
        self
    }

    /// No disk, but a kernel or a directory.
    pub(in crate::driver) fn file(path: PathBuf) -> Self {
        Self { disk: None, ..Self::disk(path) }
    }
}

impl Hypervisor {
    pub(super) fn new() -> Self {
        Self { answers: true, guests: BTreeMap::new(), last_run: 0, clock: None }
    }

    /// Gives a guest that persistent description.
    pub(in crate::driver) fn define(&mut self, instance: InstanceId, uses: Vec<FakeUse>) {
        self.guests.entry(instance).or_default().descriptions.insert(Description::Persistent, uses);
    }

    /// Starts a guest from its saved state, or else from its persistent description.
    pub(in crate::driver) fn start(&mut self, instance: InstanceId) {
        let run = RunId { started: self.clock, ..RunId::new(self.last_run + 1) };
        let Some(guest) = self.guests.get_mut(&instance).filter(|guest| guest.run.is_none()) else { return };
        let persistent = || guest.descriptions.get(&Description::Persistent).cloned();
        let Some(uses) = guest.descriptions.get(&Description::Saved).cloned().or_else(persistent) else {
            return;
        };
        guest.descriptions.remove(&Description::Saved);
        guest.descriptions.insert(Description::Running, uses);
        guest.run = Some(run);
        self.last_run += 1;
        self.clock = self.clock.map(|time| time + 1);
    }

    /// Stops a guest. One that has no persistent description is gone then.
    pub(in crate::driver) fn stop(&mut self, instance: InstanceId) {
        if let Some(guest) = self.guests.get_mut(&instance) {
            guest.descriptions.remove(&Description::Running);
            guest.run = None;
        }
        self.guests.retain(|_, guest| !guest.descriptions.is_empty());
    }

    /// Saves a running guest's state and stops it.
    pub(in crate::driver) fn save(&mut self, instance: InstanceId) {
        let Some(guest) = self.guests.get_mut(&instance) else { return };
        if let Some(uses) = guest.descriptions.remove(&Description::Running) {
            guest.descriptions.insert(Description::Saved, uses);
            guest.run = None;
        }
    }

    /// Drops a guest's saved state.
    pub(in crate::driver) fn drop_saved(&mut self, instance: InstanceId) {
        if let Some(guest) = self.guests.get_mut(&instance) {
            guest.descriptions.remove(&Description::Saved);
        }
        self.guests.retain(|_, guest| !guest.descriptions.is_empty());
    }

    /// Removes a guest's persistent description and its saved state.
    pub(in crate::driver) fn undefine(&mut self, instance: InstanceId) {
        if let Some(guest) = self.guests.get_mut(&instance) {
            guest.descriptions.retain(|description, _| *description == Description::Running);
        }
        self.guests.retain(|_, guest| !guest.descriptions.is_empty());
    }

    /// The uses of one description of a guest, to change them.
    pub(in crate::driver) fn uses(
        &mut self,
        instance: InstanceId,
        description: Description,
    ) -> &mut Vec<FakeUse> {
        self.guests.entry(instance).or_default().descriptions.entry(description).or_default()
    }

    /// Why that guest's uses are not all known; `None` makes them known again.
    pub(in crate::driver) fn make_unknown(&mut self, instance: InstanceId, unknown: Option<UnknownUses>) {
        self.guests.entry(instance).or_default().unknown = unknown;
    }

    pub(in crate::driver) fn survey(
        &self,
        question: &GuestQuestion<'_>,
    ) -> Result<GuestSurvey, Box<dyn Error + Send + Sync>> {
        if !self.answers {
            return Err("the hypervisor does not answer".into());
        }
        let guests =
            self.guests.iter().filter(|(instance, _)| question.only.is_none_or(|only| only == **instance));
        Ok(GuestSurvey {
            guests: guests.map(|(instance, guest)| guest.answer(*instance, question)).collect(),
        })
    }
}

impl FakeGuest {
    fn answer(&self, instance: InstanceId, question: &GuestQuestion<'_>) -> Guest {
        let name = name(instance);
        let is_on_share = |path: &PathBuf| question.shares.iter().any(|at| path.starts_with(at.as_path()));
        let uses = self.descriptions.iter().flat_map(|(description, uses)| {
            let (name, is_known) = (name.clone(), self.unknown.is_none());
            uses.iter().filter(move |_| is_known).filter_map(move |found| {
                let layers: Vec<_> = found.layers.iter().filter(|path| is_on_share(path)).cloned().collect();
                let (path, disk) = (layers.first()?.clone(), found.disk.clone());
                Some(GuestUse {
                    instance,
                    name: name.clone(),
                    description: *description,
                    target: Some("vda".to_owned()),
                    path,
                    layers,
                    disk,
                })
            })
        });
        Guest {
            instance,
            is_novas: false,
            name: name.clone(),
            run: self.run,
            saved: self.descriptions.contains_key(&Description::Saved),
            uses: uses.collect(),
            unknown: self.unknown.clone(),
        }
    }
}

/// The name of a guest, for people: `vm-7` for the instance of number 7.
pub(in crate::driver) fn name(instance: InstanceId) -> String {
    let digits = instance.to_string();
    format!("vm-{}", digits.trim_start_matches(['0', '-']))
}
