//! What a client's unit runs: `quobyte-client-unit start`, and `quobyte-client-unit stop` when it is to end.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use super::exchange::{Exchange, Outcome};
use crate::crash;
use crate::deadline::Deadline;
use crate::mount::client::{self, MARK};
use crate::mount::unmount::{self, How, Unmounted};
use crate::mount_table::{self, Lookup};

/// Names the directory of requests in a unit's environment, beside the mark, which names the request in it.
pub(super) const DIRECTORY: &str = "NOVA_QUOBYTE_LAUNCH";

/// How long unmounting and the client's end may take together; a unit's `TimeoutStopSec` is a little more.
const STOP: Duration = Duration::from_secs(25);

/// Runs the client as the request has it, and tells its outcome.
pub(in crate::mount) fn start() -> io::Result<()> {
    let (directory, key) = environment()?;
    let exchange = Exchange::new(&directory, &key);
    let request = exchange.request()?;
    crash::point("a unit has read its request");
    let result = client::run(&request, Deadline::after(request.budget));
    exchange.answer(&Outcome::of(&result))?;
    result.map_err(io::Error::other)
}

/// Unmounts what the client serves and waits for its end, so that nothing it still has to store is lost. A client that
/// has ended by itself leaves its mount to the driver, which knows who had files open on it.
pub(in crate::mount) fn stop() -> io::Result<()> {
    let (directory, key) = environment()?;
    let Some(request) = Exchange::new(&directory, &key).take_running()? else { return Ok(()) };
    crash::point("a unit that is to stop has taken what it runs");
    let clients = client::processes(&request.mount_path)?;
    let at = request.mount_path.as_path();
    let deadline = Deadline::after(STOP);
    if clients.is_empty()
        || !mount_table::top_mount(at, None, Lookup::Statmount)?
            .is_some_and(|mount| mount.is_of(&request.export))
    {
        return Ok(());
    }
    if unmount::unmount(at, How::IfUnused, Stdio::null(), deadline)? == Unmounted::Busy {
        return Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            format!("files on {} are open", at.display()),
        ));
    }
    clients.iter().try_for_each(|client| client.wait_for_end(deadline))
}

fn environment() -> io::Result<(PathBuf, String)> {
    let key = std::env::var(MARK).map_err(io::Error::other)?;
    let directory = std::env::var_os(DIRECTORY);
    let directory = directory.ok_or_else(|| io::Error::other(format!("{DIRECTORY} is not set")))?;
    Ok((directory.into(), key))
}
