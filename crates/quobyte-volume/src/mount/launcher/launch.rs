//! Having systemd start a client, from request to outcome.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::Launcher;
use super::exchange::{self, Exchange, Request};
use super::manager::{CommandLine, Manager, TEMPLATE_DIRECTORY, Unit, runtime_directory};
use super::surroundings::Here;
use crate::attachments;
use crate::deadline::Deadline;
use crate::mount::ClientError;
use crate::mount_path::MountPath;
use crate::process::{self, Outcome, RunError};

/// How long systemd may take to note that a client is given up. Nobody waits for the client's end.
const GIVE_UP: Duration = Duration::from_secs(5);

/// Starts clients in units of their own.
#[derive(Debug, Clone)]
pub(in crate::mount) struct Launch {
    launcher: Launcher,
    directory: PathBuf,
    program: PathBuf,
}

impl Launch {
    /// Requests go through `directory`; `program` is `quobyte-client-unit`.
    pub(in crate::mount) fn new(launcher: Launcher, directory: PathBuf, program: PathBuf) -> Self {
        Self { launcher, directory, program }
    }

    /// The systemd that is to start clients here; `None` where the caller does.
    pub(in crate::mount) fn manager(&self) -> Option<Manager> {
        self.launcher.manager(&Here { directory: &self.directory, program: &self.program })
    }

    /// Takes back what was asked for at `at`: a unit that systemd has yet to start finds nothing to do.
    pub(in crate::mount) fn take_back(&self, at: &MountPath) -> io::Result<()> {
        exchange::take_back(&self.directory, at)
    }

    /// Has `manager` start a client, and waits until that has mounted or failed.
    pub(in crate::mount) fn run(
        &self,
        manager: Manager,
        request: &Request,
        deadline: Deadline,
    ) -> Result<(), ClientError> {
        let not_launched =
            |reason| ClientError::NotLaunched { manager, export: request.export.clone(), reason };
        if manager == Manager::System && self.directory != Path::new(TEMPLATE_DIRECTORY) {
            return Err(not_launched(format!("its units take requests from {TEMPLATE_DIRECTORY} alone")));
        }
        let host = |source| ClientError::Host { source };
        attachments::make_directory(&self.directory).map_err(host)?;
        self.take_back(&request.mount_path).map_err(host)?;
        let unit = Unit {
            manager,
            client: &request.client,
            directory: &self.directory,
            program: &self.program,
            search_path: &std::env::var_os("PATH").unwrap_or_default(),
        };
        let exchange = Exchange::new(&self.directory, &request.client);
        exchange.ask(request).map_err(host)?;
        let said = run(&unit.start(), deadline);
        if let Err(RunError::Timeout { output, .. }) = said {
            // What the unit answers from now on is about a client that is being ended.
            give_up(&unit);
            self.take_back(&request.mount_path).map_err(host)?;
            return Err(ClientError::Timeout { export: request.export.clone(), output });
        }
        if let Some(outcome) = exchange.take_outcome().map_err(host)? {
            return outcome.into_result(&request.export);
        }
        self.take_back(&request.mount_path).map_err(host)?;
        Err(not_launched(said.map_or_else(|error| error.to_string(), |said| said.output)))
    }
}

/// A unit that cannot be stopped either has its client ended by its mark, like one without a unit.
fn give_up(unit: &Unit<'_>) {
    if let Err(error) = run(&unit.give_up(), Deadline::after(GIVE_UP)) {
        tracing::warn!(%error, "the client's unit cannot be stopped");
    }
}

fn run(line: &CommandLine, deadline: Deadline) -> Result<Outcome, RunError> {
    let directory = runtime_directory();
    let directory = directory.to_str().map(|directory| ("XDG_RUNTIME_DIR", directory));
    process::run(OsStr::new(line.program), &line.arguments, directory, Stdio::null(), deadline)
}
