//! Working for the user whose state directory it is, where libvirt has started this program as root.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;

use rustix::fs::{MemfdFlags, memfd_create};

use super::process::{command, find_program, search_path};
use super::users::{self, Account};

/// Goes on as the owner of `directory` where this process is root and the owner is not: starts this program anew in its own
/// place, with its arguments, with `input` as standard input, and with nothing of root's environment. Returns where this
/// process is who it should be.
///
/// # Errors
/// When there is no such directory, or the owner cannot be become.
pub fn continue_as_owner(directory: &Path, input: &[u8]) -> io::Result<()> {
    let metadata = directory.metadata()?;
    if !rustix::process::geteuid().is_root() || metadata.uid() == 0 {
        return Ok(());
    }
    let mut file = File::from(memfd_create("input", MemfdFlags::CLOEXEC)?);
    file.write_all(input)?;
    file.rewind()?;
    let Account { name, group, home } =
        users::account(metadata.uid()).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    let mut setpriv = command(&find_program(OsStr::new("setpriv")))?;
    setpriv.args(["--reuid", &name, "--regid", &group.to_string(), "--init-groups", "--"]);
    setpriv.arg(std::env::current_exe()?).args(std::env::args_os().skip(1)).stdin(file);
    setpriv.env_clear().env("PATH", search_path()).env("HOME", home);
    Err(setpriv.env("USER", &name).env("LOGNAME", &name).exec())
}

/// Starts this program with those arguments and does not wait for it. It has no streams, and no signal that is meant for the
/// caller's process group reaches it.
///
/// # Errors
/// When it cannot be started.
pub fn start_in_background(arguments: impl IntoIterator<Item = OsString>) -> io::Result<()> {
    let mut program = command(&std::env::current_exe()?)?;
    program.args(arguments).current_dir("/").process_group(0);
    program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(drop)
}
