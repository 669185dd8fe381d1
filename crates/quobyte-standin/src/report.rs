//! The child's way to tell the launcher how mounting went.
//!
//! The launcher reads its child's stdout to the end. The child writes one line and lets go of the pipe when it
//! answers requests, or writes an error and ends. A child that ends without a word has failed, too.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// What the launcher reads of a child that serves.
pub(crate) const MOUNTED: &str = "mounted\n";

/// Where a client reports to.
pub(crate) enum Report {
    /// A launcher waits at the other end of stdout.
    Launcher,
    /// Nobody waits: the client runs in the foreground.
    None,
}

impl Report {
    /// Tells the launcher that the mount serves, and lets go of it.
    pub(crate) fn mounted(&self) -> io::Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Launcher => {
                let mut stdout = io::stdout();
                // A launcher that was killed no longer listens; the mount stays, as the real client's would.
                let _ = stdout.write_all(MOUNTED.as_bytes()).and_then(|()| stdout.flush());
                let null: File = OpenOptions::new().write(true).open("/dev/null")?;
                Ok(rustix::stdio::dup2_stdout(null)?)
            }
        }
    }

    /// Waits for `time`, or for ever, but no longer than the launcher lives. Says whether the launcher is there still.
    pub(crate) fn wait(&self, time: Option<Duration>) -> io::Result<bool> {
        let stdout = io::stdout();
        let mut pipe = match self {
            Self::Launcher => vec![PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::empty())],
            Self::None => Vec::new(),
        };
        let timeout = time.map(Timespec::try_from).transpose().map_err(|_| Errno::INVAL)?;
        Ok(poll(&mut pipe, timeout.as_ref())? == 0)
    }
}
