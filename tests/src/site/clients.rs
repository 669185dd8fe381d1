//! What Quobyte's client has going below a directory: its processes and its mounts.

use std::{fs, path::Path, time::Duration};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};

use crate::wait;

/// Ample for a daemon whose mount is gone.
const LIMIT: Duration = Duration::from_secs(30);

/// The client's processes that were told of a path below `base`.
pub(super) fn of(base: &Path) -> Vec<Pid> {
    let base = base.to_string_lossy();
    let processes = fs::read_dir("/proc").expect("list processes");
    processes
        .filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
            let is_client = arguments.starts_with("mount.quobyte\0") && arguments.contains(&*base);
            is_client.then(|| Pid::from_raw(pid).expect("a process id is not 0"))
        })
        .collect()
}

/// Waits until none of them is left: a daemon outlives its mount by a moment. Panics when one stays.
pub(super) fn wait_for_end(base: &Path) {
    for pid in of(base) {
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(exit) => assert!(wait::readable(exit, LIMIT), "a client is left: {pid:?}"),
            Err(Errno::SRCH) => {}
            Err(error) => panic!("watch {pid:?}: {error}"),
        }
    }
}

/// The mount points below `base`, in the order they were mounted.
pub(super) fn mounts_below(base: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("read the mount table");
    table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .filter(|path| Path::new(path).starts_with(base) && Path::new(path) != base)
        .map(str::to_owned)
        .collect()
}
