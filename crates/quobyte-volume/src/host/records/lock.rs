//! The locks of a state directory, one holder at a time across threads and processes, and a share that is held.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::error::StateError;
use super::record_file;
use super::state_dir::{RELEASES, StateDir};
use crate::host::crash;
use crate::host::deadline::Deadline;
use crate::host::flock;
use crate::pure::connection::{Export, InstanceId};
use crate::pure::disk::TargetDev;
use crate::pure::mount_path::{MountPath, md5_hex};
use crate::pure::record::{Release, ShareRecord};

/// A share that nobody else changes while this value lives, and the only way to its record's file.
#[derive(Debug)]
pub struct LockedShare {
    lock_file: File,
    lock_path: PathBuf,
    record_file: PathBuf,
    releases_file: PathBuf,
}

impl StateDir {
    /// Waits until no other process or thread holds the share at `at`, then holds it.
    ///
    /// # Errors
    /// [`StateError::Locked`] at the deadline, [`StateError::Io`] when the lock file cannot be used.
    pub(crate) fn lock(&self, at: &MountPath, deadline: Deadline) -> Result<LockedShare, StateError> {
        self.lock_resolved(at, &at.resolved(), deadline)
    }

    /// The same of a mount point that is resolved already.
    ///
    /// # Errors
    /// As [`StateDir::lock`].
    pub(crate) fn lock_resolved(
        &self,
        at: &MountPath,
        resolved: &Path,
        deadline: Deadline,
    ) -> Result<LockedShare, StateError> {
        let key = MountPath::key_of(resolved);
        let lock_name = format!("{key}.lock");
        let begun = Instant::now();
        let lock_file = self.acquire(&lock_name, at.to_string(), deadline)?;
        tracing::debug!(mount_path = %at, took = ?begun.elapsed(), "holds the share");
        crash::point("the share is held");
        let [record_file, releases_file] =
            ["shares", RELEASES].map(|part| self.path.join(part).join(format!("{key}.json")));
        let lock_path = self.lock_path(&lock_name);
        Ok(LockedShare { lock_file, lock_path, record_file, releases_file })
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
        self.acquire(&name, at.to_string(), deadline)
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
    ) -> Result<RemovedLock, StateError> {
        let what = format!("disk {target} of instance {instance}");
        self.acquire_removed(&format!("{instance}-{target}.disk"), what, deadline)
    }

    /// Waits until nobody else changes the metadata of the guest's domain, then keeps others from it until the value is
    /// dropped. Whoever holds it waits for no share.
    ///
    /// # Errors
    /// As [`StateDir::lock`].
    pub(crate) fn lock_metadata(
        &self,
        instance: InstanceId,
        deadline: Deadline,
    ) -> Result<RemovedLock, StateError> {
        let what = format!("metadata of instance {instance}");
        self.acquire_removed(&format!("{instance}.metadata"), what, deadline)
    }

    /// Holds the lock under which the share's client is asked; `None` if it is not free by the deadline.
    ///
    /// # Errors
    /// When the lock file cannot be used.
    pub(crate) fn lock_probe(&self, at: &MountPath, deadline: Deadline) -> Result<Option<File>, StateError> {
        self.acquire_at(&self.probe_lock(at), deadline)
    }

    /// Opens the lock file that is held while the share's client is asked.
    ///
    /// # Errors
    /// When it cannot be used.
    pub(crate) fn open_probe_lock(&self, at: &MountPath) -> Result<File, StateError> {
        self.open_lock(&self.probe_lock(at))
    }

    /// Locks the share that the file at `path` belongs to; `None` where another operation has the lock.
    pub(super) fn try_lock(&self, path: &Path) -> Result<Option<File>, StateError> {
        let key = record_file::key(path).unwrap_or_default();
        self.acquire_at(&self.lock_path(&format!("{key}.lock")), Deadline::after(Duration::ZERO))
    }

