//! What the program says on standard error.

use std::io::Write;

/// Writes to stderr. A closed stderr is no reason for a daemon to end.
pub(crate) fn write_stderr(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
