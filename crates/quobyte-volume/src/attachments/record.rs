//! A share's record, as it is kept.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::StateError;
use crate::connection::{Export, ImageFormat, ImageName, InstanceId, VolumeId};
use crate::mount::{Mount, MountPath};

/// The version this program writes, and the newest it reads.
const VERSION: u64 = 1;

/// One share: what was mounted where, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareRecord {
    version: u64,
    /// Which boot of the machine this is about; mounts do not outlive one.
    boot_id: String,
    /// What is mounted.
    pub export: Export,
    /// Where it is mounted.
    pub mount_path: MountPath,
    /// The mount as the kernel showed it once it was made; `None` while it is being made.
    pub mount: Option<Mount>,
    /// Who uses it.
    pub attachments: Vec<Attachment>,
}

/// One volume attached to one guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The guest.
    pub instance: InstanceId,
    /// The volume.
    pub volume: VolumeId,
    /// The volume's file when it was connected.
    pub name: ImageName,
    /// The file's declared format.
    pub format: ImageFormat,
}

impl Attachment {
    /// Whether this is the attachment of that volume to that guest, whatever file it is in.
    #[must_use]
    pub fn is(&self, instance: InstanceId, volume: VolumeId) -> bool {
        self.instance == instance && self.volume == volume
    }
}

impl ShareRecord {
    pub(crate) fn new(export: Export, mount_path: MountPath) -> Result<Self, StateError> {
        Ok(Self {
            version: VERSION,
            boot_id: boot_id()?,
            export,
            mount_path,
            mount: None,
            attachments: Vec::new(),
        })
    }

    /// Whether that volume is attached to that guest.
    pub(crate) fn has(&self, instance: InstanceId, volume: VolumeId) -> bool {
        self.attachments
            .iter()
            .any(|attachment| attachment.is(instance, volume))
    }

    /// Adds an attachment, or brings the one of that volume to that guest up to date.
    pub(crate) fn attach(&mut self, attachment: Attachment) {
        self.detach(attachment.instance, attachment.volume);
        self.attachments.push(attachment);
    }

    /// Removes an attachment, and says whether it was there.
    pub(crate) fn detach(&mut self, instance: InstanceId, volume: VolumeId) -> bool {
        let before = self.attachments.len();
        self.attachments
            .retain(|attachment| !attachment.is(instance, volume));
        self.attachments.len() < before
    }
}

/// What every version of a record has.
#[derive(Deserialize)]
struct Header {
    version: u64,
    boot_id: String,
}

pub(super) fn read(path: &Path) -> Result<Option<ShareRecord>, StateError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(StateError::Io {
                path: path.to_owned(),
                source,
            });
        }
    };
    let unreadable = |source| StateError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let header: Header = serde_json::from_slice(&bytes).map_err(unreadable)?;
    if header.boot_id != boot_id()? {
        return Ok(None);
    }
    if header.version > VERSION {
        return Err(StateError::Newer {
            path: path.to_owned(),
            version: header.version,
        });
    }
    serde_json::from_slice(&bytes).map(Some).map_err(unreadable)
}

pub(super) fn write(path: &Path, record: &ShareRecord) -> Result<(), StateError> {
    let io = |source| StateError::Io {
        path: path.to_owned(),
        source,
    };
    let directory = path
        .parent()
        .ok_or_else(|| io(io::ErrorKind::InvalidInput.into()))?;
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(io)?;
    serde_json::to_writer(&mut file, record).map_err(|error| io(error.into()))?;
    file.persist(path).map_err(|error| io(error.error))?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "records are removed here alone")]
pub(super) fn remove(path: &Path) -> Result<(), StateError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StateError::Io {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

fn boot_id() -> Result<String, StateError> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    let id = std::fs::read_to_string(path).map_err(|source| StateError::Io {
        path: path.to_owned(),
        source,
    })?;
    Ok(id.trim().to_owned())
}
