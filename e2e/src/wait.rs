//! Waiting for an event, never longer than a deadline.

use std::{os::fd::AsFd, time::Duration};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::retry_on_intr,
};

/// Waits until `fd` has something to read, a connection to accept or, for a pidfd, an exit to report. False when
/// `limit` has passed first.
pub(crate) fn readable(fd: impl AsFd, limit: Duration) -> bool {
    let timeout = Timespec::try_from(limit).expect("a deadline fits the kernel's time type");
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    retry_on_intr(|| poll(&mut fds, Some(&timeout))).expect("poll an open descriptor") > 0
}
