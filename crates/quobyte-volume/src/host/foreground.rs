//! A mount that a process of ours keeps from being unmounted, and a command that works in it with the caller's streams.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, openat, statx};

use super::process;
use super::sys::process_setup;
use crate::pure::kernel_mount::{Device, Mount};

/// Names the mount path in the environment of a command that works in a mount.
pub const MOUNT_VARIABLE: &str = "NOVA_QUOBYTE_MOUNT";

/// A mount that cannot be unmounted, but by force, while this value lives. No other process inherits it.
#[derive(Debug)]
pub struct HeldMount(OwnedFd);

impl HeldMount {
    /// Holds `mount`, which is on top at `path`. Nothing is asked of its client.
    ///
    /// # Errors
    /// When another mount, or none, is there by now.
    pub(super) fn open(path: &Path, mount: &Mount) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = openat(CWD, path, flags, Mode::empty())?;
        // What the kernel has of the root is enough to tell its device.
        let known = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let found = statx(&root, "", known, StatxFlags::TYPE)?;
        let device = Device { major: found.stx_dev_major, minor: found.stx_dev_minor };
        if device == mount.device {
            return Ok(Self(root));
        }
        Err(io::Error::other("what was mounted there has been unmounted meanwhile"))
    }

    /// The mount of which nothing is known, for tests.
    #[cfg(test)]
    pub(crate) fn of_nothing() -> io::Result<Self> {
        Ok(Self(std::fs::File::open("/dev/null")?.into()))
    }

    /// Runs a command in the mount's root with this process's streams, and waits for its end. The keys of a terminal that end
    /// a command are for it alone from then on. Returns the status that a shell shows for it.
    ///
    /// # Errors
    /// When it cannot be started or followed.
    pub fn run(&self, path: &Path, program: &OsString, arguments: &[OsString]) -> io::Result<u8> {
        let mut command = process::command(&process::find_program(program))?;
        // By the descriptor: whatever comes to lie over the path, it is this mount.
        let root = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        command.args(arguments).current_dir(root).env(MOUNT_VARIABLE, path);
        let mut child = command.spawn()?;
        process_setup::ignore_terminal_keys();
        let status = child.wait()?;
        let status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Ok(u8::try_from(status).unwrap_or(u8::MAX))
    }
}
