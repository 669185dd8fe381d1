//! What subcommands read: connection_info, from a file or from standard input.

use std::io::Read;
use std::path::Path;

use quobyte_volume::pure::connection::{ConnectionInfo, MAX_CONNECTION_INFO_LEN, WireValue};

use crate::error::Error;

/// Reads the connection_info of a volume to connect or to look at.
pub(super) fn read_connection_info(path: &Path) -> Result<ConnectionInfo, Error> {
    Ok(ConnectionInfo::from_wire(&read_wire_value(path)?)?)
}

/// Reads a connection_info from a file, or from standard input for `-`.
pub(super) fn read_wire_value(path: &Path) -> Result<WireValue, Error> {
    // One byte more than is accepted tells what is too long from what is not.
    let limit = MAX_CONNECTION_INFO_LEN as u64 + 1;
    let mut json = Vec::new();
    let result = if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut json)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut json))
    };
    result.map_err(|source| Error::UnreadableInput { path: path.to_owned(), source })?;
    Ok(WireValue::parse(&json)?)
}
