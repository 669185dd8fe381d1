//! A share's record as a file, and its life: made, numbered, read, replaced whole, set aside, removed.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::error::StateError;
use crate::host::{crash, own_file};
use crate::pure::connection::Export;
use crate::pure::mount_path::MountPath;
use crate::pure::record::{Release, ShareRecord};

/// The version this program writes, and the newest it reads.
const VERSION: u64 = 2;

/// Extension of a record that is being written. A file that keeps it was left by a process that was killed.
pub(super) const TEMP_EXTENSION: &str = "tmp";

/// Extension of a record that was set aside because it cannot be understood.
pub(super) const SET_ASIDE_EXTENSION: &str = "set-aside";

impl ShareRecord {
    pub(crate) fn new(export: Export, mount_path: MountPath) -> Result<Self, StateError> {
        let boot_id = boot_id()?.to_owned();
        Ok(Self { version: VERSION, boot_id, ..Self::unrecorded(export, mount_path) })
    }

    /// Advances the generation to the nanoseconds since the boot. It is greater than the one on record, and one that
    /// the share has never had in this boot, even if its record was rolled back or removed since. The caller holds the
    /// share's lock.
    pub(crate) fn advance_generation(&mut self) {
        let up = Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default();
        let now = u64::try_from(up.as_nanos()).unwrap_or(u64::MAX);
        self.generation = now.max(self.generation.saturating_add(1));
    }
}

/// What every version of a record has.
#[derive(Deserialize)]
struct Header {
    version: u64,
    boot_id: String,
}

/// The key of the share that a file of the directory is about, whatever its extension.
pub(super) fn key(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()?.split('.').next()
}

pub(super) fn read(path: &Path) -> Result<Option<ShareRecord>, StateError> {
    let Some(bytes) = contents(path)? else { return Ok(None) };
    let malformed = |source| StateError::Malformed { path: path.to_owned(), source };
    let header: Header = serde_json::from_slice(&bytes).map_err(malformed)?;
    if header.boot_id != boot_id()? {
        return Ok(None);
    }
    if header.version > VERSION {
        return Err(StateError::NewerVersion { path: path.to_owned(), version: header.version });
    }
    let record: ShareRecord = serde_json::from_slice(&bytes).map_err(malformed)?;
    Ok(Some(if header.version < VERSION { upgraded(record) } else { record }))
}

/// A record of version 1 in the present form. What it leaves out has defaults, and is found out from the guests. It may have
/// one file of a guest twice, under two ids of its volume.
fn upgraded(record: ShareRecord) -> ShareRecord {
    let mut upgraded = ShareRecord { version: VERSION, attachments: Vec::new(), ..record.clone() };
    for attachment in record.attachments {
        let volume = attachment.volume;
        upgraded.attach(attachment, Some(volume));
    }
    upgraded
}

/// What tells a record's file from one that has replaced it: its inode, and when that was written.
pub(super) type FileVersion = (u64, i64, i64);

/// The version of a record's file; `None` where there is none.
pub(super) fn version(path: &Path) -> Option<FileVersion> {
    use std::os::unix::fs::MetadataExt;
    let file = path.metadata().ok()?;
    Some((file.ino(), file.mtime(), file.mtime_nsec()))
}

/// Whether nothing reads the file any more: it was never finished, or is of an earlier boot. The caller holds the
/// share's lock.
pub(super) fn is_leftover(path: &Path) -> Result<bool, StateError> {
    // `StateDir::records` reports a file that cannot be read; it does not stop the sweep of the others.
    let Ok(Some(bytes)) = contents(path) else { return Ok(false) };
    if path.extension().is_some_and(|extension| extension == TEMP_EXTENSION) {
        return Ok(true);
    }
    match serde_json::from_slice::<Header>(&bytes) {
        Ok(header) => Ok(header.boot_id != boot_id()?),
        Err(_) => Ok(false),
    }
}

fn contents(path: &Path) -> Result<Option<Vec<u8>>, StateError> {
    let read = || {
        let mut file = own_file::open(path, OpenOptions::new().read(true))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        io::Result::Ok(bytes)
    };
    match read() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StateError::Io { path: path.to_owned(), source }),
    }
}

pub(super) fn write(path: &Path, record: &ShareRecord) -> Result<(), StateError> {
    write_json(path, record)
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), StateError> {
    let io = |source| StateError::Io { path: path.to_owned(), source };
    let (Some(directory), Some(key)) = (path.parent(), path.file_stem()) else {
        return Err(io(io::ErrorKind::InvalidInput.into()));
    };
    let content = serde_json::to_vec(value).map_err(|error| io(error.into()))?;
    let mut prefix = key.to_owned();
    prefix.push(".");
    let suffix = format!(".{TEMP_EXTENSION}");
    let create = |path: &Path| own_file::make(path, OpenOptions::new().write(true).create_new(true));
    // The library's own ways to open and to write a file hide the error's number.
    let mut file =
        tempfile::Builder::new().prefix(&prefix).suffix(&suffix).make_in(directory, create).map_err(io)?;
    crash::point("an empty record is beside the old one");
    file.as_file_mut().write_all(&content).map_err(io)?;
    crash::point("the record is written beside the old one");
    file.persist(path).map_err(|error| io(error.error))?;
    crash::point("the record is in place");
    Ok(())
}

/// What guests have released of a share that has no record, as a file.
#[derive(Serialize, Deserialize)]
pub(super) struct KeptReleases {
    boot_id: String,
    pub(super) mount_path: MountPath,
    pub(super) releases: Vec<Release>,
}

/// What is kept in the file; nothing for one that is not there, of an earlier boot, or not understood: then what a guest's
/// description names counts.
pub(super) fn read_releases(path: &Path) -> Result<Option<KeptReleases>, StateError> {
    let Some(bytes) = contents(path)? else { return Ok(None) };
    let boot_id = boot_id()?;
    let kept: Option<KeptReleases> = serde_json::from_slice(&bytes).ok();
    Ok(kept.filter(|kept| kept.boot_id == boot_id))
}

pub(super) fn write_releases(path: &Path, at: &MountPath, releases: &[Release]) -> Result<(), StateError> {
    let kept =
        KeptReleases { boot_id: boot_id()?.to_owned(), mount_path: at.clone(), releases: releases.to_vec() };
    write_json(path, &kept)
}

#[expect(clippy::disallowed_methods, reason = "what is kept beside records is removed here alone")]
pub(super) fn remove_releases(path: &Path) -> Result<(), StateError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(StateError::Io { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Renames a record that cannot be understood, so that it is kept and no longer read as the share's record.
#[expect(clippy::disallowed_methods, reason = "records are moved here alone")]
pub(super) fn set_aside(path: &Path) -> Result<PathBuf, StateError> {
    let free = (1..).map(|number: u32| path.with_extension(format!("{number}.{SET_ASIDE_EXTENSION}")));
    let mut free = free.skip_while(|aside| aside.exists());
    let aside = free.next().unwrap_or_else(|| path.with_extension(SET_ASIDE_EXTENSION));
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
