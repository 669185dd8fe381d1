//! Who uses which share: durable records, and the lock that goes with each.
//!
//! ```text
//! <state_dir>/shares/<key>.json   one share: its export, its mount, its attachments
//! <state_dir>/locks/<key>.lock    held while anything about that share changes
//! <state_dir>/locks/<key>.probe   held while that share's client is being asked
//! <state_dir>/launch/             what is asked of the units that clients run in
//! ```
//!
//! Mounts do not outlive a reboot, so records need not either: the directory belongs on a tmpfs, and nothing is
//! synced. A record is replaced whole (written beside, then renamed), so a process killed at any point leaves the old
//! one or the new one. A share's record is in place before its mount is made and goes after its mount is gone.

mod error;
mod lock;
mod ownership;
mod record_file;

use std::collections::HashMap;
use std::fs::{File, Permissions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use self::error::StateError;
pub use self::lock::LockedShare;
use self::record_file::FileVersion;
use rustix::fs::{Access, access};

use crate::host::deadline::Deadline;
use crate::host::flock;
use crate::pure::connection::{Export, InstanceId};
use crate::pure::disk::TargetDev;
use crate::pure::mount_path::{MountPath, md5_hex};
use crate::pure::record::ShareRecord;

/// The directory that holds records and locks.
#[derive(Debug, Clone)]
pub struct StateDir {
    path: PathBuf,
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
    fn make(&self) -> Result<(), StateError> {
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

    /// Opens a lock file.
    fn open_lock(&self, path: &Path) -> Result<File, StateError> {
        let mut lock = flock::open(path);
        if lock.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            self.make()?;
            lock = flock::open(path);
        }
        lock.map_err(|source| StateError::Io { path: path.to_owned(), source })
    }

    /// Waits until no other process or thread holds the share at `at`, then holds it.
    ///
    /// # Errors
    /// [`StateError::Locked`] at the deadline, [`StateError::Io`] when the lock file cannot be used.
    pub(crate) fn lock(&self, at: &MountPath, deadline: Deadline) -> Result<LockedShare, StateError> {
        let key = at.key();
        let lock = self.path.join("locks").join(format!("{key}.lock"));
        let files = ["shares", RELEASES].map(|part| self.path.join(part).join(format!("{key}.json")));
        LockedShare::acquire(&lock, || self.open_lock(&lock), files, at, deadline)
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

    /// Waits until no other process or thread grants files of the export, whatever its mount path, then keeps others from
    /// it until the value is dropped. Whoever holds a share may wait for it, and for no share while it is held.
    ///
    /// # Errors
    /// As [`StateDir::lock`].
    pub(crate) fn lock_grants(
        &self,
        export: &Export,
        at: &MountPath,
        deadline: Deadline,
    ) -> Result<File, StateError> {
        let name = format!("{}.export", md5_hex(export.as_str().as_bytes()));
        self.lock_file(&name, at.to_string(), deadline)
    }

    /// Waits until no other process or thread detaches the disk of that name from the guest, then keeps others from it
    /// until the value is dropped. Whoever holds it may wait for a share.
    ///
    /// # Errors
    /// As [`StateDir::lock`].
    pub(crate) fn lock_disk(
        &self,
        instance: InstanceId,
        target: &TargetDev,
        deadline: Deadline,
    ) -> Result<File, StateError> {
        let what = format!("disk {target} of instance {instance}");
        self.lock_file(&format!("{instance}-{target}.disk"), what, deadline)
    }

    fn lock_file(&self, name: &str, what: String, deadline: Deadline) -> Result<File, StateError> {
        let path = self.path.join("locks").join(name);
        let file = self.open_lock(&path)?;
        let acquired = flock::acquire(&file, deadline).map(|acquired| acquired.then_some(file));
        acquired.map_err(|source| StateError::Io { path, source })?.ok_or(StateError::Locked { what })
    }

    /// The lock that is held while the share's client is being asked.
    pub(crate) fn probe_lock(&self, at: &MountPath) -> PathBuf {
        self.path.join("locks").join(format!("{}.probe", at.key()))
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

    /// The usable records of an export at other mount paths than `at`. A snapshot: nothing is held.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub(crate) fn records_of(&self, export: &Export, at: &MountPath) -> Result<Vec<ShareRecord>, StateError> {
        let own = at.key();
        let mut others = self.files_with_extension("json")?;
        others.retain(|path| record_file::key(path) != Some(&own));
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

    /// Whether a record of that share has been set aside, so that it is not known who uses the share.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub(crate) fn has_set_aside(&self, share: &LockedShare) -> Result<bool, StateError> {
        Ok(self.set_aside()?.iter().any(|aside| record_file::key(aside) == share.key()))
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

    /// Locks the share that the file at `path` belongs to; `None` where another operation has the lock.
    fn try_lock(&self, path: &Path) -> Result<Option<File>, StateError> {
        let key = record_file::key(path).unwrap_or_default();
        let lock = self.path.join("locks").join(format!("{key}.lock"));
        let file = self.open_lock(&lock)?;
        let locked = flock::acquire(&file, Deadline::after(Duration::ZERO)).map(|free| free.then_some(file));
        locked.map_err(|source| StateError::Io { path: lock, source })
    }

    /// The files in `shares` with that extension. A record that is being written has another one until it is complete.
    fn files_with_extension(&self, extension: &str) -> Result<Vec<PathBuf>, StateError> {
        self.list("shares", extension)
    }

    /// The files in that part of the directory with that extension.
    fn list(&self, part: &str, extension: &str) -> Result<Vec<PathBuf>, StateError> {
        let directory = self.path.join(part);
        let mut entries = directory.read_dir();
        if entries.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            self.make()?;
            entries = directory.read_dir();
        }
        let io = |source| StateError::Io { path: directory.clone(), source };
        let mut files = Vec::new();
        for entry in entries.map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.extension().is_some_and(|found| found == extension) {
                files.push(path);
            }
        }
        Ok(files)
    }
}

/// The directory for requests to units.
const LAUNCH: &str = "launch";

/// The directory for what guests have released of shares that have no record.
const RELEASES: &str = "released";

/// Makes a directory for this user alone, unless it is there. The umask has no say in it.
#[expect(clippy::disallowed_methods, reason = "the state directory and its parts are made here alone")]
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // Another process may be about to do the same to what it has just made. What is not this user's own stays so.
    if access(path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let _ = std::fs::set_permissions(path, Permissions::from_mode(0o700));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