    /// Whether a record of that share has been set aside, so that it is not known who uses the share.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub(crate) fn has_set_aside(&self, share: &LockedShare) -> Result<bool, StateError> {
        Ok(self.set_aside()?.iter().any(|aside| record_file::key(aside) == share.key()))
    }

    fn probe_lock(&self, at: &MountPath) -> PathBuf {
        self.lock_path(&format!("{}.probe", at.key()))
    }

    pub(super) fn lock_path(&self, name: &str) -> PathBuf {
        self.path.join("locks").join(name)
    }

    fn acquire_removed(
        &self,
        name: &str,
        what: String,
        deadline: Deadline,
    ) -> Result<RemovedLock, StateError> {
        Ok(RemovedLock { file: self.acquire(name, what, deadline)?, path: self.lock_path(name) })
    }

    fn acquire(&self, name: &str, what: String, deadline: Deadline) -> Result<File, StateError> {
        self.acquire_at(&self.lock_path(name), deadline)?.ok_or(StateError::Locked { what })
    }

    /// Takes the lock of the file at `path`; `None` if it is not free by the deadline.
    ///
    /// The lock of a file that was removed since it was opened, with its state directory or as [`RemovedLock`] does it,
    /// excludes nobody: others make the file again and lock that.
    pub(super) fn acquire_at(&self, path: &Path, deadline: Deadline) -> Result<Option<File>, StateError> {
        let io = |source| StateError::Io { path: path.to_owned(), source };
        loop {
            let file = self.open_lock(path)?;
            if !flock::acquire(&file, deadline).map_err(io)? {
                return Ok(None);
            }
            if flock::is_at(&file, path).map_err(io)? {
                return Ok(Some(file));
            }
        }
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
}

/// A lock whose file goes with it, where there would be a file for each guest and disk that there ever was.
#[derive(Debug)]
pub(crate) struct RemovedLock {
    file: File,
    path: PathBuf,
}

impl Drop for RemovedLock {
    /// The file is removed while it is locked: whoever waits for it finds that it is not at its path any more.
    #[expect(clippy::disallowed_methods, reason = "lock files are removed here alone")]
    fn drop(&mut self) {
        // One that stays, as when this process is killed, is an empty file.
        if flock::is_at(&self.file, &self.path).is_ok_and(|is_at| is_at) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl LockedShare {
    /// The lock file as standard input for a program that changes the share. The share stays locked until that program
    /// has ended, too: it goes on when its caller is killed, and no other operation may see the share half changed.
    pub(crate) fn lock_as_stdin(&self) -> io::Result<Stdio> {
        Ok(self.lock_file.try_clone()?.into())
    }

    /// The share's record; `None` where there is none, or only one from before the last boot. One that cannot be
    /// understood is set aside.
    pub(crate) fn load(&self) -> Result<Option<ShareRecord>, StateError> {
        match record_file::read(&self.record_file) {
            Err(error @ StateError::Malformed { .. }) => {
                let aside = record_file::set_aside(&self.record_file)?;
                tracing::warn!(%error, aside = %aside.display(), "set a record aside");
                Ok(None)
            }
            record => record,
        }
    }

    /// What [`LockedShare::load`] would return, without setting anything aside.
    pub(crate) fn peek(&self) -> Result<Option<ShareRecord>, StateError> {
        match record_file::read(&self.record_file) {
            Err(StateError::Malformed { .. }) => Ok(None),
            record => record,
        }
    }

    /// The key of the share.
    pub(crate) fn key(&self) -> Option<&str> {
        record_file::key(&self.record_file)
    }

    /// Makes sure that this value still keeps others from the share: in a state directory that was removed and made again,
    /// somebody else may hold it.
    pub(crate) fn check_held(&self) -> Result<(), StateError> {
        let io = |source| StateError::Io { path: self.lock_path.clone(), source };
        if flock::is_at(&self.lock_file, &self.lock_path).map_err(io)? {
            return Ok(());
        }
        Err(StateError::Unavailable {
            path: self.lock_path.ancestors().nth(2).unwrap_or(&self.lock_path).to_owned(),
            reason: "was removed while a share of it was held".to_owned(),
            remedy: "run this again".to_owned(),
            source: None,
        })
    }

    /// Puts the record in place, whole.
    pub(crate) fn store(&self, record: &ShareRecord) -> Result<(), StateError> {
        self.check_held()?;
        record_file::write(&self.record_file, record)?;
        let (mount_path, attachments) = (&record.mount_path, record.attachments.len());
        tracing::debug!(%mount_path, attachments, "put the share on record");
        Ok(())
    }

    /// What guests had released when the share's record was removed.
    pub(crate) fn releases(&self) -> Result<Vec<Release>, StateError> {
        Ok(record_file::read_releases(&self.releases_file)?.map(|known| known.releases).unwrap_or_default())
    }

    /// Keeps what guests have released for the share's next record.
    pub(crate) fn keep_releases(&self, at: &MountPath, releases: &[Release]) -> Result<(), StateError> {
        if releases.is_empty() {
            return record_file::remove_releases(&self.releases_file);
        }
        record_file::write_releases(&self.releases_file, at, releases)
    }

    /// Removes the record, if there is one.
    pub(crate) fn remove(&self) -> Result<(), StateError> {
        record_file::remove(&self.record_file)
    }
}

#[cfg(test)]
mod tests;
