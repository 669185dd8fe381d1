//! The systemd that starts a client: the system's, or the user's own.

use std::fmt;

/// A systemd that starts clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceManager {
    /// The system's. It has the template unit, and a polkit rule lets this user start and stop its instances.
    System,
    /// This user's own, in which a transient unit needs no permission.
    User,
}

impl fmt::Display for ServiceManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "the system's systemd",
            Self::User => "the user's systemd",
        })
    }
}
