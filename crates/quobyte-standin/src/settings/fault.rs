//! How the client is told to fail.

use std::path::PathBuf;

use rustix::io::Errno;

/// A failure of the real client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum Fault {
    /// None: all is well.
    None,
    /// Reports success and mounts nothing.
    ExitWithoutMounting,
    /// Never gets as far as mounting.
    HangBeforeMount,
    /// No registry answers.
    Unreachable,
    /// The root shows a size, which tells a stale mount.
    StaleRoot,
    /// Requests are read and never answered, so that not even SIGKILL frees who asked.
    NoAnswer,
    /// Requests for data are read and never answered; all others are served.
    NoData,
    /// Every request fails with EIO.
    Eio,
    /// Every request fails with ESTALE, as of a client that has lost what it knew, and goes on.
    Estale,
    /// Every request fails with ENOTCONN, as the kernel answers for a client that is dead.
    Enotconn,
    /// The daemon ends and leaves a dead mount.
    Die,
}

impl Fault {
    /// What every request fails with.
    pub(crate) fn error(self) -> Option<Errno> {
        match self {
            Self::Eio => Some(Errno::IO),
            Self::Estale => Some(Errno::STALE),
            Self::Enotconn => Some(Errno::NOTCONN),
            _ => None,
        }
    }
}

/// The fault in force: what the control file names, while it names one, else the configured one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Faults {
    configured: Fault,
    control: Option<PathBuf>,
}

impl Faults {
    /// `control` need not exist.
    pub(crate) fn new(configured: Fault, control: Option<PathBuf>) -> Self {
        Self { configured, control }
    }

    /// The fault in force now. The control file is read at every call, so a change holds from the next request on
    /// and a tester has nothing to wait for.
    pub(crate) fn current(&self) -> Fault {
        self.control
            .as_ref()
            .and_then(|path| std::fs::read_to_string(path).ok())
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(self.configured)
    }
}
