//! What subcommands read: connection_info, from a file or from standard input.

use std::io::Read;
use std::path::Path;

use quobyte_volume::pure::connection::ConnectionInfo;

use crate::error::Error;

/// Longest connection_info read, in bytes. Cinder's are about a thousand.
const MAX_INPUT: u64 = 1 << 20;

/// Reads a connection_info from a file, or from standard input for `-`.
pub(super) fn read_connection_info(path: &Path) -> Result<ConnectionInfo, Error> {
    let mut json = Vec::new();
    let result = if path == Path::new("-") {
        std::io::stdin().lock().take(MAX_INPUT).read_to_end(&mut json)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_INPUT).read_to_end(&mut json))
    };
    result.map_err(|source| Error::UnreadableInput { path: path.to_owned(), source })?;
    Ok(ConnectionInfo::parse(&json)?)
}
