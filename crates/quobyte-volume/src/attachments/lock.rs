//! One lock per share, across threads and processes.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{ShareRecord, StateError, record};
use crate::deadline::Deadline;
use crate::mount::MountPath;

/// Longest pause between two tries.
const MOST_PAUSE: Duration = Duration::from_millis(20);

/// A share that nobody else changes while this value lives, and the only way to its record's file.
#[derive(Debug)]
pub struct LockedShare {
    _held: File,
    file: PathBuf,
}

impl LockedShare {
    pub(super) fn new(held: File, file: PathBuf) -> Self {
        Self { _held: held, file }
    }

    /// The share's record; `None` where there is none, or only one from before the last boot.
    pub(crate) fn load(&self) -> Result<Option<ShareRecord>, StateError> {
        record::read(&self.file)
    }

    /// Puts the record in place, whole.
    pub(crate) fn store(&self, record: &ShareRecord) -> Result<(), StateError> {
        record::write(&self.file, record)
    }

    /// Removes the record; there being none is as good.
    pub(crate) fn remove(&self) -> Result<(), StateError> {
        record::remove(&self.file)
    }
}

/// Holds the lock file at `path`, which stays when the lock is released: were it removed, a waiter could hold a file
/// that nobody else finds.
///
/// flock(2) has no deadline, so the lock is tried, with growing pauses. This is the one place that waits by the clock.
pub(super) fn hold(path: &Path, at: &MountPath, deadline: Deadline) -> Result<File, StateError> {
    let io = |source| StateError::Io {
        path: path.to_owned(),
        source,
    };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(io)?;
    let mut pause = Duration::from_micros(100);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if deadline.has_passed() => {
                return Err(StateError::Locked { at: at.clone() });
            }
            Err(TryLockError::WouldBlock) => sleep(pause.min(deadline.left())),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        pause = (pause * 2).min(MOST_PAUSE);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "no event tells that a flock was released in time"
)]
fn sleep(pause: Duration) {
    std::thread::sleep(pause);
}
