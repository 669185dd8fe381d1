//! Taking mounts away.
//!
//! A superuser asks the kernel. Anybody else needs libfuse's setuid helper, which only takes away what the caller
//! mounted.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Stdio;

use rustix::mount::UnmountFlags;

use crate::deadline::Deadline;
use crate::mount_table::Mount;
use crate::process::{self, RunError, printed};

/// How hard to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Only if the kernel says that nothing uses it.
    IfUnused,
    /// Out of the mount table at once; files that are open stay open until they are closed.
    Lazily,
}

/// What became of a request to unmount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmounted {
    /// The kernel took the mount away.
    Done,
    /// Files are open on it, or something is mounted below it: the kernel's EBUSY.
    Busy,
}

/// Unmounts what is on top at `mount_point`. `held` is open in whatever program does so until that ends, even if this
/// process is killed meanwhile.
pub(super) fn unmount(
    mount_point: &Path,
    how: How,
    held: Stdio,
    deadline: Deadline,
) -> io::Result<Unmounted> {
    if rustix::process::geteuid().is_root() {
        let flags = match how {
            How::IfUnused => UnmountFlags::NOFOLLOW,
            How::Lazily => UnmountFlags::NOFOLLOW | UnmountFlags::DETACH,
        };
        return match rustix::mount::unmount(mount_point, flags) {
            Ok(()) => Ok(Unmounted::Done),
            Err(rustix::io::Errno::BUSY) => Ok(Unmounted::Busy),
            Err(error) => Err(error.into()),
        };
    }
    let mode = match how {
        How::IfUnused => "-u",
        How::Lazily => "-uz",
    };
    let arguments = [OsStr::new(mode), OsStr::new("--"), mount_point.as_os_str()];
    let outcome = process::run(OsStr::new("fusermount3"), arguments, None, held, deadline);
    let outcome = outcome.map_err(|error| match error {
        RunError::Timeout { .. } => io::Error::new(io::ErrorKind::TimedOut, error),
        error => io::Error::other(error),
    })?;
    if outcome.status.success() {
        Ok(Unmounted::Done)
    } else if outcome.output.contains("Device or resource busy") {
        Ok(Unmounted::Busy)
    } else {
        Err(io::Error::other(format!("fusermount3 ({}){}", outcome.status, printed(&outcome.output))))
    }
}

/// Ends the connection behind a FUSE mount: whoever waits for its client gets an error. The kernel lets its owner do
/// that through the control file system.
#[expect(clippy::disallowed_methods, reason = "the kernel's control file system, not a file")]
pub(super) fn abort(mount: &Mount) -> io::Result<()> {
    std::fs::write(format!("/sys/fs/fuse/connections/{}/abort", mount.device.minor), "1")
}
