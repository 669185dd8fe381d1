//! What the kernel tells of processes that need not be children of ours.

use std::{fs, path::Path, time::Duration};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};

use crate::wait;

/// Ample for what happens at once.
const LIMIT: Duration = Duration::from_secs(30);

/// The processes that were told of a path below `base`, and what else they were told, their names first.
pub(crate) fn told_of(base: &Path) -> Vec<(Pid, String)> {
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
