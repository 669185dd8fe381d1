//! Guests as people call them: an attachment on record knows its guest by UUID alone.

use std::time::Duration;

use quobyte_volume::driver::{DisconnectOutcome, Driver, StillMounted};
use quobyte_volume::pure::guests::GuestSurvey;
use quobyte_volume::pure::mount_path::MountPath;
use quobyte_volume::pure::record::Attachment;

/// How long libvirt may take to tell a name. Without one there is the UUID.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How many guests a sentence names.
const MAX_NAMED: usize = 8;

/// The names of this host's guests, and of their disks on some shares; none are known by default.
#[derive(Debug, Default)]
pub(super) struct GuestNames(GuestSurvey);

impl GuestNames {
    /// Those that use the shares at `shares`, as far as libvirt tells.
    pub(super) fn at(driver: &Driver, shares: &[MountPath]) -> Self {
        if shares.is_empty() {
            return Self::default();
        }
        Self(driver.guests_at(shares, TIMEOUT).unwrap_or_default())
    }

    /// Those that keep a volume mounted.
    pub(super) fn of_users(driver: &Driver, disconnected: &DisconnectOutcome) -> Self {
        match disconnected.still_mounted {
            Some(StillMounted::Attachments(_)) => {
                Self::at(driver, std::slice::from_ref(&disconnected.mount_path))
            }
            _ => Self::default(),
        }
    }

    /// The guests of the attachments, each once with its disks, as in `db1 (vdb, vdc)`.
    fn guests(&self, at: &MountPath, attachments: &[Attachment]) -> Vec<String> {
        let mut guests: Vec<(_, Vec<String>)> = Vec::new();
        for attachment in attachments {
            let targets = self.targets(at, attachment);
            match guests.iter_mut().find(|(instance, _)| *instance == attachment.instance) {
                Some((_, known)) => known.extend(targets),
                None => guests.push((attachment.instance, targets)),
            }
        }
        let shown = guests.into_iter().map(|(instance, mut targets)| {
            let name = match self.0.guest(instance) {
                Some(guest) => guest.name.clone(),
                None => format!("instance {instance}"),
            };
            targets.sort_unstable();
            targets.dedup();
            if targets.is_empty() { name } else { format!("{name} ({})", targets.join(", ")) }
        });
        shown.collect()
    }

    fn targets(&self, at: &MountPath, attachment: &Attachment) -> Vec<String> {
        let file = at.image(&attachment.name);
        let Some(guest) = self.0.guest(attachment.instance) else { return Vec::new() };
        guest
            .uses_of(at)
            .filter(|found| found.has_file(&file))
            .filter_map(|found| found.target.clone())
            .collect()
    }

    /// The guest of an attachment, with its disks of that image.
    pub(super) fn one(&self, at: &MountPath, attachment: &Attachment) -> String {
        self.list(at, std::slice::from_ref(attachment))
    }

    /// The guests of the attachments as a list.
    pub(super) fn list(&self, at: &MountPath, attachments: &[Attachment]) -> String {
        let guests = self.guests(at, attachments);
        match guests.len().checked_sub(MAX_NAMED) {
            None | Some(0) => guests.join(", "),
            Some(more) => format!("{} and {more} more", guests[..MAX_NAMED].join(", ")),
        }
    }

    /// That the guests of the attachments use a share, as a sentence.
    pub(super) fn users(&self, at: &MountPath, attachments: &[Attachment]) -> String {
        let is_one = attachments.iter().all(|other| other.instance == attachments[0].instance);
        format!("{} {} it", self.list(at, attachments), if is_one { "uses" } else { "use" })
    }
}
