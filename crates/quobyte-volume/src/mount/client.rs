//! Quobyte's client, `mount.quobyte`: starting it, and ending what is left of it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::Stdio;

use super::launcher::{Manager, Request};
use crate::connection::Export;
use crate::deadline::Deadline;
use crate::mount_path::MountPath;
use crate::process::{self, Process, RunError, printed};

const PROGRAM: &str = "mount.quobyte";

/// Tells one client from all other processes: its name stands in its environment, which its background process
/// inherits.
pub(super) const MARK: &str = "NOVA_QUOBYTE_CLIENT";

/// What the client is called that is started for a share's generation. No other has the name in this boot: one that
/// has mounted may serve on where its mount was unmounted lazily, and must not be taken for another.
pub(super) fn name(at: &MountPath, generation: u64) -> String {
    format!("{}-{generation:016x}", at.key())
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
    /// systemd, which was to start it, did not.
    #[error("{manager} did not start mount.quobyte for {export}{}", printed(.reason))]
    NotLaunched {
        /// Whose systemd.
        manager: Manager,
        /// What was to be mounted.
        export: Export,
        /// What systemd said.
        reason: String,
    },
    /// The host failed.
    #[error("mount.quobyte cannot be run")]
    Host {
        /// What failed.
        source: io::Error,
    },
}

/// Has the client mount as `request` says, and waits until it has put itself into the background. Success says that the
/// client was content, not that anything is mounted. The command line is the one Nova and Cinder use.
pub(super) fn run(request: &Request, deadline: Deadline) -> Result<(), ClientError> {
    let Request { client, export, mount_path, client_cfg, .. } = request;
    let mut arguments: Vec<OsString> =
        vec!["--disable-xattrs".into(), export.as_str().into(), mount_path.as_path().into()];
    if let Some(config) = client_cfg {
        arguments.extend(["-c".into(), config.into()]);
    }
    match process::run(OsStr::new(PROGRAM), arguments, Some((MARK, client)), Stdio::null(), deadline) {
        Ok(outcome) if outcome.status.success() => Ok(()),
        Ok(outcome) => Err(ClientError::Refused {
            export: export.clone(),
            status: outcome.status,
            output: outcome.output,
        }),
        Err(RunError::Timeout { output, .. }) => Err(ClientError::Timeout { export: export.clone(), output }),
        Err(RunError::Start { source, .. }) => Err(ClientError::NotFound { source }),
        Err(RunError::Follow { source, .. }) => Err(ClientError::Host { source }),
    }
}

/// Ends the processes of the client of that name, so that it mounts nothing later, and returns how many there were.
///
/// They are known by the environment they were given; only those of this user can be looked at, and only those were
/// started by it.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] when there are still some at the deadline.
pub(super) fn end(client: &str, deadline: Deadline) -> io::Result<usize> {
    let mut ended = 0;
    // A process seen may have started another meanwhile, so it takes a round that finds none.
    loop {
        let processes = processes(client)?;
        if processes.is_empty() {
            return Ok(ended);
        }
        if deadline.has_passed() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        processes.iter().try_for_each(Process::kill)?;
        processes.iter().try_for_each(|process| process.wait_for_end(deadline))?;
        ended += processes.len();
    }
}

/// Whether any other client of the same mount path lives than the one of that name.
pub(super) fn has_others(client: &str) -> io::Result<bool> {
    let key = client.split_once('-').map_or(client, |(key, _)| key);
    Ok(!marked(|other| other != client && other.starts_with(key))?.is_empty())
}

/// The processes of the client of that name, its unit's among them, but for this one.
pub(super) fn processes(client: &str) -> io::Result<Vec<Process>> {
    marked(|other| other == client)
}

/// The processes of clients by whose name `is_wanted` goes, but for this one.
fn marked(is_wanted: impl Fn(&str) -> bool) -> io::Result<Vec<Process>> {
    let name = |variable: &[u8]| {
        let name = variable.strip_prefix(MARK.as_bytes())?.strip_prefix(b"=")?;
        std::str::from_utf8(name).ok().map(str::to_owned)
    };
    let mut processes = Vec::new();
    for entry in Path::new("/proc").read_dir()? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // Held before it is looked at: what is found to be marked is what is held, or that has ended.
        let Some(process) = Process::open(pid)? else { continue };
        // Gone since, or another user's.
        let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) else { continue };
        let client = environment.split(|&byte| byte == 0).find_map(name);
        if client.is_some_and(|client| is_wanted(&client)) && pid != std::process::id() {
            processes.push(process);
        }
    }
    Ok(processes)
}
