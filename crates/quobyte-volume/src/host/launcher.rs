//! Who starts Quobyte's client, and so whose end takes the mount along.
//!
//! A client that is started by a service lies in the service's control group and is killed when the service is
//! restarted, under the guests that use its mount. systemd can start it in a unit of its own instead:
//!
//! ```text
//!  caller ── request ──▶ file ──▶ unit: quobyte-client-unit ──▶ mount.quobyte
//!    │                               ▲                  │
//!    └──▶ systemctl ──▶ systemd ─────┘                  └──▶ outcome, a file
//! ```
//!
//! What is to be mounted goes through a file that the unit reads as the same user: nothing of it becomes a part of a
//! unit's name, settings or command line, and systemd itself, which is root, never opens what the user has written.

mod callers_unit;
mod client_launcher;
mod in_unit;
mod mailbox;
mod systemd_setup;
mod systemd_unit;

use std::io;

pub(super) use self::callers_unit::{CallersUnit, find as find_callers_unit};
pub(super) use self::client_launcher::ClientLauncher;
use self::systemd_setup::SystemdSetup;
use super::service_manager::ServiceManager;
use crate::error::excerpt;

/// The program that runs a client in a unit.
pub(super) const CLIENT_UNIT_PROGRAM: &str = "quobyte-client-unit";

/// What a client's unit runs to mount what it is asked for, in its own environment. Not for people.
///
/// # Errors
/// When there is no request or the client does not mount; the one who asked is told.
pub fn start_in_unit() -> io::Result<()> {
    in_unit::start()
}

/// What a client's unit runs to end its client cleanly.
///
/// # Errors
/// When files on the mount are open, or the client does not end.
pub fn stop_in_unit() -> io::Result<()> {
    in_unit::stop()
}

/// Who starts Quobyte's client. An operator writes the variant's name in `kebab-case`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, strum::Display, strum::EnumString, strum::VariantArray,
)]
#[strum(serialize_all = "kebab-case", parse_err_ty = LauncherError, parse_err_fn = LauncherError::new)]
pub enum Launcher {
    /// The first of the following that this host and this user are set up for.
    #[default]
    Auto,
    /// The system's systemd, in an instance of the template unit that is installed for the service user.
    SystemdSystem,
    /// The user's own systemd, in a transient unit. It has to outlive logins: `loginctl enable-linger`.
    SystemdUser,
    /// The caller itself. The mount ends with the caller's service.
    Direct,
}

/// A launcher that is none of [`Launcher`]'s variants.
#[derive(Debug, thiserror::Error)]
#[error("{text} is none of auto, systemd-system, systemd-user and direct")]
pub struct LauncherError {
    text: String,
}

impl LauncherError {
    fn new(text: &str) -> Self {
        Self { text: excerpt(text) }
    }
}

impl Launcher {
    /// The systemd to ask; `None` where the caller starts the client itself.
    fn manager(self, setup: &dyn SystemdSetup) -> Option<ServiceManager> {
        match self {
            Self::SystemdSystem => Some(ServiceManager::System),
            Self::SystemdUser => Some(ServiceManager::User),
            Self::Auto if setup.has_template() => Some(ServiceManager::System),
            Self::Auto if setup.has_lingering_user_manager() => Some(ServiceManager::User),
            Self::Auto | Self::Direct => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray as _;

    use super::*;

    struct FakeSetup {
        template: bool,
        user_manager: bool,
    }

    impl SystemdSetup for FakeSetup {
        fn has_template(&self) -> bool {
            self.template
        }

        fn has_lingering_user_manager(&self) -> bool {
            self.user_manager
        }
    }

    #[test]
    fn auto_launcher_prefers_system_then_user() {
        use ServiceManager::{System, User};
        for (launcher, template, user_manager, expected) in [
            (Launcher::Auto, true, true, Some(System)),
            (Launcher::Auto, true, false, Some(System)),
            (Launcher::Auto, false, true, Some(User)),
            (Launcher::Auto, false, false, None),
            (Launcher::SystemdSystem, false, false, Some(System)),
            (Launcher::SystemdUser, true, false, Some(User)),
            (Launcher::Direct, true, true, None),
        ] {
            let setup = FakeSetup { template, user_manager };
            assert_eq!(launcher.manager(&setup), expected, "{launcher} {template} {user_manager}");
        }
    }

    #[test]
    fn launcher_name_round_trips() {
        for &launcher in Launcher::VARIANTS {
            assert_eq!(launcher.to_string().parse::<Launcher>().unwrap(), launcher);
        }
        for text in ["", "systemd", "Auto", "auto "] {
            assert!(text.parse::<Launcher>().is_err(), "{text}");
        }
    }
}
