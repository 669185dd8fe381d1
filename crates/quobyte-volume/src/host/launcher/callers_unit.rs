//! The service of systemd's that this process runs in: a client that the process starts itself ends with it.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use super::systemd_setup::is_booted;
use super::systemd_unit::runtime_directory;
use crate::host::deadline::Deadline;
use crate::host::process;
use crate::host::service_manager::ServiceManager;

/// How long systemd may take to tell about the service.
const SHOW_TIMEOUT: Duration = Duration::from_secs(5);

/// A service that ends what its processes have started.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::host) struct CallersUnit {
    pub(in crate::host) name: String,
    /// Whether it ends as soon as this process has ended. Others go on for as long as they like.
    pub(in crate::host) ends_with_caller: bool,
}

/// The service that this process runs in, if its end ends the processes in it.
pub(in crate::host) fn find() -> Option<CallersUnit> {
    if !is_booted() {
        return None;
    }
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let (manager, name) = find_service(&groups)?;
    let user = (manager == ServiceManager::User).then_some("--user");
    let properties = ["--property=Type,KillMode,RemainAfterExit,MainPID", "show", "--", name];
    let directory = runtime_directory();
    let directory = directory.to_str().map(|directory| ("XDG_RUNTIME_DIR", directory));
    let deadline = Deadline::after(SHOW_TIMEOUT);
    let arguments = user.into_iter().chain(properties);
    let answer = process::run(OsStr::new("systemctl"), arguments, directory, Stdio::null(), deadline);
    // Where systemd does not tell, the service is taken for one that goes on.
    let properties =
        answer.ok().filter(|answer| answer.status.success()).map(|answer| answer.output).unwrap_or_default();
    let ends_with_caller = ends(&properties, std::process::id())?;
    Some(CallersUnit { name: name.to_owned(), ends_with_caller })
}

/// The service in the path of a process's control group, and whose it is. What runs in a scope, such as a login's, is
/// not ended with whoever has started it.
fn find_service(groups: &str) -> Option<(ServiceManager, &str)> {
    // The unified hierarchy and systemd's own of the old kind; a host may have both, and use one.
    let mut paths = groups.lines().filter_map(|line| {
        line.strip_prefix("0::").or_else(|| line.split_once(":name=systemd:").map(|(_, path)| path))
    });
    paths.find_map(service_of_path)
}

fn service_of_path(path: &str) -> Option<(ServiceManager, &str)> {
    let is_unit = |part: &&str| [".service", ".scope"].iter().any(|kind| part.ends_with(kind));
    let mut units = path.split('/').filter(is_unit);
    let unit = units.next()?;
    // Below the service of a user's systemd are the units of that.
    let (manager, unit) = match units.next() {
        Some(own) if unit.starts_with("user@") => (ServiceManager::User, own),
        _ => (ServiceManager::System, unit),
    };
    unit.ends_with(".service").then_some((manager, unit))
}

/// Whether a service with these properties ends once the process `caller` has ended; `None` if that leaves its other
/// processes alone.
fn ends(properties: &str, caller: u32) -> Option<bool> {
    let get = |name: &str| {
        let mut lines = properties.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    };
    if matches!(get("KillMode"), Some("process" | "none")) {
        return None;
    }
    let is_last = get("Type") == Some("oneshot") || get("MainPID") == Some(&caller.to_string());
    Some(is_last && get("RemainAfterExit") == Some("no"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_is_found_in_control_group() {
        use ServiceManager::{System, User};
        for (groups, expected) in [
            ("0::/system.slice/quobyte-repair.service\n", Some((System, "quobyte-repair.service"))),
            ("0::/system.slice/agent.service/worker\n", Some((System, "agent.service"))),
            ("9:name=systemd:/\n0::/system.slice/a.service\n", Some((System, "a.service"))),
            ("4:cpu:/\n1:name=systemd:/system.slice/a.service\n", Some((System, "a.service"))),
            (
                "0::/user.slice/user-7.slice/user@7.service/app.slice/repair.service\n",
                Some((User, "repair.service")),
            ),
            ("0::/user.slice/user-7.slice/user@7.service/app.slice/terminal.scope\n", None),
            ("0::/user.slice/user-7.slice/session-3.scope\n", None),
            ("0::/machine.slice/container.scope/system.slice/a.service\n", None),
            ("0::/\n", None),
            ("", None),
        ] {
            assert_eq!(find_service(groups), expected, "{groups}");
        }
    }

    #[test]
    fn end_of_service_with_caller_is_known() {
        for (properties, expected) in [
            ("Type=oneshot\nKillMode=control-group\nRemainAfterExit=no\nMainPID=8", Some(true)),
            ("MainPID=7\nType=simple\nRemainAfterExit=no\nKillMode=mixed", Some(true)),
            // A program that goes on has had the caller started, maybe before itself.
            ("Type=simple\nKillMode=control-group\nRemainAfterExit=no\nMainPID=8", Some(false)),
            ("Type=simple\nKillMode=control-group\nRemainAfterExit=no\nMainPID=0", Some(false)),
            ("Type=oneshot\nKillMode=control-group\nRemainAfterExit=yes\nMainPID=7", Some(false)),
            ("Type=oneshot\nKillMode=process\nRemainAfterExit=no\nMainPID=7", None),
            ("Type=simple\nKillMode=none\nRemainAfterExit=no\nMainPID=7", None),
            ("", Some(false)),
        ] {
            assert_eq!(ends(properties, 7), expected, "{properties}");
        }
    }
}
