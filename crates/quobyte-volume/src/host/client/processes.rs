//! The processes of clients: finds them by the name in their environment, and kills them.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::host::deadline::Deadline;
use crate::host::process::{Process, start_time};
use crate::pure::record::ClientProcess;

/// Tells one client from all other processes: its name stands in its environment, which its background process
/// inherits.
pub(in crate::host) const CLIENT_VARIABLE: &str = "NOVA_QUOBYTE_CLIENT";

/// Kills the processes of the client of that name, so that it mounts nothing later, and returns how many there were.
///
/// They are known by the environment they were given; only those of this user can be looked at, and only those were
/// started by it.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] when there are still some at the deadline.
pub(in crate::host) fn kill_processes(client: &str, deadline: Deadline) -> io::Result<usize> {
    let mut killed = 0;
    // A process seen may have started another meanwhile, so it takes a round that finds none.
    loop {
        let processes = processes(client)?;
        if processes.is_empty() {
            return Ok(killed);
        }
        if deadline.has_passed() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        processes.iter().try_for_each(Process::kill)?;
        processes.iter().try_for_each(|process| process.wait(deadline))?;
        killed += processes.len();
    }
}

/// Whether any other client of the same mount path lives than the one of that name.
pub(in crate::host) fn has_other_clients(client: &str) -> io::Result<bool> {
    let key = client.split_once('-').map_or(client, |(key, _)| key);
    Ok(!processes_where(|other| other != client && other.starts_with(key))?.is_empty())
}

/// The processes of the client of that name, its unit's among them, except this process.
pub(in crate::host) fn processes(client: &str) -> io::Result<Vec<Process>> {
    processes_where(|other| other == client)
}

/// The processes of the client of that name, with what tells each from a later one of its number. Those that are not
/// in `numbers` are not looked at.
pub(in crate::host) fn living_processes(client: &str, numbers: PidRange) -> io::Result<Vec<ClientProcess>> {
    let mut found = Vec::new();
    for (pid, _) in pids_where(numbers, |other| other == client)? {
        found.extend(start_time(pid).map(|start_time| ClientProcess { pid, start_time }));
    }
    Ok(found)
}

/// The children of this process that live; `None` where the kernel has begun anew at its lowest number since this process
/// was started. One call for each number that was given since is a hundredth of what it takes to read who a process is.
pub(super) fn own_children() -> Option<Vec<ClientProcess>> {
    let (own, newest) = (std::process::id(), newest_pid()?);
    let is_child = |pid: &u32| {
        let pid = i32::try_from(*pid).ok().and_then(Pid::from_raw);
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        pid.is_some_and(|pid| waitid(WaitId::Pid(pid), look).is_ok())
    };
    let living = |pid| Some(ClientProcess { pid, start_time: start_time(pid)? });
    (own <= newest).then(|| (own + 1..=newest).filter(is_child).filter_map(living).collect())
}

/// The numbers that a process may have. Looking at each process of a host takes as long as mounting does.
#[derive(Debug, Clone, Copy)]
pub(in crate::host) enum PidRange {
    /// Any.
    All,
    /// Greater than this one.
    After(u32),
}

impl PidRange {
    /// The numbers of processes that are started from now on, for as long as the kernel does not begin anew at its lowest.
    pub(in crate::host) fn from_now_on() -> Self {
        newest_pid().map_or(Self::All, Self::After)
    }

    /// This range, or all numbers where the kernel has begun anew since.
    fn now(self) -> Self {
        match self {
            Self::After(last) if newest_pid().is_some_and(|newest| newest >= last) => self,
            Self::All | Self::After(_) => Self::All,
        }
    }

    fn contains(self, pid: u32) -> bool {
        match self {
            Self::All => true,
            Self::After(last) => pid > last,
        }
    }
}

/// The number that the kernel has given last, by the last word of `/proc/loadavg`.
fn newest_pid() -> Option<u32> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_ascii_whitespace().last()?.parse().ok()
}

/// The processes of clients whose name satisfies `is_wanted`, except this process.
fn processes_where(is_wanted: impl Fn(&str) -> bool) -> io::Result<Vec<Process>> {
    Ok(pids_where(PidRange::All, is_wanted)?.into_iter().map(|(_, process)| process).collect())
}

fn pids_where(numbers: PidRange, is_wanted: impl Fn(&str) -> bool) -> io::Result<Vec<(u32, Process)>> {
    let numbers = numbers.now();
    let name = |variable: &[u8]| {
        let name = variable.strip_prefix(CLIENT_VARIABLE.as_bytes())?.strip_prefix(b"=")?;
        std::str::from_utf8(name).ok().map(str::to_owned)
    };
    let own_user = rustix::process::geteuid().as_raw();
    let mut processes = Vec::new();
    for entry in Path::new("/proc").read_dir()? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if !numbers.contains(pid) {
            continue;
        }
        // Only this user's are clients of its own; others' environments are not looked at, even by a superuser.
        if !Path::new("/proc").join(pid.to_string()).metadata().is_ok_and(|process| process.uid() == own_user)
        {
            continue;
        }
        // Opened before its environment is read: the pidfd is of the process whose environment that is, or it has
        // ended.
        let Some(process) = Process::open(pid)? else { continue };
        // Gone since, or another user's.
        let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) else { continue };
        let client = environment.split(|&byte| byte == 0).find_map(name);
        if client.is_some_and(|client| is_wanted(&client)) && pid != std::process::id() {
            processes.push((pid, process));
        }
    }
    Ok(processes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::process::{command, kill_and_wait};

    #[test]
    fn only_living_children_are_own() {
        let start = || command(Path::new("/bin/sleep")).unwrap().arg("1000").spawn().unwrap();
        let (mut ended, mut living) = (start(), start());
        kill_and_wait(&mut ended).unwrap();
        ended.wait().unwrap();
        let id = living.id();
        let expected = ClientProcess { pid: id, start_time: start_time(id).unwrap() };
        assert_eq!(own_children(), Some(vec![expected]));
        // Ended, but not waited for.
        kill_and_wait(&mut living).unwrap();
        assert_eq!(own_children(), Some(Vec::new()));
        living.wait().unwrap();
    }
}
