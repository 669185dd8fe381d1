//! `nova-quobyte`: attaches VM images on a Quobyte volume to libvirt guests.

mod cli;
mod commands;
mod error;
mod hints;
mod libvirt;
mod log;
mod output;
mod progress;
mod settings;
mod stream;
mod terminal;

use std::process::ExitCode;

use quobyte_volume::host::set_up_program;

fn main() -> ExitCode {
    set_up_program();
    let outcome = cli::parse().map(|cli| output::Outcome {
        json: cli.options.json,
        is_query: cli.command.is_query(),
        result: commands::run(&cli),
    });
    // What a command holds is free by now: from here on a reader may keep it waiting.
    log::flush();
    output::print_result(outcome)
}
