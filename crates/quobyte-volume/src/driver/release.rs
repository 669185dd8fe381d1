//! Releasing a share: unmounting it once nobody is left, then removing its directory and its record.

use std::slice;

use super::error::Error;
use super::operation::ShareOperation;
use super::stacked_mounts::count_stacked;
use crate::host::{UnmountMode, UnmountOutcome};
use crate::mount::{MountError, MountState, inspect};
use crate::pure::connection::{Export, ImageName, InstanceId, VolumeId};
use crate::pure::guests::GuestUse;
use crate::pure::record::Attachment;

/// Why a share stays mounted.
#[derive(Debug, Clone, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum StillMounted {
    /// These attachments use it.
    Attachments(Vec<Attachment>),
    /// These guests use it, recorded or not.
    Guests(Vec<GuestUse>),
    /// It could not be found out whether a guest uses it, for this reason.
    Unknown(String),
    /// The kernel says that files are open on it or something is mounted below it.
    Busy,
    /// Its client does not answer, and somebody waits for it.
    Hung,
    /// Another user mounted it.
    NotOwner,
    /// What is mounted there is not what we mounted.
    Foreign,
    /// No record says who mounted it and for whom.
    NotRecorded,
}

impl StillMounted {
    /// The reason as scripts see it, in `snake_case`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        self.into()
    }
}

/// How far a disconnect may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Force {
    /// Nothing is taken from anybody.
    #[default]
    No,
    /// With nobody else on record, the mount goes even if it is hung or files are open on it.
    IfAlone,
    /// The mount goes whoever uses it. What they wrote to one that hangs and the client has not stored is lost; files
    /// that are open on one that answers are served on until they are closed.
    Always,
}

impl ShareOperation<'_> {
    /// Releases the share if nobody uses it: unmounts it, then removes its directory, then its record.
    pub(super) fn release(
        &self,
        detaching: Option<&Detaching>,
        force: Force,
    ) -> Result<Option<StillMounted>, Error> {
        let record = &self.record;
        if !record.attachments.is_empty() && force < Force::Always {
            return Ok(Some(StillMounted::Attachments(record.attachments.clone())));
        }
        // A client that a killed call has left may be about to mount. One that has mounted ends by itself.
        if record.mount.is_none() && self.top_mount(None)?.is_none() {
            self.kill_client(record.generation)?;
        }
        let still_mounted = self.unmount_all(detaching, force)?;
        match still_mounted {
            // Nothing of ours to keep a record of.
            Some(StillMounted::NotOwner) if self.is_recorded_mount_alone()? => {}
            // Ours to take down later, or once it is uncovered: the record stays.
            Some(_) => return Ok(still_mounted),
            None => {
                if let Err(error) = self.host.remove_directory(record.mount_path.as_path()) {
                    tracing::warn!(mount_path = %record.mount_path, %error, "the mount directory stays");
                }
            }
        }
        if record.attachments.is_empty() {
            self.lock.remove()?;
        }
        Ok(still_mounted)
    }

    /// Whether the mount on top is the one on record, and the only one.
    fn is_recorded_mount_alone(&self) -> Result<bool, Error> {
        let known = self.record.mount.as_ref();
        let top = self.top_mount(known)?;
        let is_recorded = known.zip(top.as_ref()).is_some_and(|(known, top)| known.is_same(top));
        Ok(is_recorded && count_stacked(self.host, &self.record.mount_path)? == 1)
    }

    /// Unmounts the record's export as often as it is mounted there.
    fn unmount_all(
        &self,
        detaching: Option<&Detaching>,
        force: Force,
    ) -> Result<Option<StillMounted>, Error> {
        let (at, export) = (&self.record.mount_path, &self.record.export);
        let mut guests_checked = false;
        let mut known = self.record.mount.clone();
        let mut newest = None;
        // A base that is spelt through a link has none that are found; there is one, or none is looked at.
        let mut forced = if force == Force::No { 0 } else { count_stacked(self.host, at)?.max(1) };
        while let Some(mount) = self.top_mount(known.take().as_ref())? {
            // Force is for what was there when it was asked for, and not for what somebody mounts meanwhile.
            // Before Linux 6.8, where mounts have no ids that tell, no more than there were.
            let newest = *newest.get_or_insert(mount.unique_id);
            let force = if forced == 0 || mount.unique_id > newest { Force::No } else { force };
            forced = forced.saturating_sub(1);
            if !mount.is_of(export) {
                return Ok(Some(StillMounted::Foreign));
            }
            if !self.host.may_unmount(&mount) {
                return Ok(Some(StillMounted::NotOwner));
            }
            let state = match inspect(self.host, at, export, Some(&mount)) {
                Err(MountError::Unreadable { source, .. }) if force == Force::No => {
                    return Ok(Some(StillMounted::Unknown(source.to_string())));
                }
                Err(MountError::Unreadable { .. }) => MountState::Hung(mount.clone()),
                state => state?,
            };
            let is_dead = matches!(state, MountState::Dead(_));
            // A dead connection can serve nobody any more, so nobody needs to be asked about it.
            if !is_dead && !guests_checked && force < Force::Always {
                if self.context.state.has_set_aside(self.lock)? {
                    return Ok(Some(StillMounted::Unknown("a record of it was set aside".to_owned())));
                }
                if let Some(still_mounted) = self.still_used_by_guests(detaching) {
                    return Ok(Some(still_mounted));
                }
                guests_checked = true;
            }
            let if_busy = if_busy(&state, force);
            tracing::info!(%export, mount_path = %at, "unmounting");
            if self.unmount(&mount, UnmountMode::IfUnused)? == UnmountOutcome::Busy {
                match if_busy {
                    IfBusy::Keep(still_mounted) => return Ok(Some(still_mounted)),
                    IfBusy::AbortFirst => self.abort(&mount),
                    IfBusy::UnmountLazily => {}
                }
                self.unmount(&mount, UnmountMode::Lazy)?;
            }
        }
        Ok(None)
    }

    /// Why the share has to stay for guests, if it has.
    fn still_used_by_guests(&self, detaching: Option<&Detaching>) -> Option<StillMounted> {
        match self.context.guests.uses_below(slice::from_ref(&self.record.mount_path)) {
            Err(error) => Some(StillMounted::Unknown(error.to_string())),
            Ok(mut uses) => {
                let export = &self.record.export;
                uses.retain(|guest| detaching.is_none_or(|detaching| !detaching.is_used_by(guest, export)));
                (!uses.is_empty()).then_some(StillMounted::Guests(uses))
            }
        }
    }
}

