//! Which of a guest's uses are of which attachment.

use super::{Attachment, ShareRecord};
use crate::pure::guests::{Description, Guest, GuestUse};

impl ShareRecord {
    /// Whether a guest's use is of that attachment: by its file, else by its volume. A file that another attachment of the
    /// guest stands for is that one's, whatever id the disk carries: a volume that is swapped keeps its old one.
    pub(crate) fn is_use_of(&self, guest_use: &GuestUse, attachment: &Attachment) -> bool {
        let at = &self.mount_path;
        let is_anothers = || {
            let mut others = self.attachments.iter().filter(|other| other.name != attachment.name);
            others.any(|other| other.is_used_by(guest_use, at))
        };
        attachment.is_used_by(guest_use, at) || attachment.shares_volume(guest_use) && !is_anothers()
    }

    /// The guest's uses that are of that attachment. Where a description has its file, a disk that merely carries its id is
    /// another one, unless it is the copy that a block job is making.
    pub(crate) fn uses_of<'a>(
        &'a self,
        attachment: &'a Attachment,
        guest: &'a Guest,
    ) -> impl Iterator<Item = &'a GuestUse> {
        let at = &self.mount_path;
        let has_file = move |guest_use: &GuestUse| attachment.is_used_by(guest_use, at);
        let is_named = move |description| {
            guest.uses_of(at).any(|guest_use| guest_use.description == description && has_file(guest_use))
        };
        guest.uses_of(at).filter(move |guest_use| {
            let is_copy = guest_use.disk.as_ref().is_some_and(|disk| disk.is_copy);
            self.is_use_of(guest_use, attachment)
                && (has_file(guest_use) || is_copy || !is_named(guest_use.description))
        })
    }

    /// The guest's disk that the attachment is, in the description that counts.
    #[must_use]
    pub fn disk_of<'a>(&'a self, attachment: &'a Attachment, guest: &'a Guest) -> Option<&'a GuestUse> {
        let current = guest.current_description();
        let uses =
            || self.uses_of(attachment, guest).filter(move |guest_use| guest_use.description == current);
        let by_file = uses().find(|guest_use| attachment.is_used_by(guest_use, &self.mount_path));
        by_file.or_else(|| uses().next())
    }

    /// What of the attachment the guest holds, so that nobody else may say it has released the file: it runs with it, or
    /// was saved with it.
    pub(crate) fn held_use_of<'a>(
        &'a self,
        attachment: &'a Attachment,
        guest: &'a Guest,
    ) -> Option<&'a GuestUse> {
        self.uses_of(attachment, guest).find(|guest_use| guest_use.description != Description::Persistent)
    }

    /// Whether the guest runs with the attachment's file.
    #[must_use]
    pub fn is_running_in(&self, attachment: &Attachment, guest: &Guest) -> bool {
        self.uses_of(attachment, guest).any(|guest_use| guest_use.description == Description::Running)
    }

    /// Whether a detach of the attachment's disk was begun and the disk is out: no description of its guest has it.
    pub(super) fn is_detached(&self, attachment: &Attachment, guest: Option<&Guest>) -> bool {
        self.is_being_detached(attachment)
            && guest.is_none_or(|guest| self.uses_of(attachment, guest).next().is_none())
    }
}
