//! Somebody who may rename files on a share, and keeps doing so.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// Exchanges two entries, so that at no moment there is none.
pub(crate) fn swap(one: &Path, other: &Path) {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).expect("exchange two entries");
}

/// Exchanges a file with each of several others in turn, and back, until it is stopped.
pub(crate) struct Swapper {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Swapper {
    pub(crate) fn start(file: PathBuf, others: Vec<PathBuf>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                for other in &others {
                    swap(&file, other);
                    thread::yield_now();
                    swap(&file, other);
                    thread::yield_now();
                }
            }
        });
        Self { stop, thread }
    }

    /// Leaves every file where it was.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it only exchanges files");
    }
}
