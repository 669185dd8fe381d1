//! The log, on standard error. A reader that is slow, stuck or gone must not keep a command waiting half-way: what standard
//! error does not take at once is kept until the command is done.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use quobyte_volume::error::one_line;
use rustix::fs::fstat;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::{self, DefaultFields, Format, Full};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{MakeWriter, SubscriberBuilder};

use crate::stream::{takes_more, write_all, write_some};
use crate::terminal::wants_colours;

/// How much is kept, in bytes. What is logged beyond that is dropped.
const MAX_KEPT_LEN: usize = 1 << 20;

/// What is yet to be written.
static KEPT: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Logs what is at least of that level from now on.
pub(crate) fn install(level: Level) {
    let lines = tracing_subscriber::fmt().with_max_level(level).with_target(false);
    if is_journal() {
        // It has a time of its own.
        start(lines.without_time().with_level(false).with_ansi(false).with_writer(JournalWriter));
    } else {
        let is_coloured = io::stderr().is_terminal() && wants_colours();
        start(lines.with_ansi(is_coloured).with_writer(|| LogWriter));
    }
}

fn start<T, W>(lines: SubscriberBuilder<DefaultFields, Format<Full, T>, LevelFilter, W>)
where
    T: FormatTime + Send + Sync + 'static,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    lines
        // It would report on standard error that standard error cannot be written, and panic.
        .log_internal_errors(false)
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

/// What a line of that level on standard error begins with: the journal takes its priority from there, by sd-daemon(3).
/// Its own protocol would have it show no field beside a message, and would keep a command waiting for a journal that is
/// stuck.
pub(crate) fn line_prefix(level: Level) -> &'static str {
    if !is_journal() {
        return "";
    }
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        _ => "<7>",
    }
}

/// Whether standard error goes to the journal: systemd tells a service the file that it has for that.
fn is_journal() -> bool {
    let named = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    fstat(io::stderr()).is_ok_and(|file| format!("{}:{}", file.st_dev, file.st_ino) == named)
}

/// Begins each line with its priority.
struct JournalWriter;

impl<'a> MakeWriter<'a> for JournalWriter {
    type Writer = LineWriter;

    fn make_writer(&'a self) -> LineWriter {
        LineWriter(Level::INFO)
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> LineWriter {
        LineWriter(*event.level())
    }
}

/// Writes one line of that level.
struct LineWriter(Level);

impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LogWriter.write(&[line_prefix(self.0).as_bytes(), line].concat())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
