//! Runs Quobyte's client on behalf of a driver, by itself or in a systemd unit, and ends it there. Not for people.

use std::io::{self, Write};
use std::process::ExitCode;

use quobyte_volume::host::{run_client, set_up_program, start_in_unit, stop_in_unit};

fn main() -> ExitCode {
    set_up_program();
    let mut arguments = std::env::args_os().skip(1);
    let command = arguments.next();
    let result = match command.as_ref().and_then(|command| command.to_str()) {
        Some("start") => start_in_unit(),
        Some("stop") => stop_in_unit(),
        Some("run") => run_client(arguments),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "usage: quobyte-client-unit start|stop|run ARGUMENT...",
        )),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "quobyte-client-unit: {error}");
            ExitCode::FAILURE
        }
    }
}
