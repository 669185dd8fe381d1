//! Running the client: what `quobyte-client-unit run` does, and what it answers.
//!
//! It is the client's parent, and that of what the client leaves in the background: so it can say which processes these
//! are, and nobody has to look for them.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use serde::{Deserialize, Serialize};

use super::processes::own_children;
use crate::host::process::{command, find_program, search_path};
use crate::host::sys::process_setup;
use crate::pure::record::ClientProcess;

pub(super) const PROGRAM: &str = "mount.quobyte";

/// What became of the client; on standard output, while all that the client prints goes to standard error.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ClientOutcome {
    /// It could not be run.
    NotRun {
        /// What the kernel said.
        errno: i32,
    },
    /// It has put itself into the background, or failed.
    Ended {
        /// How the process ended that was started, as the kernel gives it.
        status: i32,
        /// What it has left; `None` where that is not known.
        processes: Option<Vec<ClientProcess>>,
    },
}

/// Runs the client with nothing of the surroundings but the user, and prints its [`ClientOutcome`].
///
/// # Errors
/// When nothing can be said of the client's end, not when that was a bad one.
pub fn run_client(arguments: impl Iterator<Item = OsString>) -> io::Result<()> {
    process_setup::set_up_client();
    process_setup::adopt_orphans()?;
    let outcome = match run(arguments) {
        Ok(status) => ClientOutcome::Ended { status: status.into_raw(), processes: own_children() },
        Err(error) => ClientOutcome::NotRun { errno: error.raw_os_error().unwrap_or(libc::ENOENT) },
    };
    serde_json::to_writer(io::stdout(), &outcome)?;
    io::stdout().flush()
}

fn run(arguments: impl Iterator<Item = OsString>) -> io::Result<ExitStatus> {
    let program = find_program(OsStr::new(PROGRAM));
    command(&program)?.args(arguments).env("PATH", search_path()).stdout(io::stderr()).status()
}
