//! Runs Quobyte's client in a systemd unit on behalf of a driver, and ends it there. Not for people.

use std::io::{self, Write};
use std::process::ExitCode;

use quobyte_volume::host::{start_in_unit, stop_in_unit};

fn main() -> ExitCode {
    let asked = std::env::args().nth(1);
    let done = match asked.as_deref() {
        Some("start") => start_in_unit(),
        Some("stop") => stop_in_unit(),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "usage: quobyte-client-unit start|stop")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "quobyte-client-unit: {error}");
            ExitCode::FAILURE
        }
    }
}
