//! Quobyte's client, `mount.quobyte`: its command line, its name, and why it did not mount.

mod processes;
mod run;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(super) use self::processes::{
    CLIENT_VARIABLE, PidRange, has_other_clients, kill_processes, living_processes, processes,
};
pub use self::run::run_client;
use self::run::{ClientOutcome, PROGRAM};
use super::deadline::Deadline;
use super::process::{self, RunError, output_suffix};
use super::service_manager::ServiceManager;
use crate::pure::connection::Export;
use crate::pure::mount_path::MountPath;
use crate::pure::record::ClientProcess;

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
    #[error("Quobyte's client mount.quobyte cannot be started; it is looked for in {looked_in}")]
    NotFound {
        /// Whose PATH that is, and what it says.
        looked_in: String,
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
        status: ExitStatus,
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
    if is_started_here && !process::find_program(OsStr::new(PROGRAM)).is_absolute() {
        return Err(ClientError::NotFound { looked_in: own_path(), source: io::ErrorKind::NotFound.into() });
    }
    Ok(())
}

/// Has the client mount as `request` says, and waits until it has put itself into the background. Success says that the
/// client was content, not that anything is mounted. The command line is the one Nova and Cinder use. Returns the
/// processes that the client has left, where they are known.
///
/// `program` is `quobyte-client-unit`, which runs the client: this process may be large, or not its own.
pub(super) fn run(
    program: &Path,
    request: &MountRequest,
    deadline: Deadline,
) -> Result<Option<Vec<ClientProcess>>, ClientError> {
    let MountRequest { client, export, mount_path, client_cfg, .. } = request;
    let mut arguments: Vec<OsString> =
        vec!["run".into(), "--disable-xattrs".into(), export.as_str().into(), mount_path.as_path().into()];
    if let Some(config) = client_cfg {
        arguments.extend(["-c".into(), config.into()]);
    }
    let variable = Some((CLIENT_VARIABLE, client.as_str()));
    let (outcome, answer) = match process::ask(program.as_os_str(), arguments, variable, deadline) {
        Ok(ended) => ended,
        Err(RunError::Timeout { output, .. }) => {
            return Err(ClientError::Timeout { export: export.clone(), output });
        }
        Err(RunError::Start { source, .. }) if says_no_program(&source) => {
            let program = program.display();
            let source = io::Error::new(source.kind(), format!("{program}: {source}"));
            return Err(ClientError::Host { source });
        }
        Err(RunError::Start { source, .. } | RunError::Supervise { source, .. }) => {
            return Err(ClientError::Host { source });
        }
    };
    match serde_json::from_str(&answer) {
        Ok(ClientOutcome::Ended { status: 0, processes }) => Ok(processes),
        Ok(ClientOutcome::NotRun { errno }) => {
            let source = io::Error::from_raw_os_error(errno);
            Err(if says_no_program(&source) {
                ClientError::NotFound { looked_in: own_path(), source }
            } else {
                ClientError::Host { source }
            })
        }
        // Without an answer the program itself has ended early, and the client may mount yet.
        answer => {
            let status = match answer {
                Ok(ClientOutcome::Ended { status, .. }) => ExitStatus::from_raw(status),
                _ => outcome.status,
            };
            Err(ClientError::Refused { export: export.clone(), status, output: outcome.output })
        }
    }
}

/// Where this process looks for programs.
pub(super) fn own_path() -> String {
    format!("this process's PATH, then the system's: {}", process::search_path().to_string_lossy())
}

/// Whether a program could not be started because it is not there or is no program for this user.
fn says_no_program(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EACCES | libc::ENOEXEC))
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// What comes of a mount where the program that is to run the client is this script.
    #[expect(clippy::disallowed_methods, reason = "the test makes a program")]
    fn outcome_of(script: &str) -> Result<Option<Vec<ClientProcess>>, ClientError> {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("program");
        std::fs::write(&program, format!("#!/bin/sh\n{script}")).unwrap();
        set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let export = Export::parse("registry/volume").unwrap();
        let mount_path = MountPath::new(directory.path(), &export);
        let budget = Duration::from_secs(30);
        let request =
            MountRequest { client: name(&mount_path, 1), export, mount_path, client_cfg: None, budget };
        run(&program, &request, Deadline::after(budget))
    }

    #[test]
    fn answer_says_what_became_of_the_client() {
        let processes = r#"[{"pid": 7, "start_time": 9}]"#;
        let ended = |status: i32, processes: &str| {
            format!(r#"echo said >&2; echo '{{"Ended": {{"status": {status}, "processes": {processes}}}}}'"#)
        };
        let known = ClientProcess { pid: 7, start_time: 9 };
        assert_eq!(outcome_of(&ended(0, processes)).unwrap(), Some(vec![known]));
        assert_eq!(outcome_of(&ended(0, "null")).unwrap(), None);
        // Without an answer its own end counts, even a good one: nobody knows what the client does.
        for (script, expected) in [
            (ended(3 << 8, "[]"), "exit status: 3): said"),
            (ended(9, "[]"), "signal: 9 (SIGKILL)): said"),
            ("echo said >&2; exit 4".to_owned(), "exit status: 4): said"),
            ("echo said >&2; echo '{'; exit 0".to_owned(), "exit status: 0): said"),
        ] {
            let error = outcome_of(&script).unwrap_err();
            assert!(matches!(error, ClientError::Refused { .. }), "{script}: {error:?}");
            assert!(error.to_string().ends_with(expected), "{script}: {error}");
        }
        for (errno, is_missing) in [(libc::ENOENT, true), (libc::EACCES, true), (libc::EMFILE, false)] {
            let error = outcome_of(&format!(r#"echo '{{"NotRun": {{"errno": {errno}}}}}'"#)).unwrap_err();
            assert_eq!(matches!(error, ClientError::NotFound { .. }), is_missing, "{error:?}");
            assert_eq!(matches!(error, ClientError::Host { .. }), !is_missing, "{error:?}");
        }
    }

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
