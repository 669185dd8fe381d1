//! connect: mount where needed, check the image, record the attachment.

use std::path::PathBuf;

use super::{Driver, Error};
use crate::attachments::{Attachment, LockedShare, ShareRecord};
use crate::connection::{ConnectionInfo, InstanceId};
use crate::image;
use crate::io_policy::{HostFacts, IoPolicy};
use crate::mount::{Mount, MountError, MountPath, MountState, Unmounted, inspect};

/// A connected volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// Where the share is mounted.
    pub mount_path: MountPath,
    /// The share's mount.
    pub mount: Mount,
    /// The image on it.
    pub device_path: PathBuf,
    /// How QEMU is to read and write it.
    pub policy: IoPolicy,
    /// Whether this call mounted the share.
    pub mounted: bool,
    /// Whether the guest had no attachment of the volume before.
    pub attached: bool,
    /// Whether this call changed anything; `false` when the volume was connected just so already.
    pub changed: bool,
}

/// What a connect has brought into being so far, in the order it happened.
#[derive(Default)]
struct Begun {
    record_written: bool,
    directories: Vec<PathBuf>,
    client_started: bool,
}

impl Driver {
    /// Connects a volume for a guest: afterwards its share is mounted and answers, the image is a regular file on it,
    /// and a record keeps the share mounted until the guest's last volume on it is disconnected. Connecting what is
    /// connected changes nothing.
    ///
    /// # Errors
    /// The first thing that is not as it should be. Nothing this call made is left: no mount, directory or record.
    pub fn connect(
        &self,
        info: &ConnectionInfo,
        instance: InstanceId,
        facts: &HostFacts,
    ) -> Result<Connected, Error> {
        let policy = IoPolicy::decide(info, facts, &self.config.io)?;
        let at = self.mount_path(&info.export);
        let share = self.state.lock(&at, self.lock_deadline())?;
        let before = share.load()?;
        let mut begun = Begun::default();
        match self.establish(&share, &at, info, instance, before.as_ref(), &mut begun) {
            Ok((record, mount)) => Ok(Connected {
                device_path: at.image(&info.name),
                mount_path: at,
                policy,
                mounted: begun.client_started,
                attached: !before.iter().any(|before| before.has(instance, info.volume_id)),
                changed: before.as_ref() != Some(&record),
                mount,
            }),
            Err(cause) => Err(cause.leaving(self.undo(&share, &at, before, begun))),
        }
    }

    /// Returns the share's record as it is now, and its mount.
    fn establish(
        &self,
        share: &LockedShare,
        at: &MountPath,
        info: &ConnectionInfo,
        instance: InstanceId,
        before: Option<&ShareRecord>,
        begun: &mut Begun,
    ) -> Result<(ShareRecord, Mount), Error> {
        let mut record = match before {
            Some(record) => record.clone(),
            None => ShareRecord::new(info.export.clone(), at.clone())?,
        };
        let state = inspect(self.host.as_ref(), at, &info.export, record.mount.as_ref())?;
        let mount = match state {
            MountState::Absent => self.mount(share, at, &mut record, begun)?,
            state => healthy(state, at, &record)?,
        };
        image::check(self.host.as_ref(), at, &info.name, &mount)?;
        record.mount = Some(mount.clone());
        let attachment = Attachment {
            instance,
            volume: info.volume_id,
            name: info.name.clone(),
            format: info.format,
        };
        if !record.attachments.contains(&attachment) {
            record.attach(attachment);
        }
        if before != Some(&record) {
            begun.record_written = true;
            share.store(&record)?;
        }
        Ok((record, mount))
    }

    /// Mounts the record's export. The client's word is not enough: the mount table is asked again afterwards.
    fn mount(
        &self,
        share: &LockedShare,
        at: &MountPath,
        record: &mut ShareRecord,
        begun: &mut Begun,
    ) -> Result<Mount, Error> {
        record.mount = None;
        begun.record_written = true;
        share.store(record)?;
        begun.directories = self
            .host
            .make_mount_point(at)
            .map_err(|source| MountError::MountPoint {
                at: at.clone(),
                source,
            })?;
        begun.client_started = true;
        tracing::info!(export = %record.export, mount_path = %at, "mounting");
        let said = self.host.mount(&record.export, at);
        match (inspect(self.host.as_ref(), at, &record.export, None)?, said) {
            (MountState::Absent, Err(error)) => Err(MountError::Client(error).into()),
            (MountState::Absent, Ok(())) => Err(MountError::NothingMounted {
                at: at.clone(),
                export: record.export.clone(),
            }
            .into()),
            (state, said) => {
                let mount = healthy(state, at, record)?;
                if let Err(error) = said {
                    tracing::warn!(mount_path = %at, %error, "mounted, although the client says otherwise");
                }
                Ok(mount)
            }
        }
    }

    /// Takes back what a failed connect had begun, last thing first, and returns what could not be taken back.
    fn undo(
        &self,
        share: &LockedShare,
        at: &MountPath,
        before: Option<ShareRecord>,
        begun: Begun,
    ) -> Vec<Error> {
        let mut left = Vec::new();
        if begun.client_started
            && let Err(error) = self.unmount_begun(at)
        {
            // The record and the directories belong to a mount that is still there.
            return vec![error.into()];
        }
        for directory in begun.directories.iter().rev() {
            if let Err(source) = self.host.remove_directory(directory) {
                left.push(
                    MountError::MountPoint {
                        at: at.clone(),
                        source,
                    }
                    .into(),
                );
            }
        }
        if begun.record_written {
            let restored = match before {
                Some(before) => share.store(&before),
                None => share.remove(),
            };
            left.extend(restored.err().map(Error::from));
        }
        left
    }

    /// Unmounts whatever the client this call started has mounted. Before, nothing was mounted there.
    fn unmount_begun(&self, at: &MountPath) -> Result<(), MountError> {
        let table = |source| MountError::Table {
            at: at.clone(),
            source,
        };
        let failed = |source| MountError::Unmount {
            at: at.clone(),
            source,
        };
        if self.host.top_mount(at, None).map_err(table)?.is_none() {
            return Ok(());
        }
        match self.host.unmount(at).map_err(failed)? {
            Unmounted::Done => Ok(()),
            Unmounted::Busy => Err(failed(std::io::ErrorKind::ResourceBusy.into())),
        }
    }
}

/// The mount, if it is the one wanted and alive.
fn healthy(state: MountState, at: &MountPath, record: &ShareRecord) -> Result<Mount, MountError> {
    let at = at.clone();
    let export = record.export.clone();
    Err(match state {
        MountState::Healthy(mount) => return Ok(mount),
        MountState::Absent => MountError::NothingMounted { at, export },
        MountState::Stale(_) => MountError::Stale { at, export },
        MountState::WrongVolume(found) => MountError::WrongVolume {
            at,
            found: Box::new(found),
            wanted: export,
        },
        MountState::Foreign(found) => MountError::Foreign {
            at,
            found: Box::new(found),
        },
    })
}
