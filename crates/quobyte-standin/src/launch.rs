//! `mount.quobyte`: starts the client as a child of its own session and waits for its report.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::arguments::{self, Arguments, Request, USAGE};
use crate::client;
use crate::exit::Exit;
use crate::report::{MOUNTED, Report};
use crate::stderr::write_stderr;

/// First argument of the child, which no user gives.
const CHILD: &str = "--standin-child";

/// Runs `mount.quobyte` with the arguments after the program's name.
pub(crate) fn main(arguments: &[OsString]) -> Exit {
    let (is_child, client_arguments) = match arguments.split_first() {
        Some((first, rest)) if first == OsStr::new(CHILD) => (true, rest),
        _ => (false, arguments),
    };
    match arguments::parse(client_arguments) {
        Ok(Request::Help) => print(USAGE),
        Ok(Request::Version) => print(concat!("mount.quobyte ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Request::Mount(request)) if is_child => run_child(&request),
        Ok(Request::Mount(request)) if request.foreground => run_in_foreground(&request),
        Ok(Request::Mount(request)) => launch(client_arguments, &request),
        Err(error) => {
            write_stderr(&format!("mount.quobyte: {error}\n{USAGE}"));
            Exit::Usage
        }
    }
}

/// Help and version end as a usage error does: the real client's callers know its version by a non-zero exit.
fn print(text: &str) -> Exit {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Exit::Usage,
        Err(_) => Exit::Other,
    }
}

fn run_in_foreground(request: &Arguments) -> Exit {
    let logged = open_log(request).and_then(|log| match log {
        Some(log) => Ok(rustix::stdio::dup2_stderr(log)?),
        None => Ok(()),
    });
    if let Err(error) = logged {
        return failed(Exit::Other, &format!("cannot write the log: {error}"));
    }
    match client::run(request, &Report::None) {
        Ok(()) => Exit::Done,
        Err(error) => failed(Exit::Client, &error.to_string()),
    }
}

fn run_child(request: &Arguments) -> Exit {
    match client::run(request, &Report::Launcher) {
        Ok(()) => Exit::Done,
        Err(error) => {
            write_stderr(&format!("{error}\n"));
            let _ = write!(io::stdout(), "{error}");
            Exit::Client
        }
    }
}

fn launch(arguments: &[OsString], request: &Arguments) -> Exit {
    let log = match open_log(request) {
        Ok(log) => log.map_or_else(Stdio::null, Stdio::from),
        Err(error) => return failed(Exit::Other, &format!("cannot write the log: {error}")),
    };
    match spawn_client(arguments, log) {
        Ok(report) if report == MOUNTED => Exit::Done,
        Ok(report) if report.is_empty() => failed(Exit::Client, "the client ended before it mounted"),
        Ok(report) => failed(Exit::Client, &report),
        Err((exit, error)) => failed(exit, &error.to_string()),
    }
}

fn open_log(request: &Arguments) -> io::Result<Option<File>> {
    let open = |path| OpenOptions::new().append(true).create(true).open(path);
    request.log.as_ref().map(open).transpose()
}

fn failed(exit: Exit, cause: &str) -> Exit {
    write_stderr(&format!("mount.quobyte failed: {}\n", cause.trim_end()));
    exit
}

/// Starts the child and reads its report.
fn spawn_client(arguments: &[OsString], log: Stdio) -> Result<String, (Exit, io::Error)> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the child outlives this process, and its report is the deadline"
    )]
    let mut child = Command::new("/proc/self/exe")
        .arg0("mount.quobyte")
        .arg(CHILD)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(|error| (Exit::Spawn, error))?;
    let mut report = String::new();
    if let Some(pipe) = &mut child.stdout {
        pipe.read_to_string(&mut report).map_err(|error| (Exit::Pipe, error))?;
    }
    Ok(report)
}
