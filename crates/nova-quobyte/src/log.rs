//! The log, on standard error. A reader that is slow, stuck or gone must not keep a command waiting half-way: what standard
//! error does not take at once is kept until the command is done.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use quobyte_volume::error::one_line;
use tracing::Level;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format;

use crate::stream::{takes_more, write_all, write_some};

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

/// Writes what was kept, for which it may wait as [`write_all`] does. What cannot be written is lost.
pub(crate) fn flush() {
    let kept = std::mem::take(&mut *KEPT.lock().unwrap_or_else(PoisonError::into_inner));
    let _ = write_all(&io::stderr(), &kept);
}

struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = text;
        while !rest.is_empty() && kept.is_empty() && takes_more(&io::stderr(), Duration::ZERO) {
            match write_some(&io::stderr(), rest) {
                Ok(written) => rest = &rest[written..],
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
