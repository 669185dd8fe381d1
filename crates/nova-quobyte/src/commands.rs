//! One file per subcommand. Each takes its arguments and returns an answer; none prints.

mod attach;
mod connect;
mod detach;
mod disconnect;
mod disk_xml;
mod explain;
mod reconcile;
mod status;

use std::io::{IsTerminal, Read};
use std::path::Path;

use quobyte_volume::pure::connection::ConnectionInfo;
use tracing::Level;

use crate::cli::{Cli, Command};
use crate::error::Error;
use crate::output::Answer;
use crate::settings::Settings;

/// Does what the command line asks for.
///
/// # Errors
/// The first thing that went wrong; the command is rolled back, or the error says what is left of it.
pub(crate) fn run(cli: &Cli) -> Result<Answer, Error> {
    let level = [Level::WARN, Level::INFO, Level::DEBUG][usize::from(cli.options.verbose.min(2))];
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let settings = Settings::load(&cli.options)?;
    match &cli.command {
        Command::Connect { instance, connection } => {
            connect::run(settings, &read_connection_info(&connection.connection_info)?, *instance)
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
        Command::Detach { domain, target, timeout } => {
            detach::run(settings, domain, target.as_str(), *timeout)
        }
        Command::Status => status::run(settings),
        Command::Reconcile { dry_run } => reconcile::run(settings, *dry_run),
    }
}

/// Longest connection_info read, in bytes. Cinder's are about a thousand.
const MAX_INPUT: u64 = 1 << 20;

/// Reads a connection_info from a file, or from standard input for `-`.
fn read_connection_info(path: &Path) -> Result<ConnectionInfo, Error> {
    let mut json = Vec::new();
    let result = if path == Path::new("-") {
        std::io::stdin().lock().take(MAX_INPUT).read_to_end(&mut json)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_INPUT).read_to_end(&mut json))
    };
    result.map_err(|source| Error::UnreadableInput { path: path.to_owned(), source })?;
    Ok(ConnectionInfo::parse(&json)?)
}

/// Formats lines of names and values, with the values in one column.
fn format_table(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}
