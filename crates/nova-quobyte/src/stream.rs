//! Standard streams, which may leave the waiting to their writers.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{retry_on_intr, write};

/// As much as a pipe takes without waiting once it takes anything.
const CHUNK_LEN: usize = 4096;

/// How long a reader is waited for that takes nothing from a stream that leaves the waiting to its writers.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Writes everything, for which it may wait: as long as the stream itself waits, or up to [`MAX_WAIT`] for each part where it
/// leaves that to its writers.
///
/// # Errors
/// [`ErrorKind::WouldBlock`] when nobody reads any more; what could be written is written.
pub(crate) fn write_all(stream: &impl AsFd, bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    let mut last_progress = Instant::now();
    while !rest.is_empty() {
        match write_some(stream, rest) {
            Ok(written) => {
                rest = &rest[written..];
                last_progress = Instant::now();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let left = MAX_WAIT.saturating_sub(last_progress.elapsed());
                if left.is_zero() || !takes_more(stream, left) {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes the beginning, as much as a stream takes at once that takes anything.
pub(crate) fn write_some(stream: &impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(retry_on_intr(|| write(stream, &bytes[..bytes.len().min(CHUNK_LEN)]))?)
}

/// Whether the stream takes some bytes, or an error, by then.
pub(crate) fn takes_more(stream: &impl AsFd, wait: Duration) -> bool {
    let wait =
        Timespec { tv_sec: wait.as_secs().try_into().unwrap_or(0), tv_nsec: wait.subsec_nanos().into() };
    let polled = retry_on_intr(|| poll(&mut [PollFd::new(stream, PollFlags::OUT)], Some(&wait)));
    polled != Ok(0)
}
