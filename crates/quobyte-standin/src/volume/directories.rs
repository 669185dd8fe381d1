//! Reading directories. A directory is read as a whole when a reader starts or rewinds, so that what changes
//! meanwhile neither repeats nor hides an entry that stays.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::sync::{Mutex, PoisonError};

use fuser::{FileHandle, FileType, INodeNo};
use rustix::fs::{Dir, Mode, OFlags, openat};

use super::attributes::kind;
use super::{Result, Volume};

/// One name in a directory.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) inode: INodeNo,
    pub(crate) kind: FileType,
    pub(crate) name: OsString,
}

pub(super) struct Directory {
    fd: OwnedFd,
    entries: Mutex<Vec<Entry>>,
}

impl Volume {
    /// Opens a directory for reading.
    pub(crate) fn open_directory(&self, inode: INodeNo) -> Result<FileHandle> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(&*self.node(inode)?, ".", flags, Mode::empty())?;
        Ok(self.directories.insert(Directory { fd, entries: Mutex::default() }))
    }

    /// The entries from position `start` on; the first is at 0.
    pub(crate) fn entries(&self, directory: FileHandle, start: u64) -> Result<Vec<Entry>> {
        let directory = self.directories.get(directory)?;
        let mut entries = directory.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if start == 0 {
            *entries = self.read_all(&directory.fd)?;
        }
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        Ok(entries.get(start..).unwrap_or_default().to_vec())
    }

    /// Brings a directory to the store's disk.
    pub(crate) fn sync_directory(&self, directory: FileHandle) -> Result<()> {
        rustix::fs::fsync(&self.directories.get(directory)?.fd)
    }

    /// Closes a directory.
    pub(crate) fn release_directory(&self, directory: FileHandle) {
        self.directories.remove(directory);
    }

    fn read_all(&self, fd: &OwnedFd) -> Result<Vec<Entry>> {
        Dir::read_from(fd)?
            .map(|entry| {
                let entry = entry?;
                Ok(Entry {
                    inode: self.inodes.kernel_number(entry.ino()),
                    kind: kind(entry.file_type()),
                    name: OsString::from_vec(entry.file_name().to_bytes().to_vec()),
                })
            })
            .collect()
    }
}
