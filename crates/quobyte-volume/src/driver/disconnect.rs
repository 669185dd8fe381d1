//! disconnect: remove the record, and unmount once nobody is left.

use super::{Driver, Error};
use crate::attachments::{Attachment, LockedShare, ShareRecord};
use crate::connection::{ImageName, InstanceId, VolumeId};
use crate::mount::{Mount, MountError, MountPath, Unmounted};

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
    /// The kernel says that files are open on it or something is mounted below it.
    Busy,
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
            Self::Busy => "busy",
            Self::NotOwner => "not_owner",
            Self::Foreign => "foreign",
            Self::NotRecorded => "not_recorded",
        }
    }
}

impl Driver {
    /// Disconnects a volume from a guest, and unmounts its share when no attachment is left and the kernel agrees.
    /// Disconnecting what is not connected succeeds.
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
    ) -> Result<Disconnected, Error> {
        let mount_path = self.recorded_place(at, volume, instance)?;
        let share = self.state.lock(&mount_path, self.lock_deadline())?;
        let (changed, kept) = match share.load()? {
            None => (
                false,
                self.top_mount(&mount_path, None)?.map(|_| Kept::NotRecorded),
            ),
            Some(mut record) => {
                let changed = record.detach(instance, volume);
                if changed {
                    share.store(&record)?;
                }
                (changed, self.release(&share, record)?)
            }
        };
        Ok(Disconnected {
            mount_path,
            changed,
            kept,
        })
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
    ) -> Result<Disconnected, Error> {
        let recorded = self
            .state
            .records()?
            .into_iter()
            .flatten()
            .filter(|record| record.mount_path == *at)
            .flat_map(|record| record.attachments)
            .find(|attachment| attachment.instance == instance && attachment.name == *name);
        match recorded.map(|attachment| attachment.volume).or(stated) {
            Some(volume) => self.disconnect(at, volume, instance),
            None => {
                let kept = self.top_mount(at, None)?.map(|_| Kept::NotRecorded);
                Ok(Disconnected {
                    mount_path: at.clone(),
                    changed: false,
                    kept,
                })
            }
        }
    }

    /// The place where records say the volume is connected, else `at`.
    fn recorded_place(
        &self,
        at: &MountPath,
        volume: VolumeId,
        instance: InstanceId,
    ) -> Result<MountPath, Error> {
        let mut elsewhere = None;
        for record in self.state.records()?.into_iter().flatten() {
            if record
                .attachments
                .iter()
                .any(|attachment| attachment.is(instance, volume))
            {
                if record.mount_path == *at {
                    return Ok(record.mount_path);
                }
                elsewhere = Some(record.mount_path);
            }
        }
        Ok(elsewhere.unwrap_or_else(|| at.clone()))
    }

    /// Takes a share down if nobody uses it: the mount, then its directory, then its record.
    fn release(&self, share: &LockedShare, record: ShareRecord) -> Result<Option<Kept>, Error> {
        if !record.attachments.is_empty() {
            return Ok(Some(Kept::Attachments(record.attachments)));
        }
        let kept = self.unmount(&record)?;
        match kept {
            // Ours to take down later: the record stays.
            Some(Kept::Busy) => return Ok(kept),
            Some(_) => {}
            None => {
                if let Err(error) = self.host.remove_directory(record.mount_path.as_path()) {
                    tracing::warn!(mount_path = %record.mount_path, %error, "the mount directory stays");
                }
            }
        }
        share.remove()?;
        Ok(kept)
    }

    /// Unmounts the record's export as often as it is mounted there.
    fn unmount(&self, record: &ShareRecord) -> Result<Option<Kept>, Error> {
        let at = &record.mount_path;
        let failed = |source| MountError::Unmount {
            at: at.clone(),
            source,
        };
        let mut known = record.mount.clone();
        while let Some(mount) = self.top_mount(at, known.take().as_ref())? {
            if !mount.is_quobyte() || mount.source != record.export.mount_source() {
                return Ok(Some(Kept::Foreign));
            }
            if !self.host.may_unmount(&mount) {
                return Ok(Some(Kept::NotOwner));
            }
            tracing::info!(export = %record.export, mount_path = %at, "unmounting");
            if self.host.unmount(at).map_err(failed)? == Unmounted::Busy {
                return Ok(Some(Kept::Busy));
            }
        }
        Ok(None)
    }

    fn top_mount(&self, at: &MountPath, known: Option<&Mount>) -> Result<Option<Mount>, Error> {
        Ok(self
            .host
            .top_mount(at, known)
            .map_err(|source| MountError::Table {
                at: at.clone(),
                source,
            })?)
    }
}
