//! The helpers that wait for the next request, each for one share, and those that were killed and have yet to end.
//!
//! A process that forks without exec has two processes own what one did. Two callers of one helper would each take the
//! other's answers for their own, and neither can reap the other's children. So what is kept here is a process's own: a
//! fork starts with none, and only closes what it has inherited.

use std::collections::HashMap;
use std::process::{self, Child};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::helper::Helper;
use crate::host::deadline::Deadline;
use crate::host::process::wait_for_child;
use crate::pure::mount_path::MountPath;

/// What the process that made this value keeps, and what its forks keep.
#[derive(Debug)]
pub(super) struct IdleHelpers {
    owner: u32,
    idle: Mutex<HashMap<MountPath, Helper>>,
    /// Killed helpers that have not ended yet, each with the mount that it may keep busy. The next request about any share
    /// reaps those that have.
    unreaped: Mutex<Vec<(MountPath, Child)>>,
    /// What a fork of the owner keeps. A list and no exchange of the above, which a thread of the owner may have held in
    /// the moment of the fork: to the fork it is locked for ever.
    fork: OnceLock<Box<Self>>,
}

impl IdleHelpers {
    pub(super) fn new() -> Self {
        Self {
            owner: process::id(),
            idle: Mutex::default(),
            unreaped: Mutex::default(),
            fork: OnceLock::new(),
        }
    }

    /// What the calling process keeps.
    fn own(&self) -> &Self {
        let caller = process::id();
        let mut kept = self;
        while kept.owner != caller {
            kept = kept.fork.get_or_init(|| {
                kept.close_inherited();
                Box::new(Self::new())
            });
        }
        kept
    }

    /// Closes this process's ends of another's pipes, and ends nobody.
    fn close_inherited(&self) {
        if let Ok(mut idle) = self.idle.try_lock() {
            idle.clear();
        }
    }

    pub(super) fn take(&self, at: &MountPath) -> Option<Helper> {
        lock(&self.own().idle).remove(at)
    }

    pub(super) fn has(&self, at: &MountPath) -> bool {
        lock(&self.own().idle).contains_key(at)
    }

    /// Keeps the helper for the next request. Where two threads asked at the same time, one helper is kept.
    pub(super) fn put(&self, at: &MountPath, helper: Helper) {
        let surplus = lock(&self.own().idle).insert(at.clone(), helper);
        if let Some(surplus) = surplus {
            self.discard(at, surplus);
        }
    }

    /// Kills a helper, and waits a moment for its end.
    pub(super) fn discard(&self, at: &MountPath, helper: Helper) {
        if let Some(child) = helper.kill_and_reap() {
            self.keep_killed(at, child);
        }
    }

    /// Kills those that wait for a request; `false` where there were none.
    pub(super) fn discard_all(&self) -> bool {
        let idle: Vec<_> = lock(&self.own().idle).drain().collect();
        let is_any = !idle.is_empty();
        idle.into_iter().for_each(|(at, helper)| self.discard(&at, helper));
        is_any
    }

    /// Kills a helper, and waits for nothing.
    pub(super) fn abandon(&self, at: &MountPath, helper: Helper) {
        self.keep_killed(at, helper.kill());
    }

    /// Keeps a process that was killed until it has ended, without its pipes.
    pub(super) fn keep_killed(&self, at: &MountPath, mut child: Child) {
        drop((child.stdin.take(), child.stdout.take()));
        self.reap();
        lock(&self.own().unreaped).push((at.clone(), child));
    }

    /// Waits until the share's helpers that were killed have ended, or for the deadline.
    pub(super) fn wait_for_killed(&self, at: &MountPath, deadline: Deadline) {
        let killed: Vec<_> = lock(&self.own().unreaped).extract_if(.., |(share, _)| share == at).collect();
        for (_, child) in &killed {
            // One that is stuck keeps the mount busy anyhow.
            let _ = wait_for_child(child, deadline);
        }
        lock(&self.own().unreaped).extend(killed);
    }

    /// Reaps the killed helpers that have ended since.
    pub(super) fn reap(&self) {
        lock(&self.own().unreaped).retain_mut(|(_, child)| !matches!(child.try_wait(), Ok(Some(_))));
    }

    #[cfg(test)]
    pub(super) fn has_unreaped(&self) -> bool {
        !lock(&self.own().unreaped).is_empty()
    }
}

impl Drop for IdleHelpers {
    fn drop(&mut self) {
        if self.owner == process::id() {
            for (_, helper) in lock(&self.idle).drain() {
                helper.kill_and_reap();
            }
        }
    }
}

/// Locks even after another thread has panicked: entries are complete or absent.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
