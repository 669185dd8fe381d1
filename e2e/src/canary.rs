//! A file of the host that shows whether anybody touched it.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::Lab;

/// A file that nothing under test has any business with, and that everybody may read and write. Looking at it without
/// opening it leaves no trace.
#[derive(Debug)]
pub struct Canary {
    path: PathBuf,
    before: Fingerprint,
}

/// Everything that a touch changes: who owns it and may do what, how often it is linked, when it was last read, written
/// and changed in any other way. Times are seconds and nanoseconds.
#[derive(Debug, PartialEq, Eq)]
struct Fingerprint {
    inode: u64,
    mode_and_owner: (u32, u32, u32),
    links: u64,
    length: u64,
    read: (i64, i64),
    written: (i64, i64),
    changed: (i64, i64),
}

impl Canary {
    /// The one that `tests/lab/inside` makes, and looks at again once everything has run.
    pub fn of_the_lab() -> Self {
        Self::watch(Lab::require().directory().join("canary"))
    }

    /// Watches a file from now on. Reading it shows only if it was last read before it was last written.
    pub fn watch(path: PathBuf) -> Self {
        let before = Fingerprint::of(&path);
        Self { path, before }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is as it was.
    pub fn is_untouched(&self) -> bool {
        Fingerprint::of(&self.path) == self.before
    }
}

impl Fingerprint {
    fn of(path: &Path) -> Self {
        let file = fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self {
            inode: file.ino(),
            mode_and_owner: (file.mode(), file.uid(), file.gid()),
            links: file.nlink(),
            length: file.len(),
            read: (file.atime(), file.atime_nsec()),
            written: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}
