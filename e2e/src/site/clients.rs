//! What Quobyte's client has going below a directory: its processes and its mounts.

use std::{fs, path::Path};

use rustix::process::Pid;

use crate::process;

/// The client's processes with a path below `base` among their arguments.
pub(super) fn of(base: &Path) -> Vec<Pid> {
    clients(base).map(|(pid, _)| pid).collect()
}

/// Waits until none of them is left: a daemon outlives its mount by a moment. Panics when one stays.
pub(super) fn wait_for_end(base: &Path) {
    clients(base).for_each(|(pid, arguments)| process::wait_for_end(pid, &arguments));
}

fn clients(base: &Path) -> impl Iterator<Item = (Pid, String)> {
    let processes = process::with_argument_below(base).into_iter();
    processes.filter(|(_, arguments)| arguments.starts_with("mount.quobyte\0"))
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
