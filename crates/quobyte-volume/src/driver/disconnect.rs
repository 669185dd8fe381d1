//! disconnect: remove the record, and unmount once nobody is left.

use super::{Driver, Error};
use crate::host::records::LockedShare;
use crate::host::{UnmountMode, UnmountOutcome};
use crate::mount::{MountError, MountState, inspect};
use crate::pure::connection::{Export, ImageName, InstanceId, VolumeId};
use crate::pure::guests::GuestUse;
use crate::pure::mount_path::MountPath;
use crate::pure::record::{Attachment, ShareRecord};

/// What a disconnect did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnected {
    /// Where the share is, or was, mounted.
    pub mount_path: MountPath,
    /// Whether the volume was connected until now.
    pub changed: bool,
    /// Why the share is still mounted; `None` when it is not.
    pub kept: Option<Kept>,
}

/// Why a share stays mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
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

impl Kept {
    /// The reason as scripts see it, in `snake_case`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Attachments(_) => "attachments",
            Self::Guests(_) => "guests",
            Self::Unknown(_) => "unknown",
            Self::Busy => "busy",
            Self::Hung => "hung",
            Self::NotOwner => "not_owner",
            Self::Foreign => "foreign",
            Self::NotRecorded => "not_recorded",
        }
    }
}

/// UnmountMode far a disconnect may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Force {
    /// Nothing is taken from anybody.
    #[default]
    No,
    /// With nobody else on record, the mount goes even if it is hung or files are open on it.
    Alone,
    /// The mount goes whoever uses it. What they wrote to one that hangs and the client has not stored is lost; files
    /// that are open on one that answers are served on until they are closed.
    Everybody,
}

impl Driver {
    /// Disconnects a volume from a guest, and unmounts its share when no attachment and no guest is left and the
    /// kernel agrees, or as `force` has it. Disconnecting what is not connected succeeds, and so does disconnecting
    /// from a mount that is gone, dead or hung.
    ///
    /// `at` is where the share should be; if the volume was connected elsewhere (the configured base or the export
    /// has changed since), the recorded place counts.
    ///
    /// # Errors
    /// When the records or the mount table cannot be read, or the share cannot be unmounted for another reason than
    /// being in use. The attachment's record is gone then if it could be written, and the share's own stays.
    pub fn disconnect(
        &self,
        at: &MountPath,
        volume: VolumeId,
        instance: InstanceId,
        force: Force,
    ) -> Result<Disconnected, Error> {
        let mut mount_path = at.clone();
        let mut share = self.lock(at)?;
        let mut record = share.load()?;
        if !record.as_ref().is_some_and(|record| record.has(instance, volume))
            && let Some(elsewhere) = self.recorded_place(volume, instance)?
        {
            drop(share);
            mount_path = elsewhere;
            share = self.lock(&mount_path)?;
            record = share.load()?;
        }
        let (changed, kept) = match record {
            None => (false, self.top_mount(&mount_path, None)?.map(|_| Kept::NotRecorded)),
            Some(mut record) => {
                let recorded = record.detach(instance, volume);
                let changed = recorded.is_some();
                if changed {
                    share.store(&record)?;
                }
                let leaving = Leaving { instance, volume, recorded };
                (changed, self.release(&share, record, Some(&leaving), force)?)
            }
        };
        Ok(Disconnected { mount_path, changed, kept })
    }

    /// Disconnects the volume that a guest was given as the file `name` at `at`, where no more than that is known for
    /// certain. What the records say of that file counts, then `stated`.
    ///
    /// # Errors
    /// Those of [`Driver::disconnect`].
    pub fn disconnect_file(
        &self,
        at: &MountPath,
        name: &ImageName,
        instance: InstanceId,
        stated: Option<VolumeId>,
        force: Force,
    ) -> Result<Disconnected, Error> {
        let recorded = self.lock(at)?.load()?.and_then(|record| {
            let is_of_file = |other: &Attachment| other.instance == instance && other.name == *name;
            record.attachments.into_iter().find(is_of_file)
        });
        match recorded.map(|attachment| attachment.volume).or(stated) {
            Some(volume) => self.disconnect(at, volume, instance, force),
            None => {
                let kept = self.top_mount(at, None)?.map(|_| Kept::NotRecorded);
                Ok(Disconnected { mount_path: at.clone(), changed: false, kept })
            }
        }
    }

    /// The place where a record says the volume is connected.
    fn recorded_place(&self, volume: VolumeId, instance: InstanceId) -> Result<Option<MountPath>, Error> {
        let mut usable = self.state.records()?.into_iter().flatten();
        Ok(usable.find(|record| record.has(instance, volume)).map(|record| record.mount_path))
    }

