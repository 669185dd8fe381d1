//! The one place that prints: an answer or an error, as text or as JSON.

use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::process::ExitCode;

use quobyte_volume::error::{Class, one_line, with_causes};
use serde_json::{Value, json};
use tracing::Level;

use crate::error::Error;
use crate::hints::hint;
use crate::log::line_prefix;
use crate::stream::write_all;

/// What a command answers, for scripts and for people.
#[derive(Debug)]
pub(crate) struct Answer {
    json: Value,
    text: String,
    /// Whether the text has this program's own colours, and others' words only as far as they are safe to print.
    is_styled: bool,
    /// The exit status.
    status: u8,
    /// Whether there is nothing to print: another program has answered.
    is_silent: bool,
}

/// The version of what a report is as JSON. It rises when something is taken away or means something else.
pub(crate) const JSON_VERSION: u64 = 1;

impl Answer {
    /// An answer with the text as it may be in parts another's words.
    pub(crate) fn new(json: Value, text: String) -> Self {
        Self { json, text, is_styled: false, status: 0, is_silent: false }
    }

    /// The same with a text that has colours, and in which others' words are safe to print.
    pub(crate) fn styled(json: Value, text: String) -> Self {
        Self { is_styled: true, ..Self::new(json, text) }
    }

    /// The same, with an exit status of its own where `needs_attention`.
    pub(crate) fn with_attention(self, needs_attention: bool) -> Self {
        Self { status: if needs_attention { ATTENTION_STATUS } else { 0 }, ..self }
    }

    #[cfg(test)]
    pub(crate) fn into_text(self) -> String {
        self.text
    }

    fn printable_text(&self) -> String {
        if self.is_styled { self.text.clone() } else { without_control_characters(&self.text) }
    }

    /// No answer, for a caller that takes whatever is printed for something else.
    pub(crate) fn none() -> Self {
        Self::of_program(0)
    }

    /// No answer: a program has answered that was run, and ended with that status.
    pub(crate) fn of_program(status: u8) -> Self {
        Self { status, is_silent: true, ..Self::new(Value::Null, String::new()) }
    }
}

/// What became of a command whose command line was good.
pub(crate) struct Outcome {
    /// Whether it is asked for as JSON.
    pub(crate) json: bool,
    /// Whether the answer is all that the command is for.
    pub(crate) is_query: bool,
    pub(crate) result: Result<Answer, Error>,
}

/// Exit status of a wrong command line; the others are in [`exit_status`].
const USAGE_STATUS: u8 = 2;

/// Exit status of a query that was asked to tell by it that it has found something.
const ATTENTION_STATUS: u8 = 11;

/// Exit status of a command whose answer was all it was for, and could not be written.
const UNWRITTEN_STATUS: u8 = 1;

/// Prints the answer or the error, and returns the exit status. That is the operation's: an answer or an error that cannot
/// be written undoes nothing.
pub(crate) fn print_result(outcome: Result<Outcome, (bool, clap::Error)>) -> ExitCode {
    let is_query = outcome.as_ref().is_ok_and(|outcome| outcome.is_query);
    let outcome = outcome.map(|Outcome { json, result, .. }| (json, result));
    let (printed, status) = match outcome {
        Ok((_, Ok(answer))) if answer.is_silent => (Ok(()), answer.status),
        Ok((true, Ok(answer))) => (print_line(&answer.json), answer.status),
        Ok((false, Ok(answer))) => (print_line(answer.printable_text()), answer.status),
        Ok((true, Err(error))) => {
            let mut json = error_json(&error.code(), &with_causes(&error));
            if let Some(hint) = hint(&error) {
                json["error"]["hint"] = json!(one_line(&hint));
            }
            (print_line(json), exit_status(&error))
        }
        Ok((false, Err(error))) => (print_error(&error), exit_status(&error)),
        // Help and version are no failures, and are asked for by people.
        Err((true, error)) if error.use_stderr() => {
            (print_line(error_json(&"usage", &usage_message(&error))), USAGE_STATUS)
        }
        Err((false, error)) if error.use_stderr() => (print_usage(&error), USAGE_STATUS),
        Err((_, error)) => (print_help(&error), u8::try_from(error.exit_code()).unwrap_or(USAGE_STATUS)),
    };
    match printed {
        Ok(()) => status.into(),
        // The reader has closed the pipe, which is its choice.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => status.into(),
        Err(error) if matches!(status, 0 | ATTENTION_STATUS) => {
            // Where standard error cannot be written either, the exit status is all there is.
            let message = format!("error: the answer cannot be written to standard output: {error}");
            let _ = write_line(&io::stderr(), message);
            if is_query { UNWRITTEN_STATUS.into() } else { status.into() }
        }
        Err(_) => status.into(),
    }
}

fn exit_status(error: &Error) -> u8 {
    match error.code().class() {
        Class::Invalid => 3,
        Class::Mount => 4,
        Class::Time => 5,
        Class::Image => 6,
        Class::InUse => 7,
        Class::Libvirt => 8,
        Class::State => 9,
        Class::Exhausted => 10,
        _ => 1,
    }
}

fn error_json(code: &dyn Display, message: &str) -> Value {
    json!({"error": {"code": code.to_string(), "message": message}})
}

fn print_line(text: impl Display) -> io::Result<()> {
    write_line(&io::stdout(), text)
}

fn print_error(error: &Error) -> io::Result<()> {
    let prefix = line_prefix(Level::ERROR);
    let line = format!("{prefix}error: {} [{}]", with_causes(error), error.code());
    let hint = hint(error).map(|hint| format!("\n{prefix}hint: {}", one_line(&hint)));
    write_line(&io::stderr(), line + &hint.unwrap_or_default())
}

/// Prints clap's message line by line, since it quotes the command line.
fn print_usage(error: &clap::Error) -> io::Result<()> {
    let lines: Vec<_> = error.render().to_string().lines().map(one_line).collect();
    write_line(&io::stderr(), lines.join("\n"))
}

fn print_help(help: &clap::Error) -> io::Result<()> {
    // clap knows which colours a terminal gets.
    if io::stdout().is_terminal() { help.print() } else { print_line(help.render()) }
}

fn write_line(stream: &impl AsFd, text: impl Display) -> io::Result<()> {
    write_all(stream, format!("{}\n", text.to_string().trim_end_matches('\n')).as_bytes())
}

/// Lines of text in which nothing is left that a terminal may obey: names of guests and paths are others' words.
fn without_control_characters(text: &str) -> String {
    let escape = |c: char| {
        if c.is_control() && c != '\n' { c.escape_default().to_string() } else { c.into() }
    };
    text.chars().map(escape).collect()
}

/// clap's message without its decoration.
fn usage_message(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let message = text.split("\n\n").next().unwrap_or(text).split_whitespace().collect::<Vec<_>>().join(" ");
    one_line(&message)
}
