//! The log, on standard error. A reader that is slow, stuck or gone must not keep a command waiting half-way: what standard
//! error does not take at once is kept until the command is done.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use quobyte_volume::error::one_line;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use tracing::Level;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format;

/// As much as a pipe takes without waiting once it takes anything.
const CHUNK_LEN: usize = 4096;

/// How much is kept, in bytes. What is logged beyond that is dropped.
const MAX_KEPT_LEN: usize = 1 << 20;

/// How long the end of a command waits for a reader that takes nothing.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// What is yet to be written.
static KEPT: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Logs what is at least of that level from now on.
pub(crate) fn install(level: Level) {
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        // It would report on standard error that standard error cannot be written, and panic.
        .log_internal_errors(false)
        .with_writer(|| LogWriter)
        // A field may be another's word, such as what libvirt or a client has said.
        .fmt_fields(
            format::debug_fn(|writer, field, value| {
                let value = one_line(&format!("{value:?}"));
                match field.name() {
                    "message" => write!(writer, "{value}"),
                    name => write!(writer, "{name}={value}"),
                }
            })
            .delimited(" "),
        )
        .init();
}

/// Writes what was kept, for which it may wait: as long as standard error waits, or up to [`MAX_WAIT`] for each part where
/// standard error leaves the waiting to its writers. What cannot be written is lost.
pub(crate) fn flush() {
    let kept = std::mem::take(&mut *KEPT.lock().unwrap_or_else(PoisonError::into_inner));
    let mut rest = &kept[..];
    let mut last_progress = Instant::now();
    while !rest.is_empty() {
        match io::stderr().write(&rest[..rest.len().min(CHUNK_LEN)]) {
            Ok(written) => {
                rest = &rest[written..];
                last_progress = Instant::now();
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let left = MAX_WAIT.saturating_sub(last_progress.elapsed());
                if left.is_zero() || !takes_more(left) {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = text;
        while !rest.is_empty() && kept.is_empty() && takes_more(Duration::ZERO) {
            match io::stderr().write(&rest[..rest.len().min(CHUNK_LEN)]) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // Nobody will ever read it.
                Err(_) => return Ok(text.len()),
            }
        }
        if kept.len() + rest.len() <= MAX_KEPT_LEN {
            kept.extend_from_slice(rest);
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether standard error takes some bytes, or an error, by then.
fn takes_more(wait: Duration) -> bool {
    let stderr = io::stderr();
    let wait =
        Timespec { tv_sec: wait.as_secs().try_into().unwrap_or(0), tv_nsec: wait.subsec_nanos().into() };
    let polled = retry_on_intr(|| poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], Some(&wait)));
    polled != Ok(0)
}
