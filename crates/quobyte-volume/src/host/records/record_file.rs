//! A share's record as a file, and its life: made, numbered, read, replaced whole, set aside, removed.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;

use super::StateError;
use crate::host::crash;
use crate::pure::connection::Export;
use crate::pure::mount_path::MountPath;
use crate::pure::record::ShareRecord;

/// The version this program writes, and the newest it reads.
const VERSION: u64 = 1;

/// Ending of a record that is being written; one that stays was left by a process that was killed.
pub(super) const UNFINISHED: &str = "tmp";

/// Ending of a record that cannot be understood.
pub(super) const SET_ASIDE: &str = "set-aside";

impl ShareRecord {
    pub(crate) fn new(export: Export, mount_path: MountPath) -> Result<Self, StateError> {
        Ok(Self {
            version: VERSION,
            boot_id: boot_id()?.to_owned(),
            export,
            mount_path,
            mount: None,
            probe: None,
            warned: Vec::new(),
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
