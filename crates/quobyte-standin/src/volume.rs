//! A volume: a directory of the store, served inode by inode.
//!
//! Names are looked up one component at a time, without following links, below a descriptor that is held. So
//! nothing resolves outside the volume, and a rename in the store takes nothing away from who has a file open.

mod attributes;
mod directories;
mod entries;
mod files;
mod handles;
mod inodes;
pub(crate) mod locks;
#[cfg(test)]
mod tests;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use fuser::{FileAttr, INodeNo};
use rustix::fs::{Mode, OFlags, ResolveFlags, StatVfs};
use rustix::io::Errno;

pub(crate) use attributes::Change;
use directories::Directory;
pub(crate) use directories::Entry;
pub(crate) use entries::Creator;
use handles::HandleTable;
use inodes::Inodes;
use locks::Locks;

/// Outcome of an operation; errors go to the caller of the file system as they are.
pub(crate) type Result<T> = std::result::Result<T, Errno>;

/// An open volume.
pub(crate) struct Volume {
    inodes: Inodes,
    files: HandleTable<OwnedFd>,
    directories: HandleTable<Directory>,
    locks: Locks,
    /// Whether new files can be given to who asked for them.
    sets_owner: bool,
}

impl Volume {
    /// Opens the directory `name` below `store`; an empty name means the store itself, with all its volumes.
    pub(crate) fn open(store: &Path, name: &str) -> Result<Self> {
        let store =
            rustix::fs::open(store, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let name = if name.is_empty() { "." } else { name };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let root = rustix::fs::openat2(store, name, flags, Mode::empty(), resolve)?;
        Ok(Self {
            inodes: Inodes::new(root)?,
            files: HandleTable::default(),
            directories: HandleTable::default(),
            locks: Locks::default(),
            sets_owner: rustix::process::geteuid().is_root(),
        })
    }

    /// Looks `name` up and counts the kernel's new reference.
    pub(crate) fn lookup(&self, parent: INodeNo, name: &std::ffi::OsStr) -> Result<FileAttr> {
        self.inodes.lookup(parent, name)
    }

    /// Takes back `count` of the kernel's references.
    pub(crate) fn forget(&self, inode: INodeNo, count: u64) {
        self.inodes.forget(inode, count);
    }

    /// Space of the store.
    pub(crate) fn space(&self) -> Result<StatVfs> {
        rustix::fs::fstatvfs(&*self.inodes.get(INodeNo::ROOT)?)
    }

    /// The locks on the volume's files.
    pub(crate) fn locks(&self) -> &Locks {
        &self.locks
    }

    fn node(&self, inode: INodeNo) -> Result<Arc<OwnedFd>> {
        self.inodes.get(inode)
    }
}
