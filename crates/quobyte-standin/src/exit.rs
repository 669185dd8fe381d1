//! Exit codes, as XtreemFS's client has them, from which Quobyte's descends.

use std::process::ExitCode;

/// How a call of the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done. As with the real client this alone does not prove a mount.
    Done = 0,
    /// The command line was refused, or only help or the version was asked for.
    Usage = 1,
    /// The pipe to the child broke.
    Pipe = 2,
    /// The child could not be started.
    Spawn = 3,
    /// The child reported an error.
    Client = 4,
    /// Anything else.
    Other = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
