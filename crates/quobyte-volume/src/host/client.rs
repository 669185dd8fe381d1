//! Quobyte's client, `mount.quobyte`: its command line, its name, and why it did not mount.

mod exec;
mod processes;

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::exec::become_client;
pub(super) use self::processes::{PidRange, has_other_clients, kill_processes, living_processes, processes};
use super::deadline::Deadline;
use super::process::{self, RunError, output_suffix};
use super::service_manager::ServiceManager;
use crate::pure::connection::Export;
use crate::pure::mount_path::MountPath;

/// Tells one client from all other processes: its name stands in its environment, which its background process
/// inherits.
pub(super) const CLIENT_VARIABLE: &str = "NOVA_QUOBYTE_CLIENT";

/// What the client is called that is started for a share's generation. No other has the name in this boot: one that
/// has mounted may serve on where its mount was unmounted lazily, and must not be taken for another.
pub(super) fn name(at: &MountPath, generation: u64) -> String {
    format!("{}-{generation:016x}", at.key())
}

/// What a client is to mount, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MountRequest {
    /// The name of the client that is to do it: see [`name`].
    pub(super) client: String,
    pub(super) export: Export,
    pub(super) mount_path: MountPath,
    pub(super) client_cfg: Option<PathBuf>,
    /// How long the client may take.
    pub(super) budget: Duration,
}

/// Why the client, as far as it can tell, did not mount.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The program is not there or may not be run.
    #[error("Quobyte's client mount.quobyte cannot be started; is it installed and in PATH?")]
    NotFound {
        /// What the kernel said.
        source: io::Error,
    },
    /// Its configuration file is not there.
    #[error("{path}, the configuration of Quobyte's client, cannot be read")]
    NoConfiguration {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It did not end by the deadline.
    #[error("mount.quobyte did not mount {export} by the deadline{}", output_suffix(.output))]
    Timeout {
        /// What it was to mount.
        export: Export,
        /// What it printed until then.
        output: String,
    },
    /// It ended and said it failed.
    #[error("mount.quobyte refused to mount {export} ({status}){}", output_suffix(.output))]
    Refused {
        /// What it was to mount.
        export: Export,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it printed.
        output: String,
    },
    /// systemd, which was to start it, did not.
    #[error("{manager} did not start mount.quobyte for {export}{}", output_suffix(.reason))]
    NotLaunched {
        /// Whose systemd.
        manager: ServiceManager,
        /// What was to be mounted.
        export: Export,
        /// What systemd said.
        reason: String,
    },
    /// It would not outlive the caller.
    #[error(
        "mount.quobyte would end together with {unit}, which ends with this command; have systemd start it in a unit \
         of its own, or set RemainAfterExit=yes in {unit}"
    )]
    EndsWithCaller {
        /// The caller's service.
        unit: String,
    },
    /// The host failed.
    #[error("mount.quobyte cannot be run")]
    Host {
        /// What failed.
        source: io::Error,
    },
}

/// Whether a client can be started with that configuration file, by this process where `is_started_here`.
pub(super) fn check(client_cfg: Option<&Path>, is_started_here: bool) -> Result<(), ClientError> {
    if let Some(path) = client_cfg {
        let unreadable = |source| ClientError::NoConfiguration { path: path.to_owned(), source };
        path.metadata().map_err(unreadable)?;
    }
    if is_started_here && !process::find_program(OsStr::new(exec::PROGRAM)).is_absolute() {
        return Err(ClientError::NotFound { source: io::ErrorKind::NotFound.into() });
    }
    Ok(())
}

/// Has the client mount as `request` says, and waits until it has put itself into the background. Success says that the
/// client was content, not that anything is mounted. The command line is the one Nova and Cinder use.
///
/// `program` is `quobyte-client-unit`, which becomes the client: this process may be large, or not its own.
pub(super) fn run(program: &Path, request: &MountRequest, deadline: Deadline) -> Result<(), ClientError> {
    let MountRequest { client, export, mount_path, client_cfg, .. } = request;
    let mut arguments: Vec<OsString> =
        vec!["exec".into(), "--disable-xattrs".into(), export.as_str().into(), mount_path.as_path().into()];
    if let Some(config) = client_cfg {
        arguments.extend(["-c".into(), config.into()]);
    }
    let variable = Some((CLIENT_VARIABLE, client.as_str()));
    match process::run(program.as_os_str(), arguments, variable, Stdio::null(), deadline) {
        Ok(outcome) if outcome.status.success() => Ok(()),
        Ok(outcome) => Err(match exec::error(&outcome) {
            Some(source) if says_no_program(&source) => ClientError::NotFound { source },
            Some(source) => ClientError::Host { source },
            None => ClientError::Refused {
                export: export.clone(),
                status: outcome.status,
                output: outcome.output,
            },
        }),
        Err(RunError::Timeout { output, .. }) => Err(ClientError::Timeout { export: export.clone(), output }),
        Err(RunError::Start { source, .. }) if says_no_program(&source) => {
            let program = program.display();
            Err(ClientError::Host { source: io::Error::new(source.kind(), format!("{program}: {source}")) })
        }
        Err(RunError::Start { source, .. } | RunError::Supervise { source, .. }) => {
            Err(ClientError::Host { source })
        }
    }
}

/// Whether a program could not be started because it is not there or is no program for this user.
fn says_no_program(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EACCES | libc::ENOEXEC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_missing_program_is_not_found() {
        for (number, is_missing) in [
            (libc::ENOENT, true),
            (libc::EACCES, true),
            (libc::ENOEXEC, true),
            (libc::EAGAIN, false),
            (libc::EMFILE, false),
            (libc::ENOMEM, false),
            (libc::ETXTBSY, false),
        ] {
            let error = io::Error::from_raw_os_error(number);
            assert_eq!(says_no_program(&error), is_missing, "{error}");
        }
    }
}
