//! Touches files on a share on behalf of a driver, which must not hang when the share does. Not for people.

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args_os().nth(1) {
        Some(mount_point) => quobyte_volume::share::serve(mount_point.as_ref()),
        None => ExitCode::from(2),
    }
}
