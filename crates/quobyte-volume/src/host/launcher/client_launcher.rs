//! Having systemd start a client, from request to outcome.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::Launcher;
use super::mailbox::{self, Mailbox};
use super::systemd_setup::ThisHost;
use super::systemd_unit::{CommandLine, MAX_BUDGET, TEMPLATE_DIRECTORY, Unit, runtime_directory};
use crate::error::is_exhaustion;
use crate::host::client::{ClientError, MountRequest, own_path};
use crate::host::deadline::Deadline;
use crate::host::process::{self, ProgramOutcome, RunError};
use crate::host::records;
use crate::host::service_manager::ServiceManager;
use crate::pure::mount_path::MountPath;

/// How long systemd may take to accept that a unit is to stop. The client's end is not waited for.
const UNIT_STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Starts clients in units of their own.
#[derive(Debug, Clone)]
pub(in crate::host) struct ClientLauncher {
    launcher: Launcher,
    directory: PathBuf,
    program: PathBuf,
}

impl ClientLauncher {
    /// Requests go through `directory`; `program` is `quobyte-client-unit`.
    pub(in crate::host) fn new(launcher: Launcher, directory: PathBuf, program: PathBuf) -> Self {
        Self { launcher, directory, program }
    }

    /// The systemd that is to start clients here; `None` where the caller does.
    pub(in crate::host) fn manager(&self) -> Option<ServiceManager> {
        self.launcher.manager(&ThisHost { directory: &self.directory, program: &self.program })
    }

    /// Removes the requests for `at`: a unit that systemd has yet to start finds nothing to do.
    pub(in crate::host) fn withdraw_requests(&self, at: &MountPath) -> io::Result<()> {
        mailbox::clear(&self.directory, at)
    }

    /// Has `manager` start a client, and waits until that has mounted or failed.
    pub(in crate::host) fn run(
        &self,
        manager: ServiceManager,
        request: &MountRequest,
        deadline: Deadline,
    ) -> Result<(), ClientError> {
        let not_launched =
            |reason| ClientError::NotLaunched { manager, export: request.export.clone(), reason };
        if manager == ServiceManager::System && self.directory != Path::new(TEMPLATE_DIRECTORY) {
            return Err(not_launched(format!("its units take requests from {TEMPLATE_DIRECTORY} alone")));
        }
        let host_error = |source| ClientError::Host { source };
        records::make_directory(&self.directory).map_err(host_error)?;
        self.withdraw_requests(&request.mount_path).map_err(host_error)?;
        let unit = Unit {
            manager,
            client: &request.client,
            directory: &self.directory,
            program: &self.program,
            path_env: &process::search_path(),
        };
        let request = &MountRequest { budget: request.budget.min(MAX_BUDGET), ..request.clone() };
        let mailbox = Mailbox::new(&self.directory, &request.client);
        mailbox.post_request(request).map_err(host_error)?;
        let result = run(&unit.start(), deadline);
        if let Err(RunError::Timeout { output, .. }) = result {
            // An outcome that the unit posts from now on is of a client that is being killed.
            stop_unit(&unit);
            self.withdraw_requests(&request.mount_path).map_err(host_error)?;
            return Err(ClientError::Timeout { export: request.export.clone(), output });
        }
        if let Some(outcome) = mailbox.take_outcome().map_err(host_error)? {
            return outcome.into_result(&request.export, looked_in(manager));
        }
        self.withdraw_requests(&request.mount_path).map_err(host_error)?;
        Err(match result {
            Err(RunError::Start { source, .. } | RunError::Supervise { source, .. })
                if is_exhaustion(&source) =>
            {
                host_error(source)
            }
            Err(error) => not_launched(error.to_string()),
            Ok(outcome) => not_launched(outcome.output),
        })
    }
}

/// Where a unit of that systemd looks for the client.
fn looked_in(manager: ServiceManager) -> String {
    match manager {
        ServiceManager::System => format!(
            "the PATH of {manager}, which `systemctl show-environment` may tell, then in {}",
            process::SYSTEM_PATH
        ),
        ServiceManager::User => own_path(),
    }
}

/// Has systemd stop the unit. Where it cannot, the driver kills the client by the name in its environment, as it does
/// without a unit.
fn stop_unit(unit: &Unit<'_>) {
    if let Err(error) = run(&unit.stop(), Deadline::after(UNIT_STOP_TIMEOUT)) {
        tracing::warn!(%error, "the client's unit cannot be stopped");
    }
}

fn run(line: &CommandLine, deadline: Deadline) -> Result<ProgramOutcome, RunError> {
    let directory = runtime_directory();
    let directory = directory.to_str().map(|directory| ("XDG_RUNTIME_DIR", directory));
    process::run(OsStr::new(line.program), &line.arguments, directory, Stdio::null(), deadline)
}
