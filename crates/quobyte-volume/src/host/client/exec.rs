//! Becoming the client: what `quobyte-client-unit exec` does, and what it says where that fails.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;

use crate::host::process::{ProgramOutcome, command, find_program, search_path};
use crate::host::sys::process_setup;

pub(super) const PROGRAM: &str = "mount.quobyte";

/// Before the number of the error for which the client cannot be run. It says so on its last line.
const FAILURE: &str = "mount.quobyte cannot be run: errno ";

/// Runs the client in this process's place, with nothing of the surroundings but the user. Returns only where that fails.
pub fn become_client(arguments: impl Iterator<Item = OsString>) -> io::Error {
    process_setup::set_up_client();
    let program = find_program(OsStr::new(PROGRAM));
    let error = match command(&program) {
        Ok(mut client) => client.args(arguments).env("PATH", search_path()).exec(),
        Err(error) => error,
    };
    io::Error::other(format!("{FAILURE}{}", error.raw_os_error().unwrap_or(libc::ENOENT)))
}

/// Why the client could not be run, if that is how the program ended.
pub(super) fn error(outcome: &ProgramOutcome) -> Option<io::Error> {
    let (_, number) = outcome.output.lines().last()?.split_once(FAILURE)?;
    Some(io::Error::from_raw_os_error(number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn failure_to_become_the_client_is_understood() {
        let number = |output: &str| {
            let outcome = ProgramOutcome { status: ExitStatus::from_raw(1 << 8), output: output.to_owned() };
            error(&outcome).and_then(|error| error.raw_os_error())
        };
        assert_eq!(number(&format!("quobyte-client-unit: {FAILURE}13")), Some(libc::EACCES));
        for output in ["", "errno 13", FAILURE, &format!("{FAILURE}13\nthe client's own words")] {
            assert_eq!(number(output), None, "{output}");
        }
    }
}
