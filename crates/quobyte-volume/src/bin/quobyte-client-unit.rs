//! Runs Quobyte's client in a systemd unit on behalf of a driver, and ends it there. Not for people.

use std::io::{self, Write};
use std::process::ExitCode;

use quobyte_volume::host::{set_up_program, start_in_unit, stop_in_unit};

fn main() -> ExitCode {
    set_up_program();
    let command = std::env::args().nth(1);
    let result = match command.as_deref() {
        Some("start") => start_in_unit(),
        Some("stop") => stop_in_unit(),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "usage: quobyte-client-unit start|stop")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "quobyte-client-unit: {error}");
            ExitCode::FAILURE
        }
    }
}
