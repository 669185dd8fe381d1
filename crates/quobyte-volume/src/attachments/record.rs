//! A share's record, as it is kept.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::StateError;
use crate::connection::{Export, ImageFormat, ImageName, InstanceId, VolumeId};
use crate::crash;
use crate::image::Layer;
use crate::io_policy::Probe;
use crate::mount_path::MountPath;
use crate::mount_table::Mount;

/// The version this program writes, and the newest it reads.
const VERSION: u64 = 1;

/// Ending of a record that is being written; one that stays was left by a process that was killed.
pub(super) const UNFINISHED: &str = "tmp";

/// Ending of a record that cannot be understood.
pub(super) const SET_ASIDE: &str = "set-aside";

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
    /// What a probe of that mount has seen, once there was one.
    #[serde(default)]
    pub probe: Option<Probe>,
    /// The rows of the I/O policy whose cost an operator has been told of, for that mount.
    #[serde(default)]
    pub told: Vec<String>,
    /// Which of its mounts this is about, later ones having greater numbers; see [`ShareRecord::begin_generation`].
    pub generation: u64,
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
    /// The image's layers as they were looked at; empty where another driver attached it.
    #[serde(default)]
    pub chain: Vec<Layer>,
    /// The share's generation when the guest was last connected. Files opened on an earlier one are on a
    /// mount that is gone.
    pub generation: u64,
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
            boot_id: boot_id()?.to_owned(),
            export,
            mount_path,
            mount: None,
            probe: None,
            told: Vec::new(),
            generation: 0,
            attachments: Vec::new(),
        })
    }

    /// Begins a generation: the nanoseconds since the boot. It is greater than the one on record, and one that the
    /// share has never had in this boot, also if its record was taken back or removed since. For who holds the share.
    pub(crate) fn begin_generation(&mut self) {
        let up = Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default();
        let now = u64::try_from(up.as_nanos()).unwrap_or(u64::MAX);
        self.generation = now.max(self.generation.saturating_add(1));
    }

    /// Puts on record what is mounted. What was known of an earlier mount is not known of this one.
    pub(crate) fn mounted(&mut self, mount: Mount) {
        if !self.is_about(&mount) {
            self.probe = None;
            self.told.clear();
        }
        self.mount = Some(mount);
    }

    /// Whether it was written about this very mount.
    pub(crate) fn is_about(&self, mount: &Mount) -> bool {
        self.mount.as_ref().is_some_and(|known| known.is_same(mount))
    }

    /// Whether that volume is attached to that guest.
    pub(crate) fn has(&self, instance: InstanceId, volume: VolumeId) -> bool {
        self.attachments.iter().any(|attachment| attachment.is(instance, volume))
    }

    /// Adds an attachment, or brings the one of that volume to that guest up to date in its place.
    pub(crate) fn attach(&mut self, attachment: Attachment) {
        let same = |other: &&mut Attachment| other.is(attachment.instance, attachment.volume);
        match self.attachments.iter_mut().find(same) {
            Some(present) => *present = attachment,
            None => self.attachments.push(attachment),
        }
    }

    /// Removes an attachment, and returns it if it was there.
    pub(crate) fn detach(&mut self, instance: InstanceId, volume: VolumeId) -> Option<Attachment> {
        let place = self.attachments.iter().position(|attachment| attachment.is(instance, volume))?;
        Some(self.attachments.remove(place))
    }

    /// The attachments whose files were opened on a mount that has been replaced since.
    #[must_use]
    pub fn lost(&self) -> Vec<Attachment> {
        self.attachments
            .iter()
            .filter(|attachment| attachment.generation < self.generation)
            .cloned()
            .collect()
    }
}

/// What every version of a record has.
#[derive(Deserialize)]
struct Header {
    version: u64,
    boot_id: String,
}

/// The key of the share that a file of the directory is about, whatever its ending.
pub(super) fn key(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()?.split('.').next()
}

pub(super) fn read(path: &Path) -> Result<Option<ShareRecord>, StateError> {
    let Some(bytes) = contents(path)? else { return Ok(None) };
    let unreadable = |source| StateError::Unreadable { path: path.to_owned(), source };
    let header: Header = serde_json::from_slice(&bytes).map_err(unreadable)?;
    if header.boot_id != boot_id()? {
        return Ok(None);
    }
    if header.version > VERSION {
        return Err(StateError::Newer { path: path.to_owned(), version: header.version });
    }
    serde_json::from_slice(&bytes).map(Some).map_err(unreadable)
}

/// Whether nothing reads the file any more: it was never finished, or is of an earlier boot. Only for who holds its
/// share.
pub(super) fn is_leftover(path: &Path) -> Result<bool, StateError> {
    // One that cannot be read is told among the records, and hinders no other.
    let Ok(Some(bytes)) = contents(path) else { return Ok(false) };
    if path.extension().is_some_and(|ending| ending == UNFINISHED) {
        return Ok(true);
    }
    match serde_json::from_slice::<Header>(&bytes) {
        Ok(header) => Ok(header.boot_id != boot_id()?),
        Err(_) => Ok(false),
    }
}

fn contents(path: &Path) -> Result<Option<Vec<u8>>, StateError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StateError::Io { path: path.to_owned(), source }),
    }
}

pub(super) fn write(path: &Path, record: &ShareRecord) -> Result<(), StateError> {
    let io = |source| StateError::Io { path: path.to_owned(), source };
    let (Some(directory), Some(key)) = (path.parent(), path.file_stem()) else {
        return Err(io(io::ErrorKind::InvalidInput.into()));
    };
    let content = serde_json::to_vec(record).map_err(|error| io(error.into()))?;
    let mut prefix = key.to_owned();
    prefix.push(".");
    let suffix = format!(".{UNFINISHED}");
    let mut file =
        tempfile::Builder::new().prefix(&prefix).suffix(&suffix).tempfile_in(directory).map_err(io)?;
    crash::point("an empty record is beside the old one");
    file.write_all(&content).map_err(io)?;
    crash::point("the record is written beside the old one");
    file.persist(path).map_err(|error| io(error.error))?;
    crash::point("the record is in place");
    Ok(())
}

/// Puts a record that cannot be understood where it hinders nobody, without losing it.
#[expect(clippy::disallowed_methods, reason = "records are moved here alone")]
pub(super) fn set_aside(path: &Path) -> Result<PathBuf, StateError> {
    let free = (1..).map(|number: u32| path.with_extension(format!("{number}.{SET_ASIDE}")));
    let mut free = free.skip_while(|aside| aside.exists());
    let aside = free.next().unwrap_or_else(|| path.with_extension(SET_ASIDE));
    std::fs::rename(path, &aside).map_err(|source| StateError::Io { path: path.to_owned(), source })?;
    Ok(aside)
}

#[expect(clippy::disallowed_methods, reason = "records are removed here alone")]
pub(super) fn remove(path: &Path) -> Result<(), StateError> {
    crash::point("the record is about to go");
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(StateError::Io { path: path.to_owned(), source })
        }
        _ => {
            crash::point("the record is gone");
            Ok(())
        }
    }
}

/// Which boot this is. No process sees another one.
fn boot_id() -> Result<&'static str, StateError> {
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    if let Some(id) = BOOT_ID.get() {
        return Ok(id);
    }
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    let id =
        std::fs::read_to_string(path).map_err(|source| StateError::Io { path: path.to_owned(), source })?;
    Ok(BOOT_ID.get_or_init(|| id.trim().to_owned()))
}
