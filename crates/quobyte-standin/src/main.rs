//! A stand-in for Quobyte's client, for tests and for the demo: a FUSE file system over a local directory that
//! has the command line, the looks in the mount table and the failures of the real one.
//!
//! One program with two names, as installed by links: `mount.quobyte` and `umount.quobyte`.
//! The first starts itself again as a child, which mounts, reports over a pipe and goes on as the daemon:
//!
//! ```text
//! launch (waits) ──spawn──▶ client: config → switches → volume → mount ──report──▶ serve until unmounted
//!    └───────────────◀────────────── "mounted", or the error ─────────────┘
//! ```

mod arguments;
mod client;
mod config;
mod exit;
mod export;
mod filesystem;
mod launch;
mod mount_table;
mod report;
mod settings;
mod stderr;
mod unmount;
mod volume;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use self::exit::Exit;
use self::stderr::write_stderr;

const EXPLANATION: &str = "\
quobyte-standin stands in for Quobyte's client. Call it by one of the client's names, through a link:

    ln -s quobyte-standin mount.quobyte
    ln -s quobyte-standin umount.quobyte
";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    let arguments: Vec<OsString> = arguments.collect();
    let exit = match Path::new(&name).file_name().and_then(|name| name.to_str()) {
        Some("mount.quobyte") => launch::main(&arguments),
        Some("umount.quobyte") => unmount::main(&arguments),
        _ => {
            write_stderr(EXPLANATION);
            Exit::Usage
        }
    };
    exit.into()
}
