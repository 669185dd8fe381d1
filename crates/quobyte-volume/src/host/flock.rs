//! Waiting for a flock(2) with a deadline.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use crate::host::deadline::Deadline;
use crate::host::own_file;

/// Longest pause between two tries.
const MAX_PAUSE: Duration = Duration::from_millis(20);

/// Opens a lock file, making it if need be. Whoever may find that it was removed meanwhile asks [`is_at`] once it has the
/// lock.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    own_file::make(path, OpenOptions::new().create(true).truncate(false).write(true))
}

/// Whether it is still the file at `path`. One that was removed is found by no other process.
pub(crate) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let opened = file.metadata()?;
    Ok(path.metadata().is_ok_and(|found| (found.dev(), found.ino()) == (opened.dev(), opened.ino())))
}

/// Takes the lock on `file`; `false` at the deadline.
///
/// flock(2) has no deadline, so the lock is tried, with growing pauses. This is the one place that waits by the clock.
pub(crate) fn acquire(file: &File, deadline: Deadline) -> io::Result<bool> {
    let mut pause = Duration::from_micros(100);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if deadline.has_passed() => return Ok(false),
            Err(TryLockError::WouldBlock) => sleep(pause.min(deadline.remaining())),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

#[expect(clippy::disallowed_methods, reason = "no event tells in time that a flock was released")]
fn sleep(pause: Duration) {
    std::thread::sleep(pause);
}
