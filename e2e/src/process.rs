//! What the kernel tells of processes that need not be children of ours.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};

use crate::wait;

/// Ample for what happens at once.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// The processes with a path below `base` among their arguments, and all of their arguments, names first.
pub(crate) fn with_argument_below(base: &Path) -> Vec<(Pid, String)> {
    let base = base.to_string_lossy();
    let processes = fs::read_dir("/proc").expect("list processes");
    processes
        .filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
            let pid = Pid::from_raw(pid).expect("a process id is not 0");
            arguments.contains(&*base).then_some((pid, arguments))
        })
        .collect()
}

/// Waits until it has ended. Panics when it does not.
pub(crate) fn wait_for_end(pid: Pid, arguments: &str) {
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(exit) => assert!(wait::readable(exit, LIMIT), "{pid:?} is left: {arguments:?}"),
        // EINVAL is what kernels before 6.15 say of a process that is just being reaped. It can mean nothing else:
        // there are no flags, and the number is from /proc.
        Err(Errno::SRCH | Errno::INVAL) => {}
        Err(error) => panic!("watch {pid:?}: {error}"),
    }
}

/// The letter by which proc(5) calls the state of a process or thread, whose directory this is; none once it is gone.
pub(crate) fn state(directory: &Path) -> Option<char> {
    let stat = fs::read_to_string(directory.join("stat")).ok()?;
    // The name before the state may hold anything but ends with the last parenthesis.
    stat.rsplit_once(") ").and_then(|(_, fields)| fields.chars().next())
}

/// Waits until a process that was sent SIGSTOP has stopped with all of its threads, any of which may go on for a
/// moment. False where it has ended instead. Panics when it does neither.
///
/// The kernel tells this to its parent alone: so this looks, until a deadline.
pub(crate) fn wait_until_stopped(pid: Pid) -> bool {
    let deadline = Instant::now() + LIMIT;
    let threads = format!("/proc/{}/task", pid.as_raw_pid());
    loop {
        let Ok(threads) = fs::read_dir(&threads) else { return false };
        let states: Vec<_> = threads
            .flatten()
            .filter_map(|thread| state(&thread.path()))
            .filter(|state| !matches!(state, 'Z' | 'X'))
            .collect();
        if states.iter().all(|&state| state == 'T') {
            return !states.is_empty();
        }
        assert!(Instant::now() < deadline, "{pid:?} does not stop: {states:?}");
        std::thread::yield_now();
    }
}
