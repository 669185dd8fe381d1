//! `umount.quobyte MOUNTPOINT`

use std::ffi::{OsStr, OsString};
use std::process::Command;

use rustix::mount::{UnmountFlags, unmount};

use crate::exit::Exit;
use crate::stderr::write_stderr;

/// Runs `umount.quobyte` with the arguments after the program's name.
pub(crate) fn main(arguments: &[OsString]) -> Exit {
    let [mount_point] = arguments else { return usage() };
    if mount_point.as_encoded_bytes().starts_with(b"-") {
        return usage();
    }
    let unmounted = if rustix::process::geteuid().is_root() {
        unmount(mount_point, UnmountFlags::empty()).map_err(|error| std::io::Error::from(error).to_string())
    } else {
        run_fusermount(mount_point)
    };
    match unmounted {
        Ok(()) => Exit::Done,
        Err(cause) => {
            write_stderr(&format!("umount.quobyte: {}: {cause}\n", mount_point.display()));
            Exit::Other
        }
    }
}

fn usage() -> Exit {
    write_stderr("usage: umount.quobyte MOUNTPOINT\n");
    Exit::Usage
}

/// Only fusermount may unmount for a user. Its words end with those of the kernel: `Device or resource busy`.
fn run_fusermount(mount_point: &OsStr) -> Result<(), String> {
    #[expect(clippy::disallowed_methods, reason = "unmounting may wait for the client, as umount(2) does")]
    let output = Command::new("fusermount3")
        .arg("-u")
        .arg("--")
        .arg(mount_point)
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim_end().to_owned())
}
