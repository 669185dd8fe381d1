//! Names: making, linking, moving and removing them.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use fuser::{FileAttr, FileHandle, INodeNo};
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, RenameFlags, Uid, chownat, fstat, linkat, mkdirat, openat,
    readlinkat, renameat_with, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::attributes::proc_fd_path;
use super::files::store_flags;
use super::inodes::checked_component;
use super::{Result, Volume};

/// Who makes an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Creator {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

impl Volume {
    /// Makes and opens a regular file. `flags` are those of open(2).
    pub(crate) fn create(
        &self,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        flags: i32,
        creator: Creator,
    ) -> Result<(FileAttr, FileHandle)> {
        let directory = self.node(parent)?;
        let exclusive = OFlags::from_bits_retain(flags as u32) & OFlags::EXCL;
        let flags = store_flags(flags) | exclusive | OFlags::CREATE | OFlags::NOFOLLOW;
        let file = openat(&*directory, checked_component(name)?, flags, permissions(mode))?;
        self.set_owner(&directory, name, creator)?;
        let attributes = self.lookup(parent, name)?;
        Ok((attributes, self.files.insert(file)))
    }

    /// Makes a regular file. Others are refused: a volume holds no devices or pipes.
    pub(crate) fn make_node(
        &self,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        creator: Creator,
    ) -> Result<FileAttr> {
        if FileType::from_raw_mode(mode) != FileType::RegularFile {
            return Err(Errno::PERM);
        }
        let directory = self.node(parent)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
        openat(&*directory, checked_component(name)?, flags, permissions(mode))?;
        self.set_owner(&directory, name, creator)?;
        self.lookup(parent, name)
    }

    /// Makes a directory.
    pub(crate) fn make_directory(
        &self,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        creator: Creator,
    ) -> Result<FileAttr> {
        let directory = self.node(parent)?;
        mkdirat(&*directory, checked_component(name)?, permissions(mode))?;
        self.set_owner(&directory, name, creator)?;
        self.lookup(parent, name)
    }

    /// Makes a symbolic link. Its target is kept as it is; the kernel resolves it, outside this program.
    pub(crate) fn symlink(
        &self,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        creator: Creator,
    ) -> Result<FileAttr> {
        let directory = self.node(parent)?;
        symlinkat(target, &*directory, checked_component(name)?)?;
        self.set_owner(&directory, name, creator)?;
        self.lookup(parent, name)
    }

    /// The target of a symbolic link.
    pub(crate) fn read_link(&self, inode: INodeNo) -> Result<Vec<u8>> {
        Ok(readlinkat(&*self.node(inode)?, "", Vec::new())?.into_bytes())
    }

    /// Gives an inode another name.
    pub(crate) fn link(&self, inode: INodeNo, parent: INodeNo, name: &OsStr) -> Result<FileAttr> {
        let node = self.node(inode)?;
        let directory = self.node(parent)?;
        linkat(
            CWD,
            proc_fd_path(node.as_fd()),
            &*directory,
            checked_component(name)?,
            AtFlags::SYMLINK_FOLLOW,
        )?;
        self.lookup(parent, name)
    }

    /// Removes the name of a file.
    pub(crate) fn unlink(&self, parent: INodeNo, name: &OsStr) -> Result<()> {
        unlinkat(&*self.node(parent)?, checked_component(name)?, AtFlags::empty())
    }

    /// Removes an empty directory.
    pub(crate) fn remove_directory(&self, parent: INodeNo, name: &OsStr) -> Result<()> {
        unlinkat(&*self.node(parent)?, checked_component(name)?, AtFlags::REMOVEDIR)
    }

    /// Moves a name. `flags` are those of renameat2(2).
    pub(crate) fn rename(&self, from: (INodeNo, &OsStr), to: (INodeNo, &OsStr), flags: u32) -> Result<()> {
        let (source, target) = (self.node(from.0)?, self.node(to.0)?);
        let flags = RenameFlags::from_bits_retain(flags);
        renameat_with(&*source, checked_component(from.1)?, &*target, checked_component(to.1)?, flags)
    }

    /// Gives a new entry to its creator, where the daemon may. A directory with the set-group-id bit keeps its group.
    fn set_owner(&self, directory: &OwnedFd, name: &OsStr, creator: Creator) -> Result<()> {
        if !self.sets_owner {
            return Ok(());
        }
        let inherits = Mode::from_raw_mode(fstat(directory)?.st_mode).contains(Mode::SGID);
        let group = (!inherits).then(|| Gid::from_raw(creator.group));
        chownat(directory, name, Some(Uid::from_raw(creator.user)), group, AtFlags::SYMLINK_NOFOLLOW)
    }
}

fn permissions(mode: u32) -> Mode {
    Mode::from_raw_mode(mode & 0o7777)
}
