//! `nova-quobyte`: attaches VM images on a Quobyte volume to libvirt guests.

mod cli;
mod commands;
mod error;
mod hints;
mod libvirt;
mod output;
mod progress;
mod settings;

use std::process::ExitCode;

fn main() -> ExitCode {
    output::print_result(cli::parse().map(|cli| (cli.options.json, commands::run(&cli))))
}
