//! The log, on standard error. A reader that is slow, stuck or gone must not keep a command waiting half-way: what standard
//! error does not take at once is kept until the command is done.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use quobyte_volume::error::one_line;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::Level;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format;

/// As much as a pipe takes without waiting once it takes anything.
const CHUNK_LEN: usize = 4096;

/// How much is kept, in bytes. What is logged beyond that is dropped.
const MAX_KEPT_LEN: usize = 1 << 20;

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

/// Writes what was kept, for which it may wait. What cannot be written is lost.
pub(crate) fn flush() {
    let kept = std::mem::take(&mut *KEPT.lock().unwrap_or_else(PoisonError::into_inner));
    let _ = io::stderr().write_all(&kept);
}

struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = text;
        while !rest.is_empty() && kept.is_empty() && takes_more() {
            match io::stderr().write(&rest[..rest.len().min(CHUNK_LEN)]) {
                Ok(written) => rest = &rest[written..],
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

/// Whether standard error takes some bytes, or an error, without waiting.
fn takes_more() -> bool {
    let stderr = io::stderr();
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], Some(&now)) != Ok(0)
}
