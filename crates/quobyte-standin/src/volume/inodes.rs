//! The inodes the kernel knows, each held by an `O_PATH` descriptor.
//!
//! An inode's number is its number in the store, which cannot be given to another file while the descriptor is held.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fuser::{FileAttr, INodeNo};
use rustix::fs::{Mode, OFlags, Stat, fstat, openat};
use rustix::io::Errno;

use super::{Result, attributes};

pub(super) struct Inodes {
    root: Arc<OwnedFd>,
    root_stat: Stat,
    known: Mutex<HashMap<u64, KnownInode>>,
}

struct KnownInode {
    node: Arc<OwnedFd>,
    references: u64,
}

impl Inodes {
    pub(super) fn new(root: OwnedFd) -> Result<Self> {
        let root_stat = fstat(&root)?;
        Ok(Self { root: Arc::new(root), root_stat, known: Mutex::default() })
    }

    pub(super) fn get(&self, inode: INodeNo) -> Result<Arc<OwnedFd>> {
        if inode == INodeNo::ROOT {
            return Ok(Arc::clone(&self.root));
        }
        self.known().get(&inode.0).map(|known| Arc::clone(&known.node)).ok_or(Errno::STALE)
    }

    pub(super) fn lookup(&self, parent: INodeNo, name: &OsStr) -> Result<FileAttr> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let node = openat(&*self.get(parent)?, checked_component(name)?, flags, Mode::empty())?;
        let stat = fstat(&node)?;
        if stat.st_dev != self.root_stat.st_dev {
            return Err(Errno::XDEV);
        }
        let attributes = attributes::from_stat(self.kernel_number(stat.st_ino), &stat);
        let mut known = self.known();
        let entry =
            known.entry(stat.st_ino).or_insert_with(|| KnownInode { node: Arc::new(node), references: 0 });
        entry.references += 1;
        Ok(attributes)
    }

    pub(super) fn forget(&self, inode: INodeNo, count: u64) {
        let mut known = self.known();
        if let Some(entry) = known.get_mut(&inode.0) {
            entry.references = entry.references.saturating_sub(count);
            if entry.references == 0 {
                known.remove(&inode.0);
            }
        }
    }

    /// The number the kernel knows an inode of the store by.
    pub(super) fn kernel_number(&self, store_inode: u64) -> INodeNo {
        if store_inode == self.root_stat.st_ino { INodeNo::ROOT } else { INodeNo(store_inode) }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<u64, KnownInode>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Refuses names that would lead away from a directory. The kernel sends none; a volume's walls do not rest on that.
pub(super) fn checked_component(name: &OsStr) -> Result<&OsStr> {
    let bytes = name.as_encoded_bytes();
    if matches!(bytes, b"" | b"." | b"..") || bytes.contains(&b'/') {
        return Err(Errno::INVAL);
    }
    Ok(name)
}
