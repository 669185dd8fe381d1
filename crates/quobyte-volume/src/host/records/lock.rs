//! A share that is held: one holder at a time, across threads and processes.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::error::StateError;
use super::record_file;
use crate::host::crash;
use crate::host::deadline::Deadline;
use crate::host::flock;
use crate::pure::mount_path::MountPath;
use crate::pure::record::{Release, ShareRecord};

/// A share that nobody else changes while this value lives, and the only way to its record's file.
#[derive(Debug)]
pub struct LockedShare {
    lock_file: File,
    record_file: PathBuf,
    releases_file: PathBuf,
}

impl LockedShare {
    /// Waits for the lock file at `lock`, which `open` opens, then holds the share at `at`, whose record and whose releases
    /// are kept in two files.
    pub(super) fn acquire(
        lock: &Path,
        open: impl Fn() -> Result<File, StateError>,
        [record_file, releases_file]: [PathBuf; 2],
        at: &MountPath,
        deadline: Deadline,
    ) -> Result<Self, StateError> {
        let io = |source| StateError::Io { path: lock.to_owned(), source };
        loop {
            let lock_file = open()?;
            let is_free = flock::acquire(&lock_file, Deadline::after(Duration::ZERO)).map_err(io)?;
            if !is_free && !flock::acquire(&lock_file, deadline).map_err(io)? {
                return Err(StateError::Locked { what: at.to_string() });
            }
            // Who has waited may have the lock of a state directory that was removed meanwhile.
            if is_free || flock::is_at(&lock_file, lock).map_err(io)? {
                crash::point("the share is held");
                return Ok(Self { lock_file, record_file, releases_file });
            }
        }
    }

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
    pub(super) fn key(&self) -> Option<&str> {
        record_file::key(&self.record_file)
    }

    /// Puts the record in place, whole.
    pub(crate) fn store(&self, record: &ShareRecord) -> Result<(), StateError> {
        record_file::write(&self.record_file, record)
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
