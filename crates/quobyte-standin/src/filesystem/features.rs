//! The selected features, as the kernel is told of them.

use std::io::{self, ErrorKind};

use fuser::{FopenFlags, InitFlags, KernelConfig};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::settings::Features;
use crate::volume::Result;

impl Features {
    /// Asks the kernel for the connection's features; it grants those it knows.
    ///
    /// Not for `FUSE_AUTO_INVAL_DATA`: as attributes are never cached, each read would first ask for them, and
    /// asynchronous reads would wait for each other.
    pub(super) fn negotiate(&self, kernel: &mut KernelConfig) -> io::Result<()> {
        let mut flags = InitFlags::FUSE_POSIX_LOCKS
            | InitFlags::FUSE_PARALLEL_DIROPS
            | InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP;
        flags.set(InitFlags::FUSE_ASYNC_DIO, self.async_dio);
        flags.set(InitFlags::FUSE_WRITEBACK_CACHE, self.writeback_cache);
        let known = flags & kernel.capabilities();
        kernel.add_capabilities(known).map_err(|_| ErrorKind::Unsupported)?;
        kernel.set_max_background(self.max_background).map_err(|_| ErrorKind::InvalidInput)?;
        kernel.set_max_write(self.max_write).map_err(|_| ErrorKind::InvalidInput)?;
        Ok(())
    }

    /// Flags of open(2) as the volume needs them. A kernel that caches writes also reads, to fill partial pages, and
    /// places appended data itself.
    pub(super) fn store_flags(&self, flags: i32) -> i32 {
        match (self.writeback_cache, flags & libc::O_ACCMODE) {
            (true, libc::O_WRONLY) => (flags & !(libc::O_ACCMODE | libc::O_APPEND)) | libc::O_RDWR,
            (true, _) => flags & !libc::O_APPEND,
            (false, _) => flags,
        }
    }

    /// Refuses flags of open(2) that the client does not take, as file systems do.
    pub(super) fn check_open_flags(&self, flags: i32) -> Result<()> {
        let refused =
            !self.o_direct && OFlags::from_bits_retain(flags.cast_unsigned()).contains(OFlags::DIRECT);
        if refused { Err(Errno::INVAL) } else { Ok(()) }
    }

    /// What the kernel is told of each open file.
    pub(super) fn open_flags(&self) -> FopenFlags {
        let mut flags = FopenFlags::empty();
        flags.set(FopenFlags::FOPEN_DIRECT_IO, self.direct_io);
        flags.set(FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES, self.parallel_direct_writes);
        flags
    }
}
