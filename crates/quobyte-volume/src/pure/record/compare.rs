//! A share's record held against what the hypervisor knows of the guests.

use std::path::{Path, PathBuf};

use super::attachment::{files_below, image_name};
use super::{Attachment, Claim, Release, Rival, ShareRecord};
use crate::pure::connection::{ImageName, VolumeId};
use crate::pure::guests::{Description, Guest, GuestSurvey, GuestUse};

/// When the mount that a record is compared about was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MountAge {
    /// Before: guests that run may have files on it.
    Old,
    /// By this very operation: what guests run with is on another mount, which is gone.
    New,
}

/// What comparing a record with the guests has changed in it, and what it has found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparison {
    /// Files of guests that no record had. They are on record now.
    pub adopted: Vec<Attachment>,
    /// Attachments whose guests have moved to another file, as they are now.
    pub moved: Vec<Attachment>,
    /// Attachments that somebody had disconnected before their guests released them, or that nobody had connected and
    /// their guests do not have any more. They are gone now.
    pub released: Vec<Attachment>,
    /// Attachments that were lost, and whose guests have been stopped since.
    pub restarted: Vec<Attachment>,
    /// Attachments that no guest describes: a guest may be about to get the file.
    pub without_guest: Vec<Attachment>,
    /// Attachments whose guests have yet to release them.
    pub leaving: Vec<Attachment>,
    /// Pairs of attachments that use one file and must not.
    pub rivals: Vec<(Attachment, Attachment)>,
    /// Uses that amount to no attachment: kernels, directories, images that a local overlay is based on.
    pub not_adopted: Vec<GuestUse>,
    /// Guests whose uses of the share are not all known: the name and the reason.
    pub unknown: Vec<(String, String)>,
}

impl ShareRecord {
    /// Brings the record up to date with the guests, and tells what that has changed. A guest that is not understood
    /// changes nothing.
    pub(crate) fn compare(&mut self, survey: &GuestSurvey, age: MountAge) -> Comparison {
        let mut comparison = Comparison::default();
        let at = self.mount_path.clone();
        let recorded = self.attachments.clone();
        let is_recorded = |instance| recorded.iter().any(|attachment| attachment.instance == instance);
        let unknown = survey.unknown_of(&at, is_recorded);
        let unknown = unknown.map(|(guest, unknown)| (guest.name.clone(), unknown.reason.clone()));
        comparison.unknown = unknown.collect();
        Release::forget(&mut self.releases, &self.mount_path, survey);
        for attachment in recorded {
            match survey.guest(attachment.instance) {
                Some(guest) if guest.unknown.is_some() => {}
                guest => self.compare_attachment(&attachment, guest, age, &mut comparison),
            }
        }
        for guest_use in survey.uses_of(&at) {
            self.adopt(guest_use, survey, age, &mut comparison);
        }
        comparison.rivals = self.rivals();
        // What no record has is to be asked for each time.
        let is_all_recorded = comparison.not_adopted.iter().all(|guest_use| guest_use.target.is_none());
        self.compared = comparison.unknown.is_empty() && is_all_recorded;
        comparison
    }

    fn compare_attachment(
        &mut self,
        before: &Attachment,
        guest: Option<&Guest>,
        age: MountAge,
        comparison: &mut Comparison,
    ) {
        let Some(index) = self.attachments.iter().position(|attachment| attachment == before) else { return };
        let is_held = guest.is_some_and(|guest| self.held_use_of(before, guest).is_some());
        // Nobody will disconnect what nobody has connected. Nova describes a guest without its volumes while it is rescued.
        let is_described = |guest: &Guest| self.uses_of(before, guest).next().is_some();
        let is_dropped = before.adopted && guest.is_none_or(|guest| !guest.is_novas && !is_described(guest));
        let is_left = before.leaving.is_some() && !is_held;
        if is_dropped || is_left || self.is_detached(before, guest) {
            let released = self.attachments.remove(index);
            if let Some(guest) = guest {
                self.release(&released, guest);
            }
            comparison.released.push(released);
            return;
        }
        let mut now = before.clone();
        let run = guest.and_then(|guest| guest.run);
        let is_running = guest.is_some_and(|guest| self.is_running_in(before, guest));
        // Another run has the file because somebody started the guest with it.
        if before.leaving.is_some_and(|leaving| {
            leaving.run.zip(run).is_some_and(|(then, now)| is_running && !then.is_same(now))
        }) {
            now.leaving = None;
            comparison.adopted.push(now.clone());
        }
        if self.is_stale(&now) {
            match (now.lost_in, run.filter(|_| is_running)) {
                (None, Some(run)) if !run.began_after(self.generation) => now.lost_in = Some(run),
                // Whichever run it is, it has its files on the mount that this one has replaced.
                (Some(_), Some(run)) if age == MountAge::New && !run.began_after(self.generation) => {
                    now.lost_in = Some(run);
                }
                (Some(lost), Some(run)) if lost.is_same(run) => {}
                (lost, _) => {
                    now.generation = self.generation;
                    now.lost_in = None;
                    if lost.is_some() {
                        comparison.restarted.push(now.clone());
                    }
                }
            }
        } else {
            now.lost_in = None;
        }
        if let Some(guest) = guest {
            self.follow(&mut now, guest);
        }
        if now.name != before.name {
            comparison.moved.push(now.clone());
        }
        match guest {
            _ if now.leaving.is_some() => comparison.leaving.push(now.clone()),
            Some(guest) if self.disk_of(&now, guest).is_some() => {}
            _ => comparison.without_guest.push(now.clone()),
        }
        self.attachments[index] = now;
    }

