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

/// What `/proc` tells of what a process has inherited: signals, the umask, how large its stack may be, open files.
pub(super) fn context(pid: Pid) -> String {
    let directory = format!("/proc/{}", pid.as_raw_pid());
    let status = fs::read_to_string(format!("{directory}/status")).expect("the client runs");
    let inherited = ["Umask:", "SigBlk:", "SigIgn:"];
    let mut context: Vec<_> = status
        .lines()
        .filter(|line| inherited.iter().any(|name| line.starts_with(name)))
        .map(str::to_owned)
        .collect();
    let limits = fs::read_to_string(format!("{directory}/limits")).expect("the client runs");
    context.extend(limits.lines().filter(|line| line.starts_with("Max stack size")).map(str::to_owned));
    let files = fs::read_dir(format!("{directory}/fd")).expect("list a client's files");
    let mut files: Vec<_> =
        files.filter_map(|file| Some(fs::read_link(file.ok()?.path()).ok()?.display().to_string())).collect();
    files.sort_unstable();
    files.retain(|file| file.starts_with('/'));
    context.extend(files);
    context.join("\n")
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
