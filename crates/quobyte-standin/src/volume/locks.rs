//! Byte-range locks, for all openers of the mount: POSIX locks and the open-file-description locks of QEMU.
//!
//! The kernel names an owner with each lock. A process's locks go when it flushes the file (close(2)). For locks of an
//! open file description no such request comes, so each lock remembers its file and goes with that at the latest.

mod ranges;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use fuser::{FileHandle, INodeNo, LockOwner};
use rustix::io::Errno;

use super::Result;
use ranges::Ranges;
pub(crate) use ranges::{Lock, Mode, Range};

/// Told once how a request for a lock ended.
type OnOutcome = Box<dyn FnOnce(Result<()>) + Send>;

/// The locks of a volume.
#[derive(Default)]
pub(crate) struct Locks {
    files: Mutex<HashMap<u64, FileLocks>>,
}

#[derive(Default)]
struct FileLocks {
    held: Ranges,
    waiting: Vec<(Lock, OnOutcome)>,
}

impl Locks {
    /// A lock that stands in the way of `wanted`, if there is one.
    pub(crate) fn conflict(&self, inode: INodeNo, wanted: &Lock) -> Option<Lock> {
        self.with(inode, |file| file.held.conflict(wanted).cloned())
    }

    /// Takes a lock, in place of what its owner holds there. Where another stands in the way the answer is EAGAIN, or
    /// with `wait` comes once it can be had: no thread waits meanwhile.
    pub(crate) fn acquire(&self, inode: INodeNo, lock: Lock, wait: bool, on_outcome: OnOutcome) {
        let outcomes = self.with(inode, |file| {
            if file.held.conflict(&lock).is_none() {
                file.held.set(lock);
                let mut outcomes = file.grant_waiting();
                outcomes.push((on_outcome, Ok(())));
                outcomes
            } else if wait {
                file.waiting.push((lock, on_outcome));
                Vec::new()
            } else {
                vec![(on_outcome, Err(Errno::AGAIN))]
            }
        });
        send_outcomes(outcomes);
    }

    /// Releases a range of an owner's locks.
    pub(crate) fn release(&self, inode: INodeNo, owner: LockOwner, range: Range) {
        self.update(inode, |held| held.clear(owner, range));
    }

    /// Releases all of an owner's locks on a file.
    pub(crate) fn release_owner(&self, inode: INodeNo, owner: LockOwner) {
        self.update(inode, |held| held.retain(|lock| lock.owner != owner));
    }

    /// Releases all locks that were taken through an open file.
    pub(crate) fn release_file(&self, inode: INodeNo, file: FileHandle) {
        self.update(inode, |held| held.retain(|lock| lock.file != file));
    }

    fn update(&self, inode: INodeNo, change: impl FnOnce(&mut Ranges)) {
        send_outcomes(self.with(inode, |file| {
            change(&mut file.held);
            file.grant_waiting()
        }));
    }

    fn with<T>(&self, inode: INodeNo, act: impl FnOnce(&mut FileLocks) -> T) -> T {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let file = files.entry(inode.0).or_default();
        let outcome = act(file);
        if file.held.is_empty() && file.waiting.is_empty() {
            files.remove(&inode.0);
        }
        outcome
    }
}

impl FileLocks {
    /// Takes the locks that can now be had, in the order they were asked for.
    fn grant_waiting(&mut self) -> Vec<(OnOutcome, Result<()>)> {
        let mut outcomes = Vec::new();
        for (lock, on_outcome) in std::mem::take(&mut self.waiting) {
            if self.held.conflict(&lock).is_some() {
                self.waiting.push((lock, on_outcome));
            } else {
                self.held.set(lock);
                outcomes.push((on_outcome, Ok(())));
            }
        }
        outcomes
    }
}

/// Answers outside the table's lock, since an answer may take its time.
fn send_outcomes(outcomes: Vec<(OnOutcome, Result<()>)>) {
    for (on_outcome, outcome) in outcomes {
        on_outcome(outcome);
    }
}
