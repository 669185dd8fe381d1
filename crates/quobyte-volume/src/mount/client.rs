//! Quobyte's client, `mount.quobyte`: starting it, and ending what is left of it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use super::MountPath;
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

/// Tells a client started for one mount path from all other processes: it stands in the client's environment, which
/// its background process inherits.
const MARK: &str = "NOVA_QUOBYTE_SHARE";

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
        at: &MountPath,
        deadline: Deadline,
    ) -> Result<(), ClientError> {
        let mut arguments: Vec<OsString> =
            vec!["--disable-xattrs".into(), export.as_str().into(), at.as_path().into()];
        if let Some(config) = &self.config {
            arguments.extend(["-c".into(), config.into()]);
        }
        match process::run(OsStr::new(PROGRAM), arguments, Some((MARK, &at.key())), deadline) {
            Ok(outcome) if outcome.status.success() => Ok(()),
            Ok(outcome) => Err(ClientError::Refused {
                export: export.clone(),
                status: outcome.status,
                output: outcome.output,
            }),
            Err(RunError::Timeout { output, .. }) => {
                Err(ClientError::Timeout { export: export.clone(), output })
            }
            Err(RunError::Start { source, .. }) => Err(ClientError::NotFound { source }),
            Err(RunError::Follow { source, .. }) => Err(ClientError::Host { source }),
        }
    }
}

/// Ends the processes that a client started for `at` has left, so that none mounts there later, and returns how many
/// there were. To be called while nothing is mounted at `at`.
///
/// They are known by the environment they were given; only those of this user can be looked at, and only those were
/// started by it.
pub(super) fn end_strays(at: &MountPath) -> io::Result<usize> {
    let mark = format!("{MARK}={}", at.key());
    let mut ended = 0;
    // A process seen may have started another meanwhile, so it takes a round that finds none.
    loop {
        let strays = strays(mark.as_bytes())?;
        if strays.is_empty() {
            return Ok(ended);
        }
        for stray in &strays {
            process::end(*stray)?;
        }
        ended += strays.len();
    }
}

fn strays(mark: &[u8]) -> io::Result<Vec<u32>> {
    let mut strays = Vec::new();
    for entry in Path::new("/proc").read_dir()? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // Gone since, or another user's.
        let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) else { continue };
        if environment.split(|&byte| byte == 0).any(|variable| variable == mark) {
            strays.push(pid);
        }
    }
    Ok(strays)
}
