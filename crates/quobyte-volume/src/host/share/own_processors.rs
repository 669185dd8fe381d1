//! The processors that a thread may use, while it looks for another one than it has.

use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// The processors that this thread may use, which it gets back at the end.
#[derive(Default)]
pub(super) struct OwnProcessors(Option<CpuSet>);

impl OwnProcessors {
    /// Moves this thread to another of its processors. Where it has no other it stays.
    pub(super) fn leave_current(&mut self) {
        let current = sched_getcpu();
        if self.0.is_none() {
            self.0 = sched_getaffinity(None).ok();
        }
        let Some(mut others) = self.0.filter(|_| current < CpuSet::MAX_CPU) else { return };
        others.unset(current);
        // The kernel refuses an empty set.
        let _ = sched_setaffinity(None, &others);
    }
}

impl Drop for OwnProcessors {
    fn drop(&mut self) {
        if let Some(own) = &self.0 {
            let _ = sched_setaffinity(None, own);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_gets_its_processors_back() {
        let before = sched_getaffinity(None).unwrap();
        let mut own = OwnProcessors::default();
        for _ in 0..3 {
            let left = sched_getcpu();
            own.leave_current();
            assert!(before.count() == 1 || sched_getcpu() != left);
        }
        drop(own);
        assert_eq!(sched_getaffinity(None).unwrap(), before);
    }
}
