//! Touches files on a share on behalf of a driver, which must not hang when the share does. Not for people.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(mount_point) => {
            // Callers that say none are older than all that do.
            let caller = arguments.next().unwrap_or_default();
            quobyte_volume::host::share::serve(mount_point.as_ref(), &caller)
        }
        None => ExitCode::from(2),
    }
}
