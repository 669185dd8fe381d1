//! What there is on this host to start a client with.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use super::systemd_unit::{TEMPLATE, TEMPLATE_DIRECTORY, runtime_directory};
use crate::host::deadline::Deadline;
use crate::host::process;

/// Where systemd looks for the system's units, except those it makes itself.
const UNIT_DIRECTORIES: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// How long logind may take to tell whether a user lingers.
const LOGIND_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether the system's systemd runs. sd_booted(3) has this one criterion.
pub(super) fn is_booted() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// What has to be known of a host to choose a launcher. A test passes in what it likes.
pub(super) trait SystemdSetup {
    /// Whether the system's systemd runs and has the template unit, and the unit serves this user.
    fn has_template(&self) -> bool;

    /// Whether this user's own systemd runs, goes on when the user logs out, and has what it takes to run a client.
    fn has_lingering_user_manager(&self) -> bool;
}

/// This host, for who leaves requests in `directory` and has `program` take them.
pub(super) struct ThisHost<'a> {
    pub(super) directory: &'a Path,
    pub(super) program: &'a Path,
}

impl SystemdSetup for ThisHost<'_> {
    /// The template runs as the user who owns the directory it reads from, and nobody else's state is used.
    fn has_template(&self) -> bool {
        is_booted()
            && self.directory == Path::new(TEMPLATE_DIRECTORY)
            && UNIT_DIRECTORIES
                .iter()
                .any(|directory| Path::new(directory).join(format!("{TEMPLATE}@.service")).exists())
    }

    fn has_lingering_user_manager(&self) -> bool {
        if !self.program.exists() || !runtime_directory().join("systemd/private").exists() {
            return false;
        }
        let user = rustix::process::geteuid().as_raw().to_string();
        let arguments = ["show-user", &user, "--property=Linger", "--value"];
        let answer = process::run(
            OsStr::new("loginctl"),
            arguments,
            None,
            Stdio::null(),
            Deadline::after(LOGIND_TIMEOUT),
        );
        answer.is_ok_and(|answer| answer.status.success() && answer.output == "yes")
    }
}