/// What becomes of a mount on which the kernel finds open files, or another mount below.
enum IfBusy {
    Keep(StillMounted),
    /// Whoever waits for the client is freed first.
    AbortFirst,
    UnmountLazily,
}

/// Whether a mount in that state may be unmounted under open files, as far as `force` goes for it.
fn if_busy(state: &MountState, force: Force) -> IfBusy {
    match state {
        // It serves nobody any more.
        MountState::Dead(_) => IfBusy::UnmountLazily,
        MountState::Hung(_) if force == Force::No => IfBusy::Keep(StillMounted::Hung),
        MountState::Hung(_) => IfBusy::AbortFirst,
        MountState::Absent
        | MountState::Healthy(_)
        | MountState::Disconnected(_)
        | MountState::WrongVolume(_)
        | MountState::Foreign(_) => {
            if force == Force::No {
                IfBusy::Keep(StillMounted::Busy)
            } else {
                IfBusy::UnmountLazily
            }
        }
    }
}

/// The attachment that has just gone. Its guest may still have the disk in its description: Nova disconnects the
/// volumes of a deleted instance while its domain is still defined.
#[derive(Debug, Clone)]
pub(super) struct Detaching {
    pub(super) instance: InstanceId,
    pub(super) volume: VolumeId,
    /// The attachment as it was on record, if it was.
    pub(super) recorded: Option<Attachment>,
}

impl Detaching {
    /// Whether that use is the guest's use of this very volume.
    fn is_used_by(&self, guest: &GuestUse, export: &Export) -> bool {
        if guest.instance == self.instance
            && guest.disk.as_ref().is_some_and(|disk| disk.volume == Some(self.volume))
        {
            return true;
        }
        let Some(name) = guest.path.file_name().and_then(|name| ImageName::parse(name.to_str()?).ok()) else {
            return false;
        };
        let is_recorded = self.recorded.as_ref().is_some_and(|attachment| attachment.name == name);
        guest.instance == self.instance && (is_recorded || VolumeId::derive(export, &name) == self.volume)
    }
}
