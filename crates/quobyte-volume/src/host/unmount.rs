//! Taking mounts away.
//!
//! libfuse's helper does it: setuid, it takes away what its caller mounted, and from a superuser anything. Unmounting
//! may wait for a client without end, as when that has yet to take what was written; so a superuser, too, leaves it to
//! a process that can be given up.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Stdio;

use super::deadline::Deadline;
use super::process::{self, RunError, output_suffix};

/// How hard to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnmountMode {
    /// Only if the kernel says that nothing uses it.
    IfUnused,
    /// Out of the mount table at once; files that are open stay open until they are closed.
    Lazy,
}

/// What became of a request to unmount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnmountOutcome {
    /// The kernel took the mount away.
    Done,
    /// Files are open on it, or something is mounted below it: the kernel's EBUSY.
    Busy,
}

/// Unmounts what is on top at `mount_point`. The program that unmounts keeps `lock_file` open until it ends, even if
/// this process is killed meanwhile.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] at the deadline.
pub(super) fn unmount(
    mount_point: &Path,
    mode: UnmountMode,
    lock_file: Stdio,
    deadline: Deadline,
) -> io::Result<UnmountOutcome> {
    let option = match mode {
        UnmountMode::IfUnused => "-u",
        UnmountMode::Lazy => "-uz",
    };
    let arguments = [OsStr::new(option), OsStr::new("--"), mount_point.as_os_str()];
    let outcome = process::run(OsStr::new("fusermount3"), arguments, None, lock_file, deadline);
    let outcome = outcome.map_err(|error| match error {
        RunError::Timeout { .. } => io::Error::new(io::ErrorKind::TimedOut, error),
        error => io::Error::other(error),
    })?;
    if outcome.status.success() {
        Ok(UnmountOutcome::Done)
    } else if outcome.output.lines().any(reports_busy) {
        Ok(UnmountOutcome::Busy)
    } else {
        Err(io::Error::other(format!("fusermount3 ({}){}", outcome.status, output_suffix(&outcome.output))))
    }
}

/// Whether a line of fusermount3's, which ends in the C library's text for the error number, says EBUSY. The kernel tells
/// nobody else. Each C library has one text, as the program runs with messages in English.
fn reports_busy(line: &str) -> bool {
    const GLIBC: &str = "Device or resource busy";
    const MUSL: &str = "Resource busy";
    line.rsplit(": ").next().is_some_and(|text| [GLIBC, MUSL].contains(&text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_error_text_says_busy() {
        for (line, is_busy) in [
            ("fusermount3: failed to unmount /mnt/a: Device or resource busy", true),
            ("fusermount3: failed to unmount /mnt/a: Resource busy\r", true),
            ("fusermount3: failed to unmount /mnt/Device or resource busy: Invalid argument", false),
            ("fusermount3: entry for /mnt/x: Resource busy not found in /etc/mtab", false),
            ("", false),
        ] {
            assert_eq!(reports_busy(line), is_busy, "{line}");
        }
    }
}