    /// Takes a share down if nobody uses it: the mount, then its directory, then its record.
    pub(super) fn release(
        &self,
        share: &LockedShare,
        record: ShareRecord,
        leaving: Option<&Leaving>,
        force: Force,
    ) -> Result<Option<Kept>, Error> {
        if !record.attachments.is_empty() && force < Force::Everybody {
            return Ok(Some(Kept::Attachments(record.attachments)));
        }
        // A client that a killed call has left may be about to mount. One that has mounted ends by itself.
        if record.mount.is_none() && self.top_mount(&record.mount_path, None)?.is_none() {
            self.end_client(&record.mount_path, record.generation)?;
        }
        let kept = self.take_down(share, &record, leaving, force)?;
        match kept {
            // Nothing of ours to keep a record of.
            Some(Kept::NotOwner) if self.has_served_alone(&record)? => {}
            // Ours to take down later, or once it is uncovered: the record stays.
            Some(_) => return Ok(kept),
            None => {
                if let Err(error) = self.host.remove_directory(record.mount_path.as_path()) {
                    tracing::warn!(mount_path = %record.mount_path, %error, "the mount directory stays");
                }
            }
        }
        if record.attachments.is_empty() {
            share.remove()?;
        }
        Ok(kept)
    }

    /// Whether the mount on top is the one on record, and the only one.
    fn has_served_alone(&self, record: &ShareRecord) -> Result<bool, Error> {
        let known = record.mount.as_ref();
        let top = self.top_mount(&record.mount_path, known)?;
        let is_recorded = known.zip(top.as_ref()).is_some_and(|(known, top)| known.is_same(top));
        Ok(is_recorded && self.layers(&record.mount_path)? == 1)
    }

    /// Unmounts the record's export as often as it is mounted there.
    fn take_down(
        &self,
        share: &LockedShare,
        record: &ShareRecord,
        leaving: Option<&Leaving>,
        force: Force,
    ) -> Result<Option<Kept>, Error> {
        let at = &record.mount_path;
        let mut asked = false;
        let mut known = record.mount.clone();
        let mut newest = None;
        // A base that is spelt through a link has none that are found; there is one, or none is looked at.
        let mut forced = if force == Force::No { 0 } else { self.layers(at)?.max(1) };
        while let Some(mount) = self.top_mount(at, known.take().as_ref())? {
            // Force is for what was there when it was asked for, and not for what somebody mounts meanwhile.
            // Before Linux 6.8, where mounts have no ids that tell, no more than there were.
            let newest = *newest.get_or_insert(mount.unique_id);
            let force = if forced == 0 || mount.unique_id > newest { Force::No } else { force };
            forced = forced.saturating_sub(1);
            if !mount.is_of(&record.export) {
                return Ok(Some(Kept::Foreign));
            }
            if !self.host.may_unmount(&mount) {
                return Ok(Some(Kept::NotOwner));
            }
            let state = match inspect(self.host.as_ref(), at, &record.export, Some(&mount)) {
                Err(MountError::Unreadable { source, .. }) if force == Force::No => {
                    return Ok(Some(Kept::Unknown(source.to_string())));
                }
                Err(MountError::Unreadable { .. }) => MountState::Hung(mount.clone()),
                state => state?,
            };
            let is_dead = matches!(state, MountState::Dead(_));
            // A dead connection can serve nobody any more, so nobody needs to be asked about it.
            if !is_dead && !asked && force < Force::Everybody {
                if share.has_set_aside(&self.state)? {
                    return Ok(Some(Kept::Unknown("a record of it was set aside".to_owned())));
                }
                if let Some(kept) = self.ask_guests(record, leaving) {
                    return Ok(Some(kept));
                }
                asked = true;
            }
            tracing::info!(export = %record.export, mount_path = %at, "unmounting");
            if self.unmount_this(share, at, &mount, UnmountMode::IfUnused)? == UnmountOutcome::Busy {
                match state {
                    MountState::Dead(_) => {}
                    MountState::Hung(_) if force == Force::No => return Ok(Some(Kept::Hung)),
                    MountState::Hung(_) => self.abort(&mount),
                    _ if force == Force::No => return Ok(Some(Kept::Busy)),
                    _ => {}
                }
                self.unmount_this(share, at, &mount, UnmountMode::Lazy)?;
            }
        }
        Ok(None)
    }

    /// Why the share has to stay for guests, if it has.
    fn ask_guests(&self, record: &ShareRecord, leaving: Option<&Leaving>) -> Option<Kept> {
        match self.guests.uses_below(std::slice::from_ref(&record.mount_path)) {
            Err(error) => Some(Kept::Unknown(error.to_string())),
            Ok(mut uses) => {
                uses.retain(|guest| leaving.is_none_or(|leaving| !leaving.is(guest, &record.export)));
                (!uses.is_empty()).then_some(Kept::Guests(uses))
            }
        }
    }
}

/// The attachment that has just gone. Its guest may still have the disk in its description: Nova disconnects the
/// volumes of a deleted instance while its domain is still defined.
#[derive(Debug, Clone)]
pub(super) struct Leaving {
    instance: InstanceId,
    volume: VolumeId,
    recorded: Option<Attachment>,
}

impl Leaving {
    fn is(&self, guest: &GuestUse, export: &Export) -> bool {
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