    /// Follows the guest to the file that it writes to now, and notes the others that it may write to.
    fn follow(&self, attachment: &mut Attachment, guest: &Guest) {
        let at = &self.mount_path;
        let before = attachment.name.clone();
        let is_others = |name: &ImageName| {
            let mut others = self.attachments.iter().filter(|other| other.instance == guest.instance);
            others.any(|other| other.name == *name && other.name != before)
        };
        let current = attachment.clone();
        let mine: Vec<_> = self.uses_of(&current, guest).collect();
        if mine.is_empty() {
            return;
        }
        let running = mine.iter().find(|guest_use| {
            guest_use.description == Description::Running
                && guest_use.disk.as_ref().is_some_and(|disk| !disk.is_copy)
        });
        let top =
            running.and_then(|guest_use| Some((image_name(&guest_use.path, at)?, guest_use.disk.as_ref()?)));
        if let Some((name, disk)) = top
            && name != attachment.name
            && !is_others(&name)
        {
            attachment.name = name;
            attachment.format = disk.format;
            attachment.chain.clear();
        }
        attachment.shareable |=
            mine.iter().filter_map(|guest_use| guest_use.disk.as_ref()).any(|disk| disk.shareable);
        // Between a snapshot or a copy and the end of it, a guest's descriptions name several files.
        let tops = mine.iter().filter_map(|guest_use| image_name(&guest_use.path, at));
        let still_named = std::iter::once(before.clone()).chain(std::mem::take(&mut attachment.steps));
        let still_named =
            still_named.filter(|step| mine.iter().any(|guest_use| guest_use.has_file(&at.image(step))));
        let mut steps: Vec<ImageName> = Vec::new();
        for step in tops.chain(still_named) {
            if !attachment.has_file(Path::new(step.as_str())) && !steps.contains(&step) && !is_others(&step) {
                steps.push(step);
            }
        }
        attachment.steps = steps;
        attachment.below = files_below(mine.into_iter(), at);
        let tops: Vec<PathBuf> = attachment.tops().map(Path::to_owned).collect();
        attachment.below.retain(|file| !tops.contains(file));
    }

    /// Puts a use on record that no attachment stands for.
    fn adopt(
        &mut self,
        guest_use: &GuestUse,
        survey: &GuestSurvey,
        age: MountAge,
        comparison: &mut Comparison,
    ) {
        let at = self.mount_path.clone();
        let is_known = self.attachments.iter().any(|attachment| attachment.is_used_by(guest_use, &at));
        if is_known || self.is_released(guest_use) {
            return;
        }
        let export = self.export.clone();
        let derive = |name: &ImageName| VolumeId::derive(&export, name);
        let Some(mut attachment) = Attachment::described(guest_use, &at, derive) else {
            let is_told =
                |told: &GuestUse| told.instance == guest_use.instance && told.path == guest_use.path;
            if !comparison.not_adopted.iter().any(is_told) {
                comparison.not_adopted.push(guest_use.clone());
            }
            return;
        };
        let run = survey.guest(guest_use.instance).and_then(|guest| guest.run);
        let is_running = guest_use.description == Description::Running;
        let is_older = run.is_some_and(|run| !run.began_after(self.generation));
        if is_running && is_older && age == MountAge::New && self.generation > 0 {
            attachment.lost_in = run;
        } else {
            attachment.generation = self.generation;
        }
        self.attachments.push(attachment.clone());
        comparison.adopted.push(attachment);
    }
}

impl ShareRecord {
    /// Pairs of guests' attachments that use one file and must not, each once.
    fn rivals(&self) -> Vec<(Attachment, Attachment)> {
        let mut found: Vec<(Attachment, Attachment)> = Vec::new();
        for attachment in &self.attachments {
            let Some(Rival::Holder(holder) | Rival::OtherFormat { holder, .. }) =
                Claim::of(attachment).rival(self)
            else {
                continue;
            };
            let is_told = found.iter().any(|(one, other)| *one == holder && other == attachment);
            if !is_told {
                found.push((attachment.clone(), holder));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests;
