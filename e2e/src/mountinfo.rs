//! What the kernel says about a mount point.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use crate::process::LIMIT;

/// One line of the kernel's mount table. The lab's paths have no characters that the kernel escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountEntry {
    /// The mounted device, `major:minor`.
    pub device: String,
    /// Options of this mount, such as `rw` and `nosuid`, joined by commas.
    pub options: String,
    /// Is the mount shared, so that it and mounts below it reach guests that are already running?
    pub shared: bool,
    /// The file system's type, subtype included: `fuse.quobyte`.
    pub fs_type: String,
    /// What is mounted, as the file system names it.
    pub source: String,
    /// Options of the file system, joined by commas.
    pub super_options: String,
}

impl MountEntry {
    /// The kernel's control file of that name of the connection to the FUSE client behind the mount.
    pub fn control(&self, name: &str) -> PathBuf {
        let (_, minor) = self.device.split_once(':').expect("a device has two numbers");
        ["/sys/fs/fuse/connections", minor, name].iter().collect()
    }
}

/// The top mount at exactly `path`, as this process sees it.
pub fn mount_at(path: &Path) -> Option<MountEntry> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("read the mount table");
    // The kernel lists a later mount, which covers an earlier one at the same path, later.
    table.lines().rev().find_map(|line| entry_at(path, line))
}

/// Waits until something is mounted at exactly `path`. Panics when nothing is.
pub fn wait_until_mounted(path: &Path) {
    let deadline = Instant::now() + LIMIT;
    while mount_at(path).is_none() {
        assert!(Instant::now() < deadline, "nothing is mounted at {}", path.display());
        std::thread::yield_now();
    }
}

fn entry_at(path: &Path, line: &str) -> Option<MountEntry> {
    let (mount, file_system) = line.split_once(" - ").expect("a mount table line has two halves");
    let mount: Vec<&str> = mount.split(' ').collect();
    let [_id, _parent, device, _root, mount_point, options, propagation @ ..] = mount.as_slice() else {
        panic!("not a line of the mount table: {line}");
    };
    if Path::new(mount_point) != path {
        return None;
    }
    let mut file_system = file_system.split(' ').map(str::to_owned);
    let mut next = || file_system.next().expect("a file system has type, source and options");
    Some(MountEntry {
        device: (*device).to_owned(),
        options: (*options).to_owned(),
        shared: propagation.iter().any(|tag| tag.starts_with("shared:")),
        fs_type: next(),
        source: next(),
        super_options: next(),
    })
}
