//! The state directory: made and checked, and its records listed.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::error::StateError;
use super::ownership;
use super::record_file::{self, FileVersion};
use crate::host::directory;
use crate::pure::connection::Export;
use crate::pure::mount_path::MountPath;
use crate::pure::record::ShareRecord;

/// The directory that holds records and locks.
#[derive(Debug, Clone)]
pub struct StateDir {
    pub(super) path: PathBuf,
    /// Which export each record is of, so that a caller who lives long reads few.
    exports: Arc<Mutex<HashMap<RecordFile, Export>>>,
}

/// A record's file as it was read; one that replaces it is another.
type RecordFile = (PathBuf, FileVersion);

impl StateDir {
    /// Opens the state directory at `path`. It is made if its parent lets this user make it.
    ///
    /// # Errors
    /// [`StateError::Unavailable`] when there is no such directory; when it belongs to another user, whose mounts and
    /// locks are not ours to touch; or when others may write in it or hold its locks.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let state = Self { path: path.to_owned(), exports: Arc::default() };
        state.make()?;
        Ok(state)
    }

    /// Makes the directory and its parts, as far as they are missing: somebody may remove them while this process runs.
    pub(super) fn make(&self) -> Result<(), StateError> {
        let path = &self.path;
        make_directory(path).map_err(|source| ownership::cannot_be_used(path, source))?;
        ownership::check_directory(path)?;
        for part in ["shares", "locks", RELEASES] {
            let part = path.join(part);
            make_directory(&part).map_err(|source| ownership::cannot_be_used(&part, source))?;
            ownership::check_part(&part)?;
        }
        ownership::check_part(&path.join(LAUNCH))?;
        Ok(())
    }

    /// The mount paths of shares for which releases are kept, be there a record or not.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub(crate) fn released(&self) -> Result<Vec<MountPath>, StateError> {
        let files = self.list(RELEASES, "json")?;
        let known = files.iter().filter_map(|path| record_file::read_releases(path).ok().flatten());
        Ok(known.map(|known| known.mount_path).collect())
    }

    /// Where requests to start a client are left. It need not be there.
    pub(crate) fn launch_directory(&self) -> PathBuf {
        self.path.join(LAUNCH)
    }

    /// Every share's record, or why it cannot be used, in no order. A snapshot: nothing is held.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn records(&self) -> Result<Vec<Result<ShareRecord, StateError>>, StateError> {
        let records = self.files_with_extension("json")?;
        Ok(records.iter().filter_map(|path| record_file::read(path).transpose()).collect())
    }

    /// The usable records of an export, but for the one with key `own`. A snapshot: nothing is held.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub(crate) fn records_of(
        &self,
        export: &Export,
        own: Option<&str>,
    ) -> Result<Vec<ShareRecord>, StateError> {
        let mut others = self.files_with_extension("json")?;
        others.retain(|path| record_file::key(path) != own);
        let mut known = self.exports.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        let mut current = HashMap::new();
        for path in others {
            // Gone since it was listed.
            let Some(version) = record_file::version(&path) else { continue };
            let file = (path, version);
            let known = known.remove(&file);
            if known.as_ref().is_some_and(|known| known != export) {
                current.extend(known.map(|known| (file, known)));
            } else if let Ok(Some(record)) = record_file::read(&file.0) {
                current.insert(file, record.export.clone());
                found.extend(Some(record).filter(|record| record.export == *export));
            }
        }
        *known = current;
        Ok(found)
    }

    /// Records that were set aside because they could not be understood.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub(crate) fn set_aside(&self) -> Result<Vec<PathBuf>, StateError> {
        self.files_with_extension(record_file::SET_ASIDE_EXTENSION)
    }

    /// Removes records that a killed process left unfinished and those of an earlier boot, or only counts them. It
    /// skips the files of a locked share: an operation is writing them.
    ///
    /// # Errors
    /// When the directory cannot be listed or a file not removed.
    pub(crate) fn sweep(&self, dry_run: bool) -> Result<usize, StateError> {
        let mut swept = 0;
        for path in
            [self.files_with_extension(record_file::TEMP_EXTENSION)?, self.files_with_extension("json")?]
                .concat()
        {
            let Some(_lock) = self.try_lock(&path)? else { continue };
            if record_file::is_leftover(&path)? {
                swept += 1;
                if !dry_run {
                    record_file::remove(&path)?;
                }
            }
        }
        Ok(swept)
    }

    /// The files in `shares` with that extension. A record that is being written has another one until it is complete.
    fn files_with_extension(&self, extension: &str) -> Result<Vec<PathBuf>, StateError> {
        self.list("shares", extension)
    }

    /// The files in that part of the directory with that extension.
    fn list(&self, part: &str, extension: &str) -> Result<Vec<PathBuf>, StateError> {
        let directory = self.path.join(part);
        match list(&directory, extension) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make()?;
                list(&directory, extension)
            }
            files => files,
        }
        .map_err(|source| StateError::Io { path: directory, source })
    }
}

/// The files in the directory at `path` with that extension.
fn list(path: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in path.read_dir()? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    Ok(files)
}

/// The usable records in the state directory at `path`, for whoever must go on whatever is wrong with it: nothing is made,
/// and nothing refused but files of other users. A directory that is gone has none.
///
/// # Errors
/// When it cannot be listed.
pub(crate) fn usable_records(path: &Path) -> io::Result<Vec<ShareRecord>> {
    let files = match list(&path.join("shares"), "json") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        files => files?,
    };
    Ok(files.iter().filter_map(|path| record_file::read(path).ok().flatten()).collect())
}

/// The directory for requests to units.
const LAUNCH: &str = "launch";

/// The directory for what guests have released of shares that have no record.
pub(super) const RELEASES: &str = "released";

/// Makes a directory for this user alone, unless something is there.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    directory::make(path, 0o700).map(drop)
}
