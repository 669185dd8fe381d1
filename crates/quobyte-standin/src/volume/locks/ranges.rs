//! The locks held on one file.

use fuser::{FileHandle, LockOwner};

/// Bytes from `start` to `end`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Range {
    fn overlaps(self, other: Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// What is left of `self` before and after `hole`.
    fn without(self, hole: Self) -> impl Iterator<Item = Self> {
        let before =
            (self.start < hole.start).then(|| Self { start: self.start, end: self.end.min(hole.start - 1) });
        let after =
            (self.end > hole.end).then(|| Self { start: self.start.max(hole.end + 1), end: self.end });
        before.into_iter().chain(after)
    }
}

/// Who may share a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Shared,
    Exclusive,
}

/// A lock, held or wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lock {
    pub(crate) owner: LockOwner,
    /// The open file it was asked for through.
    pub(crate) file: FileHandle,
    /// The process that asked, for `F_GETLK`.
    pub(crate) process: u32,
    pub(crate) range: Range,
    pub(crate) mode: Mode,
}

/// Locks of which no two conflict.
#[derive(Debug, Default)]
pub(super) struct Ranges(Vec<Lock>);

impl Ranges {
    pub(super) fn conflict(&self, wanted: &Lock) -> Option<&Lock> {
        self.0.iter().find(|held| {
            held.owner != wanted.owner
                && held.range.overlaps(wanted.range)
                && (held.mode == Mode::Exclusive || wanted.mode == Mode::Exclusive)
        })
    }

    /// Adds a lock in place of what its owner held in its range.
    pub(super) fn set(&mut self, lock: Lock) {
        self.clear(lock.owner, lock.range);
        self.0.push(lock);
    }

    pub(super) fn clear(&mut self, owner: LockOwner, hole: Range) {
        let (touched, kept) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|lock| lock.owner == owner && lock.range.overlaps(hole));
        self.0 = kept;
        for lock in Vec::<Lock>::into_iter(touched) {
            self.0.extend(lock.range.without(hole).map(|range| Lock { range, ..lock.clone() }));
        }
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&Lock) -> bool) {
        self.0.retain(keep);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
