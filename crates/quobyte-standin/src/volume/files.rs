//! Data of regular files. Everything goes to the store through its page cache, which fsync empties to its disk.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use fuser::{FileHandle, INodeNo};
use rustix::fs::{FallocateFlags, FileType, OFlags, SeekFrom, fstat};
use rustix::io::Errno;

use super::attributes::reopen;
use super::{Result, Volume};

impl Volume {
    /// Opens a regular file. `flags` are those of open(2).
    pub(crate) fn open_file(&self, inode: INodeNo, flags: i32) -> Result<FileHandle> {
        let node = self.node(inode)?;
        if FileType::from_raw_mode(fstat(&*node)?.st_mode) != FileType::RegularFile {
            return Err(Errno::PERM);
        }
        Ok(self.files.insert(reopen(&node, store_flags(flags))?))
    }

    /// Reads up to `size` bytes; fewer only at the end of the file.
    pub(crate) fn read(&self, file: FileHandle, offset: u64, size: u32) -> Result<Vec<u8>> {
        let file = self.files.get(file)?;
        let mut data = vec![0; size as usize];
        let mut filled = 0;
        while filled < data.len() {
            match rustix::io::pread(&*file, &mut data[filled..], offset + filled as u64)? {
                0 => break,
                read => filled += read,
            }
        }
        data.truncate(filled);
        Ok(data)
    }

    /// Writes all of `data`, or what fitted before an error.
    pub(crate) fn write(&self, file: FileHandle, offset: u64, data: &[u8]) -> Result<u32> {
        let file = self.files.get(file)?;
        let mut written = 0;
        while written < data.len() {
            match rustix::io::pwrite(&*file, &data[written..], offset + written as u64) {
                Ok(count) => written += count,
                Err(error) if written == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(written as u32)
    }

    /// Brings a file to the store's disk.
    pub(crate) fn sync(&self, file: FileHandle, data_only: bool) -> Result<()> {
        let file = self.files.get(file)?;
        if data_only { rustix::fs::fdatasync(&*file) } else { rustix::fs::fsync(&*file) }
    }

    /// Allocates, punches or zeroes a range. `mode` is that of fallocate(2).
    pub(crate) fn allocate(&self, file: FileHandle, offset: u64, length: u64, mode: i32) -> Result<()> {
        let mode = FallocateFlags::from_bits_retain(mode as u32);
        rustix::fs::fallocate(&*self.files.get(file)?, mode, offset, length)
    }

    /// Finds the next hole or data at or after `offset`; `whence` is that of lseek(2).
    pub(crate) fn seek(&self, file: FileHandle, offset: i64, whence: i32) -> Result<i64> {
        let start = u64::try_from(offset).map_err(|_| Errno::NXIO)?;
        let position = match whence {
            libc::SEEK_DATA => SeekFrom::Data(start),
            libc::SEEK_HOLE => SeekFrom::Hole(start),
            _ => return Err(Errno::INVAL),
        };
        let found = rustix::fs::seek(&*self.files.get(file)?, position)?;
        i64::try_from(found).map_err(|_| Errno::OVERFLOW)
    }

    /// Copies within the store, and says how much was copied.
    pub(crate) fn copy(&self, from: (FileHandle, u64), to: (FileHandle, u64), length: u64) -> Result<u32> {
        let (source, target): (Arc<OwnedFd>, Arc<OwnedFd>) = (self.files.get(from.0)?, self.files.get(to.0)?);
        let (mut read_at, mut write_at) = (from.1, to.1);
        // The answer has 32 bits.
        let length = usize::try_from(length.min(1 << 30)).unwrap_or(usize::MAX);
        let copied =
            rustix::fs::copy_file_range(&*source, Some(&mut read_at), &*target, Some(&mut write_at), length)?;
        Ok(copied as u32)
    }

    /// Closes a file and drops the locks that were taken through it.
    pub(crate) fn release(&self, inode: INodeNo, file: FileHandle) {
        self.files.remove(file);
        self.locks.release_file(inode, file);
    }
}

/// The flags a file of the store is opened with: without `O_DIRECT`, since requests come in unaligned buffers.
pub(super) fn store_flags(flags: i32) -> OFlags {
    let kept = OFlags::RWMODE | OFlags::APPEND | OFlags::SYNC | OFlags::DSYNC;
    (OFlags::from_bits_retain(flags as u32) & kept) | OFlags::CLOEXEC
}
