//! Quobyte's client, `mount.quobyte`, and the tools that unmount what it mounted.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use rustix::mount::{UnmountFlags, unmount};

use crate::connection::Export;
use crate::deadline::Deadline;
use crate::process::{self, RunError, printed};

/// How Quobyte's client is called. The command line is the one Nova and Cinder use.
#[derive(Debug, Clone)]
pub(super) struct Client {
    /// Its configuration file, `-c`; the client has its own default.
    pub(super) config: Option<PathBuf>,
}

const PROGRAM: &str = "mount.quobyte";

/// Why the client, as far as it can tell, did not mount.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The program is not there or may not be run.
    #[error("Quobyte's client mount.quobyte cannot be started; is it installed and in PATH?")]
    NotFound {
        /// What the kernel said.
        source: io::Error,
    },
    /// It did not end by the deadline.
    #[error("mount.quobyte did not mount {export} by the deadline{}", printed(.output))]
    Timeout {
        /// What it was to mount.
        export: Export,
        /// What it printed until then.
        output: String,
    },
    /// It ended and said it failed.
    #[error("mount.quobyte refused to mount {export} ({status}){}", printed(.output))]
    Refused {
        /// What it was to mount.
        export: Export,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it printed.
        output: String,
    },
    /// The host failed.
    #[error("mount.quobyte cannot be run")]
    Host {
        /// What failed.
        source: io::Error,
    },
}

impl Client {
    /// Asks the client to mount `export` and waits until it has put itself into the background. Success says that
    /// the client was content, not that anything is mounted.
    pub(super) fn mount(
        &self,
        export: &Export,
        mount_point: &Path,
        deadline: Deadline,
    ) -> Result<(), ClientError> {
        let mut arguments: Vec<OsString> = vec![
            "--disable-xattrs".into(),
            export.as_str().into(),
            mount_point.into(),
        ];
        if let Some(config) = &self.config {
            arguments.extend(["-c".into(), config.into()]);
        }
        match process::run(OsStr::new(PROGRAM), arguments, deadline) {
            Ok(outcome) if outcome.status.success() => Ok(()),
            Ok(outcome) => Err(ClientError::Refused {
                export: export.clone(),
                status: outcome.status,
                output: outcome.output,
            }),
            Err(RunError::Timeout { output, .. }) => Err(ClientError::Timeout {
                export: export.clone(),
                output,
            }),
            Err(RunError::Start { source, .. }) => Err(ClientError::NotFound { source }),
            Err(RunError::Follow { source, .. }) => Err(ClientError::Host { source }),
        }
    }
}

/// What became of a request to unmount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmounted {
    /// The kernel took the mount away.
    Done,
    /// Files are open on it, or something is mounted below it: the kernel's EBUSY.
    Busy,
}

/// Unmounts what is on top at `mount_point`, never forced and never lazily: the kernel decides whether it is in use.
///
/// A superuser asks the kernel. Anybody else needs libfuse's setuid helper, which only takes away what the caller
/// mounted.
pub(super) fn unmount_top(mount_point: &Path, deadline: Deadline) -> io::Result<Unmounted> {
    if rustix::process::geteuid().is_root() {
        return match unmount(mount_point, UnmountFlags::NOFOLLOW) {
            Ok(()) => Ok(Unmounted::Done),
            Err(rustix::io::Errno::BUSY) => Ok(Unmounted::Busy),
            Err(error) => Err(error.into()),
        };
    }
    let arguments = [OsStr::new("-u"), OsStr::new("--"), mount_point.as_os_str()];
    let outcome = process::run(OsStr::new("fusermount3"), arguments, deadline).map_err(io::Error::other)?;
    if outcome.status.success() {
        Ok(Unmounted::Done)
    } else if outcome.output.contains("Device or resource busy") {
        Ok(Unmounted::Busy)
    } else {
        Err(io::Error::other(format!(
            "fusermount3 ({}){}",
            outcome.status,
            printed(&outcome.output)
        )))
    }
}
