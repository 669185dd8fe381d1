//! What a client's unit runs: `quobyte-client-unit start`, and `quobyte-client-unit stop` when it is to end.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use super::mailbox::{LAUNCH_DIRECTORY_VARIABLE, Mailbox, MountOutcome};
use super::systemd_unit::MAX_BUDGET;
use crate::host::client::{self, CLIENT_VARIABLE};
use crate::host::crash;
use crate::host::deadline::Deadline;
use crate::host::mount_table::{self, Lookup};
use crate::host::records;
use crate::host::unmount::{self, UnmountMode, UnmountOutcome};

/// How long unmounting and the client's end may take together; a unit's `TimeoutStopSec` is a little more.
const STOP_TIMEOUT: Duration = Duration::from_secs(25);

/// Runs the client as the request says, and posts its outcome.
pub(super) fn start() -> io::Result<()> {
    let (directory, client) = environment()?;
    let mailbox = Mailbox::new(&directory, &client);
    let request = mailbox.read_request()?;
    crash::point("a unit has read its request");
    let program = std::env::current_exe()?;
    let result = client::run(&program, &request, Deadline::after(request.budget.min(MAX_BUDGET))).map(drop);
    mailbox.post_outcome(&MountOutcome::from_result(&result))?;
    result.map_err(io::Error::other)
}

/// Unmounts what the client serves and waits for its end, so that nothing it still has to store is lost. A client that
/// has ended by itself leaves its mount to the driver, which knows who had files open on it; one that is not on record
/// any more has none.
pub(super) fn stop() -> io::Result<()> {
    let (directory, client) = environment()?;
    let processes = client::processes(&client)?;
    // Even a state directory that no operation would use says what is to be unmounted.
    let records = records::usable_records(directory.parent().unwrap_or(&directory))?;
    // A record that was made anew, as when an earlier one was lost, does not know the client's name.
    let is_only = !client::has_other_clients(&client)?;
    let record = records.into_iter().find(|record| {
        client::name(&record.mount_path, record.generation) == client
            || is_only && client.starts_with(&record.mount_path.key())
    });
    crash::point("a unit that is to stop has found what it serves");
    let Some((mount_path, mount)) = record.and_then(|record| Some((record.mount_path, record.mount?))) else {
        return Ok(());
    };
    let at = mount_path.as_path();
    let deadline = Deadline::after(STOP_TIMEOUT);
    if processes.is_empty()
        || !mount_table::top_mount(at, Some(&mount), Lookup::Statmount)?
            .is_some_and(|top| top.is_same(&mount))
    {
        return Ok(());
    }
    if unmount::unmount(at, UnmountMode::IfUnused, Stdio::null(), deadline)? == UnmountOutcome::Busy {
        return Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            format!("files on {} are open", at.display()),
        ));
    }
    processes.iter().try_for_each(|process| process.wait(deadline))
}

fn environment() -> io::Result<(PathBuf, String)> {
    let client = std::env::var(CLIENT_VARIABLE).map_err(io::Error::other)?;
    let directory = std::env::var_os(LAUNCH_DIRECTORY_VARIABLE);
    let directory =
        directory.ok_or_else(|| io::Error::other(format!("{LAUNCH_DIRECTORY_VARIABLE} is not set")))?;
    Ok((directory.into(), client))
}
