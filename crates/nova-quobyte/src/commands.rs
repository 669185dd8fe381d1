//! One file per subcommand. Each takes its arguments and returns an answer; none prints. What they share is in `input` and
//! `present`.

mod attach;
mod config;
mod connect;
mod detach;
mod disconnect;
mod disk_xml;
mod explain;
mod guest_names;
mod hook;
mod input;
mod manual;
mod metadata;
mod present;
mod reconcile;
mod run;
mod status;

use quobyte_volume::host::check_capacity;
use quobyte_volume::pure::connection::Export;
use tracing::Level;

use self::input::{parse_image, parse_volume};
use crate::cli::{Cli, Command, ConfigCommand};
use crate::error::Error;
use crate::log;
use crate::output::Answer;
use crate::settings::Settings;

/// Does what the command line asks for.
///
/// # Errors
/// The first thing that went wrong; the command is rolled back, or the error says what is left of it.
pub(crate) fn run(cli: &Cli) -> Result<Answer, Error> {
    let level = [Level::WARN, Level::INFO, Level::DEBUG][usize::from(cli.options.verbose.min(2))];
    log::install(level);
    match &cli.command {
        Command::Completions { shell } => return Ok(manual::completions(*shell)),
        Command::Man { page, list } => return manual::page(page.as_deref(), *list),
        _ => {}
    }
    let event = match &cli.command {
        Command::Hook { operation, sub_operation, .. } => {
            match hook::Event::read(operation, sub_operation)? {
                Some(event) => Some(event),
                None => return Ok(Answer::none()),
            }
        }
        _ => None,
    };
    check_capacity(cli.command.may_mount()).map_err(|source| Error::HostExhausted { source })?;
    let settings = Settings::load(&cli.options)?;
    match &cli.command {
        Command::Connect { instance, volume } => connect::run(settings, &parse_volume(volume)?, instance),
        Command::Disconnect { instance, image, force } => {
            disconnect::run(settings, &parse_image(image)?, instance, *force)
        }
        Command::DiskXml { volume, target, bus } => {
            disk_xml::run(settings, &parse_volume(volume)?, target, bus.bus)
        }
        Command::Explain { volume } => explain::run(settings, &parse_volume(volume)?),
        Command::Attach { domain, volume, target, bus } => {
            attach::run(settings, domain, &parse_volume(volume)?, target.as_ref(), bus.bus)
        }
        Command::Detach { domain, disk, timeout } => detach::run(settings, domain, disk, *timeout),
        Command::Status { wide, exit_code } => status::run(settings, *wide, *exit_code),
        Command::Reconcile { in_turn: true, .. } => reconcile::run_in_turn(settings),
        Command::Reconcile { dry_run, exit_code, .. } => reconcile::run(settings, *dry_run, *exit_code),
        Command::Hook { .. } => event.map_or_else(|| Ok(Answer::none()), |event| hook::run(settings, &event)),
        Command::Run { export, command } => run::run(settings, &Export::parse(export)?, command),
        Command::Config { command: ConfigCommand::Show } => Ok(config::show(&settings)),
        Command::Completions { .. } | Command::Man { .. } => unreachable!("they need no settings"),
    }
}
