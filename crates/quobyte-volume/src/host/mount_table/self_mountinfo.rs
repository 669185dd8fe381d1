//! The whole table of this process, `/proc/self/mountinfo`.

use std::io;
use std::path::{Path, PathBuf};

use crate::pure::kernel_mount::{Mount, MountInfo};

/// The mount on top at `path`, from the table of this process.
pub(super) fn top_mount(path: &Path) -> io::Result<Option<Mount>> {
    // The table shows the way without symbolic links. The last component is taken as it is: it may be a dead mount,
    // and a link there is no mount point.
    let mount_point = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => parent.canonicalize()?.join(name),
        _ => path.to_owned(),
    };
    Ok(MountInfo::top(&read_self_mountinfo()?, &mount_point).map(|entry| entry.mount.clone()))
}

/// The mount points directly below `base`, in the form `base` has, each as often as something is mounted there.
pub(crate) fn mounts_below(base: &Path) -> io::Result<Vec<PathBuf>> {
    let canonical = match base.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        canonical => canonical?,
    };
    let directly_below =
        |entry: &MountInfo| Some(base.join(entry.mount_point.strip_prefix(&canonical).ok()?));
    let mut below: Vec<_> = read_self_mountinfo()?.iter().filter_map(directly_below).collect();
    below.retain(|path| path.parent() == Some(base));
    Ok(below)
}

fn read_self_mountinfo() -> io::Result<Vec<MountInfo>> {
    MountInfo::parse(&std::fs::read("/proc/self/mountinfo")?).map_err(io::Error::other)
}
