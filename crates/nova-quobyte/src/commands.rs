//! One file per subcommand. Each takes its arguments and returns an answer; none prints. What they share is in `input` and
//! `present`.

mod attach;
mod connect;
mod detach;
mod disconnect;
mod disk_xml;
mod explain;
mod hook;
mod input;
mod metadata;
mod present;
mod reconcile;
mod status;

use quobyte_volume::host::check_capacity;
use tracing::Level;

use self::input::read_connection_info;
use crate::cli::{Cli, Command};
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
        Command::Connect { instance, volume } => {
            connect::run(settings, &attach::parse_volume(volume)?, *instance)
        }
        Command::Disconnect { instance, image, force } => {
            disconnect::run(settings, &disconnect::parse_target(image)?, *instance, *force)
        }
        Command::DiskXml { connection, target, bus } => {
            disk_xml::run(settings, &read_connection_info(&connection.connection_info)?, target, bus.bus)
        }
        Command::Explain { connection } => {
            explain::run(settings, &read_connection_info(&connection.connection_info)?)
        }
        Command::Attach { domain, volume, target, bus } => {
            attach::run(settings, domain, &attach::parse_volume(volume)?, target.as_ref(), bus.bus)
        }
        Command::Detach { domain, target, timeout } => detach::run(settings, domain, target, *timeout),
        Command::Status => status::run(settings),
        Command::Reconcile { in_turn: true, .. } => reconcile::run_in_turn(settings),
        Command::Reconcile { dry_run, .. } => reconcile::run(settings, *dry_run),
        Command::Hook { .. } => event.map_or_else(|| Ok(Answer::none()), |event| hook::run(settings, &event)),
    }
}
