//! The way of a path, as far as it can be gone without waiting for anybody.
//!
//! A file system that another machine or another process serves may never answer, so nothing on one is looked up. Such a
//! mount is known by its device, which is none of the machine's own.

use std::collections::{HashMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, StatxFlags, open, openat, openat2, readlinkat, statx,
};
use rustix::io::Errno;

use crate::pure::kernel_mount::{Device, MountInfo};

/// File systems without a device of their own that nobody but this kernel serves.
const LOCAL_TYPES: [&str; 9] =
    ["tmpfs", "overlay", "btrfs", "zfs", "bcachefs", "ramfs", "devtmpfs", "squashfs", "rootfs"];

/// As many links as the kernel follows.
const MAX_LINKS: u32 = 40;

/// Resolves paths, and remembers the directories that it has seen.
#[derive(Debug, Default)]
pub(super) struct Walker {
    directories: HashMap<PathBuf, Walked>,
    /// The file systems of the mount table, by device; read once one is needed.
    mounted: Option<HashMap<Device, String>>,
}

/// How far a path could be gone.
#[derive(Debug, Clone)]
pub(super) struct Walked {
    /// The path without links. What could not be gone is spelt as it was.
    pub(super) path: PathBuf,
    /// Whether all of it was gone, on file systems that answer.
    pub(super) is_local: bool,
}

impl Walker {
    /// The path without links. Where a mount that may not answer lies on the way, or a part is not there, the rest is
    /// kept as it is spelt.
    pub(super) fn resolve(&mut self, path: &Path) -> PathBuf {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return self.walk(path).0.path;
        };
        let parent = match self.directories.get(parent) {
            Some(known) => known.clone(),
            None => {
                let walked = self.walk(parent).0;
                self.directories.insert(parent.to_owned(), walked.clone());
                walked
            }
        };
        let resolved = parent.path.join(name);
        // Neither follows the last part nor enters what may be mounted there.
        if parent.is_local && readlinkat(CWD, &resolved, Vec::new()).is_ok() {
            return self.walk(path).0.path;
        }
        resolved
    }

    /// Opens a regular file for reading, if nobody but this machine serves it.
    pub(super) fn open(&mut self, path: &Path) -> Option<OwnedFd> {
        use std::os::fd::AsRawFd;
        let (Walked { is_local: true, .. }, Some(file)) = self.walk(path) else { return None };
        if file_type(&file)? != FileType::RegularFile {
            return None;
        }
        let again = format!("/proc/self/fd/{}", file.as_raw_fd());
        open(again, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).ok()
    }

    /// Goes the whole way, link by link. Returns what was reached if all of it was gone.
    fn walk(&mut self, path: &Path) -> (Walked, Option<OwnedFd>) {
        let stopped = |at: PathBuf, rest: VecDeque<OsString>| {
            let mut path = at;
            for part in rest {
                if part == ".." {
                    path.pop();
                } else {
                    path.push(part);
                }
            }
            (Walked { path, is_local: false }, None)
        };
        let mut rest = parts(path);
        let mut at = PathBuf::from("/");
        let Ok(mut here) = open("/", DIRECTORY, Mode::empty()) else { return stopped(at, rest) };
        let mut links = 0;
        while let Some(part) = rest.pop_front() {
            if part == ".." {
                at.pop();
                // All on the way back was gone before.
                match open(&at, DIRECTORY, Mode::empty()) {
                    Ok(above) => here = above,
                    Err(_) => return stopped(at, rest),
                }
                continue;
            }
            let next = match openat2(&here, &part, ANYTHING, Mode::empty(), ResolveFlags::NO_XDEV) {
                Err(Errno::XDEV) => {
                    openat(&here, &part, ANYTHING, Mode::empty()).ok().filter(|root| self.is_local(root))
                }
                next => next.ok(),
            };
            let Some(next) = next else {
                rest.push_front(part);
                return stopped(at, rest);
            };
            if file_type(&next) == Some(FileType::Symlink) {
                links += 1;
                let target = readlinkat(&next, "", Vec::new()).ok().filter(|_| links <= MAX_LINKS);
                let Some(target) = target else {
                    rest.push_front(part);
                    return stopped(at, rest);
                };
                let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                for part in parts(&target).into_iter().rev() {
                    rest.push_front(part);
                }
                if target.is_absolute() {
                    at = PathBuf::from("/");
                    match open("/", DIRECTORY, Mode::empty()) {
                        Ok(root) => here = root,
                        Err(_) => return stopped(at, rest),
                    }
                }
                continue;
            }
            at.push(&part);
            here = next;
        }
        (Walked { path: at, is_local: true }, Some(here))
    }

    /// Whether nobody but this machine serves the file system of a mount whose root that is. A mount's root is looked at
    /// without asking whoever serves it.
    fn is_local(&mut self, root: &OwnedFd) -> bool {
        let Ok(root) = statx(root, "", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, StatxFlags::TYPE)
        else {
            return false;
        };
        let device = Device { major: root.stx_dev_major, minor: root.stx_dev_minor };
        device.major != 0
            || self
                .mounted
                .get_or_insert_with(mounted_types)
                .get(&device)
                .is_some_and(|fs_type| LOCAL_TYPES.contains(&fs_type.as_str()))
    }
}

const ANYTHING: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn file_type(file: &OwnedFd) -> Option<FileType> {
    let file = statx(file, "", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, StatxFlags::TYPE).ok()?;
    Some(FileType::from_raw_mode(file.stx_mode.into()))
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let part = |component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsStr::new("..").to_owned()),
        _ => None,
    };
    path.components().filter_map(part).collect()
}

fn mounted_types() -> HashMap<Device, String> {
    let table = std::fs::read("/proc/self/mountinfo").ok();
    let table = table.and_then(|table| MountInfo::parse(&table).ok()).unwrap_or_default();
    table.into_iter().map(|entry| (entry.mount.device, entry.mount.fs_type)).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_as_the_kernel_does() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().canonicalize().unwrap();
        rustix::fs::mkdir(base.join("real"), Mode::RWXU).unwrap();
        symlink("real", base.join("relative")).unwrap();
        symlink(base.join("relative/../real"), base.join("absolute")).unwrap();
        symlink("absolute/file", base.join("image")).unwrap();
        symlink("loop", base.join("loop")).unwrap();
        let mut walker = Walker::default();
        for spelling in ["real/file", "relative/file", "absolute/file", "image", "./real/../absolute/file"] {
            assert_eq!(walker.resolve(&base.join(spelling)), base.join("real/file"), "{spelling}");
        }
        assert_eq!(walker.resolve(&base.join("loop/x")), base.join("loop/x"));
        assert_eq!(walker.resolve(Path::new("/nowhere/x")), Path::new("/nowhere/x"));
    }

    #[test]
    fn kernel_file_systems_are_not_entered() {
        // Like a FUSE mount, /proc has no device of its own and is none of the local types.
        assert!(Walker::default().open(Path::new("/proc/self/mountinfo")).is_none());
        assert_eq!(Walker::default().resolve(Path::new("/proc/self/x")), Path::new("/proc/self/x"));
    }

    #[test]
    fn regular_files_alone_are_opened() {
        let directory = tempfile::tempdir().unwrap();
        let file = tempfile::NamedTempFile::new_in(directory.path()).unwrap();
        let mut walker = Walker::default();
        assert!(walker.open(file.path()).is_some());
        let fifo = directory.path().join("fifo");
        rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert!(walker.open(&fifo).is_none() && walker.open(directory.path()).is_none());
    }
}
