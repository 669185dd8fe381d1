//! How systemd is asked, as pure functions: what is run to start a client's unit and to stop it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::mailbox::LAUNCH_DIRECTORY_VARIABLE;
use crate::host::client::CLIENT_VARIABLE;
use crate::host::service_manager::ServiceManager;

/// The name of units: the template's, and a transient unit's beginning.
pub(super) const TEMPLATE: &str = "nova-quobyte-mount";

/// Where the template's instances look for requests. It is written in the template.
pub(super) const TEMPLATE_DIRECTORY: &str = "/run/nova-quobyte/launch";

/// The most that a client in a unit may take to mount. A unit's `TimeoutStartSec`, also the template's, is a little more.
pub(super) const MAX_BUDGET: Duration = Duration::from_secs(300);

/// A program and its arguments.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CommandLine {
    pub(super) program: &'static str,
    pub(super) arguments: Vec<OsString>,
}

/// The unit of one client.
#[derive(Debug)]
pub(super) struct Unit<'a> {
    pub(super) manager: ServiceManager,
    /// The client's name, a plain one.
    pub(super) client: &'a str,
    /// Where its request is.
    pub(super) directory: &'a Path,
    /// The program that reads it.
    pub(super) program: &'a Path,
    /// Where this user looks for programs, Quobyte's client among them. The system's units have systemd's own `PATH`.
    pub(super) path_env: &'a OsStr,
}

impl Unit<'_> {
    fn name(&self) -> String {
        match self.manager {
            ServiceManager::System => format!("{TEMPLATE}@{}.service", self.client),
            ServiceManager::User => format!("{TEMPLATE}-{}.service", self.client),
        }
    }

    /// Starts the unit and waits for it.
    pub(super) fn start(&self) -> CommandLine {
        if self.manager == ServiceManager::System {
            return self.systemctl(&["start"]);
        }
        let mut arguments: Vec<OsString> = [
            "--user",
            "--no-ask-password",
            "--quiet",
            "--collect",
            "--service-type=forking",
            "--property=TimeoutStartSec=310s",
            "--property=TimeoutStopSec=30s",
            "--property=LimitNOFILE=524288",
            "--property=OOMScoreAdjust=-900",
        ]
        .map(OsString::from)
        .into();
        arguments.push(format!("--unit={}", self.name()).into());
        arguments.push(format!("--setenv={CLIENT_VARIABLE}={}", self.client).into());
        arguments.push(concat(&format!("--setenv={LAUNCH_DIRECTORY_VARIABLE}="), self.directory.as_os_str()));
        arguments.push(concat("--setenv=PATH=", self.path_env));
        // systemd splits this one at white space, and would replace what follows a dollar were it not for the colon.
        let mut stop = concat("--property=ExecStop=:", &systemd_quoted(self.program.as_os_str()));
        stop.push(" stop");
        arguments.extend([stop, "--".into(), self.program.into(), "start".into()]);
        CommandLine { program: "systemd-run", arguments }
    }

    /// Has systemd stop the unit, or never start it, without waiting.
    pub(super) fn stop(&self) -> CommandLine {
        self.systemctl(&["--no-block", "stop"])
    }

    fn systemctl(&self, verb: &[&str]) -> CommandLine {
        let scope: &[&str] = if self.manager == ServiceManager::User { &["--user"] } else { &[] };
        let common = ["--no-ask-password", "--quiet"];
        let words = scope.iter().chain(&common).chain(verb).map(OsString::from);
        CommandLine { program: "systemctl", arguments: words.chain([self.name().into()]).collect() }
    }
}

/// Where this user's systemd has its sockets. A service's own environment does not say so.
pub(super) fn runtime_directory() -> PathBuf {
    format!("/run/user/{}", rustix::process::geteuid().as_raw()).into()
}

fn concat(start: &str, end: &OsStr) -> OsString {
    let mut whole = OsString::from(start);
    whole.push(end);
    whole
}

/// A word in the quotes of systemd.syntax(7).
fn systemd_quoted(word: &OsStr) -> OsString {
    let mut bytes = vec![b'"'];
    for &byte in word.as_bytes() {
        match byte {
            b'"' | b'\\' => bytes.extend([b'\\', byte]),
            byte if byte.is_ascii_control() => bytes.extend(format!("\\x{byte:02x}").bytes()),
            byte => bytes.push(byte),
        }
    }
    bytes.push(b'"');
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(manager: ServiceManager) -> [String; 2] {
        let unit = Unit {
            manager,
            client: "0123456789abcdef0123456789abcdef-0000000000000fed",
            directory: Path::new("/run/user/7/nova $HOME/launch"),
            program: Path::new("/opt/a \"b\\$c/quobyte-client-unit"),
            path_env: OsStr::new("/opt/quo byte:/usr/bin"),
        };
        [unit.start(), unit.stop()].map(|line| {
            let words = line.arguments.iter().map(|argument| format!("|{}", argument.to_str().unwrap()));
            format!("{}{}", line.program, words.collect::<String>())
        })
    }

    #[test]
    fn system_manager_starts_template_instance() {
        let instance = "nova-quobyte-mount@0123456789abcdef0123456789abcdef-0000000000000fed.service";
        assert_eq!(
            lines(ServiceManager::System),
            [
                format!("systemctl|--no-ask-password|--quiet|start|{instance}"),
                format!("systemctl|--no-ask-password|--quiet|--no-block|stop|{instance}"),
            ]
        );
    }

    #[test]
    fn user_manager_command_line_quotes_paths() {
        let unit = "nova-quobyte-mount-0123456789abcdef0123456789abcdef-0000000000000fed.service";
        assert_eq!(
            lines(ServiceManager::User),
            [
                format!(
                    "systemd-run|--user|--no-ask-password|--quiet|--collect|--service-type=forking\
                     |--property=TimeoutStartSec=310s|--property=TimeoutStopSec=30s\
                     |--property=LimitNOFILE=524288|--property=OOMScoreAdjust=-900|--unit={unit}\
                     |--setenv=NOVA_QUOBYTE_CLIENT=0123456789abcdef0123456789abcdef-0000000000000fed\
                     |--setenv=NOVA_QUOBYTE_LAUNCH=/run/user/7/nova $HOME/launch\
                     |--setenv=PATH=/opt/quo byte:/usr/bin\
                     |--property=ExecStop=:\"/opt/a \\\"b\\\\$c/quobyte-client-unit\" stop\
                     |--|/opt/a \"b\\$c/quobyte-client-unit|start"
                ),
                format!("systemctl|--user|--no-ask-password|--quiet|--no-block|stop|{unit}"),
            ]
        );
    }
}
