//! Attributes of inodes: reading them, and changing them as `setattr` asks.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileHandle, FileType, INodeNo, TimeOrNow};
use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, Uid, chmodat,
    chownat, fstat, ftruncate, open, utimensat,
};

use super::{Result, Volume};

/// Block size of Quobyte's volumes, in bytes.
const BLOCK_SIZE: u32 = 4096;

/// What `setattr` asks to change; what is `None` stays.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) mode: Option<u32>,
    pub(crate) owner: Option<u32>,
    pub(crate) group: Option<u32>,
    pub(crate) size: Option<u64>,
    pub(crate) accessed: Option<TimeOrNow>,
    pub(crate) modified: Option<TimeOrNow>,
}

impl Volume {
    /// Attributes of an inode.
    pub(crate) fn attributes(&self, inode: INodeNo) -> Result<FileAttr> {
        Ok(from_stat(inode, &fstat(&*self.node(inode)?)?))
    }

    /// Changes attributes and returns the new ones. Owners change in the store, so only where the daemon may do that.
    pub(crate) fn change(
        &self,
        inode: INodeNo,
        file: Option<FileHandle>,
        change: &Change,
    ) -> Result<FileAttr> {
        let node = self.node(inode)?;
        if let Some(mode) = change.mode {
            chmodat(CWD, proc_fd_path(node.as_fd()), Mode::from_raw_mode(mode), AtFlags::empty())?;
        }
        if change.owner.is_some() || change.group.is_some() {
            let owner = change.owner.map(Uid::from_raw);
            chownat(&*node, "", owner, change.group.map(Gid::from_raw), AtFlags::EMPTY_PATH)?;
        }
        if let Some(size) = change.size {
            match file {
                Some(file) => ftruncate(&*self.files.get(file)?, size)?,
                None => ftruncate(reopen(&node, OFlags::WRONLY)?, size)?,
            }
        }
        if change.accessed.is_some() || change.modified.is_some() {
            let times = Timestamps {
                last_access: timestamp(change.accessed),
                last_modification: timestamp(change.modified),
            };
            utimensat(&*node, "", &times, AtFlags::EMPTY_PATH)?;
        }
        Ok(from_stat(inode, &fstat(&*node)?))
    }
}

/// Opens what an `O_PATH` descriptor names.
pub(super) fn reopen(node: &OwnedFd, flags: OFlags) -> Result<OwnedFd> {
    open(proc_fd_path(node.as_fd()), flags | OFlags::CLOEXEC, Mode::empty())
}

/// The path that leads back to an `O_PATH` descriptor's file, for calls that do not take such a descriptor.
pub(super) fn proc_fd_path(node: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", node.as_raw_fd())
}

pub(super) fn from_stat(inode: INodeNo, stat: &Stat) -> FileAttr {
    FileAttr {
        ino: inode,
        size: stat.st_size.unsigned_abs(),
        blocks: stat.st_blocks.unsigned_abs(),
        atime: time(stat.st_atime, stat.st_atime_nsec),
        mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        ctime: time(stat.st_ctime, stat.st_ctime_nsec),
        crtime: UNIX_EPOCH,
        kind: kind(rustix::fs::FileType::from_raw_mode(stat.st_mode)),
        perm: (stat.st_mode & 0o7777) as u16,
        nlink: stat.st_nlink as u32,
        uid: stat.st_uid,
        gid: stat.st_gid,
        rdev: stat.st_rdev as u32,
        blksize: BLOCK_SIZE,
        flags: 0,
    }
}

pub(super) fn kind(kind: rustix::fs::FileType) -> FileType {
    use rustix::fs::FileType as Store;
    match kind {
        Store::Directory => FileType::Directory,
        Store::Symlink => FileType::Symlink,
        Store::Fifo => FileType::NamedPipe,
        Store::Socket => FileType::Socket,
        Store::CharacterDevice => FileType::CharDevice,
        Store::BlockDevice => FileType::BlockDevice,
        _ => FileType::RegularFile,
    }
}

fn time(seconds: i64, nanoseconds: u64) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let start = if seconds < 0 { UNIX_EPOCH - whole } else { UNIX_EPOCH + whole };
    start + Duration::from_nanos(nanoseconds)
}

/// A time before 1970 becomes 1970: `fuser` 0.18 takes its nanoseconds for going backwards.
fn timestamp(time: Option<TimeOrNow>) -> Timespec {
    match time {
        None => Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        Some(TimeOrNow::Now) => Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        Some(TimeOrNow::SpecificTime(time)) => {
            let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            Timespec { tv_sec: since.as_secs() as i64, tv_nsec: since.subsec_nanos().into() }
        }
    }
}
