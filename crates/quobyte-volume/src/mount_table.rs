//! The kernel's mount table, one mount at a time.
//!
//! The table is the only witness of a mount: neither a client's exit status nor our own record is. Reading all of it
//! costs milliseconds on a host with thousands of mounts, so one mount is looked up in the cheapest way the kernel
//! offers (see [`Lookup`]). None of the ways sends a request to a file system, so none can hang on a dead one.

mod mountinfo;
mod statmount;

use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Statx, StatxAttributes, StatxFlags, statx};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

pub(crate) use self::mountinfo::mounts_below;
pub use self::mountinfo::{MountInfo, MountInfoError};
use crate::connection::Export;

/// `STATX_MNT_ID_UNIQUE`, Linux 6.8: an id that no later mount gets again.
const MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// A mounted file system as the table shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The id that stays this mount's alone; `None` before Linux 6.8.
    pub unique_id: Option<u64>,
    /// The device number that every file directly on the mount has.
    pub device: Device,
    /// The type with its subtype: `fuse.quobyte`.
    pub fs_type: String,
    /// What was mounted: `quobyte@host|host2/volume`.
    pub source: String,
    /// The file system's own options, comma-separated; without `rw` and `ro`, which every one has.
    pub options: String,
}

impl Mount {
    /// Whether Quobyte's client made this mount. Older clients show plain `fuse` with a source of their own form.
    #[must_use]
    pub fn is_quobyte(&self) -> bool {
        self.fs_type == "fuse.quobyte" || (self.fs_type == "fuse" && self.source.starts_with("quobyte@"))
    }

    /// Whether this is a mount of `export` by Quobyte's client.
    #[must_use]
    pub fn is_of(&self, export: &Export) -> bool {
        self.is_quobyte() && self.source == export.mount_source()
    }

    /// Whether `other` is this very mount, and not a later one that looks alike.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self.unique_id, other.unique_id) {
            (Some(id), Some(other)) => id == other,
            _ => self.device == other.device && self.source == other.source,
        }
    }

    /// Whether users other than the one that mounted it may use it.
    #[must_use]
    pub fn allows_other_users(&self) -> bool {
        self.options.split(',').any(|option| option == "allow_other")
    }

    /// The user that mounted it.
    #[must_use]
    pub fn owner(&self) -> Option<u32> {
        self.options.split(',').find_map(|option| option.strip_prefix("user_id=")?.parse().ok())
    }
}

/// A file system's device number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Device {
    /// Major number; 0 for every file system without a disk of its own.
    pub major: u32,
    /// Minor number; for FUSE also the name of its control directory.
    pub minor: u32,
}

/// The ways to look one mount up, best first. Each exists because kernels in use lack the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lookup {
    /// statx(2) for the unique id, statmount(2) for the rest: Linux 6.13, where it tells subtype and source.
    Statmount,
    /// statx(2) for unique id and device, the rest as it was read when the mount was made: Linux 6.8.
    UniqueId,
    /// `/proc/self/mountinfo`, read whole: every kernel, and mounts whose root only their owner may look at.
    MountInfo,
}

/// The mount on top at `path`, or `None` where `path` is no mount point or does not exist.
///
/// `known` is the mount that was found there before, if any; only [`Lookup::UniqueId`] needs it. Ways better than
/// `best` are not tried.
///
/// # Errors
/// Those of the system calls and of reading the table. A path that is a symbolic link is no mount point.
pub fn top_mount(path: &Path, known: Option<&Mount>, best: Lookup) -> io::Result<Option<Mount>> {
    let at = match stat(path) {
        Ok(at) => at,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        // FUSE lets nobody but the owner look at the root of a mount without allow_other. The table shows it.
        Err(Errno::ACCESS) => return mountinfo::top_mount(path),
        Err(error) => return Err(error.into()),
    };
    if is_mount_root(&at) == Some(false) {
        return Ok(None);
    }
    let device = Device { major: at.stx_dev_major, minor: at.stx_dev_minor };
    let unique_id = unique_id(&at);
    if let Some(id) = unique_id.filter(|_| best <= Lookup::Statmount)
        && let Some(mount) = statmount::mount(id)?
    {
        return Ok(Some(mount));
    }
    let is_known = |known: &&Mount| known.unique_id == unique_id && known.device == device;
    if unique_id.is_some()
        && best <= Lookup::UniqueId
        && let Some(known) = known.filter(is_known)
    {
        return Ok(Some(known.clone()));
    }
    Ok(mountinfo::top_mount(path)?.map(|mount| Mount { unique_id, ..mount }))
}

/// The mount on top at `path` by [`Lookup::Statmount`] alone, which needs no `known` one; `None` where that way does not
/// tell, for whatever reason.
#[must_use]
pub fn top_mount_at_once(path: &Path) -> Option<Mount> {
    let at = stat(path).ok()?;
    let id = unique_id(&at).filter(|_| is_mount_root(&at) == Some(true))?;
    statmount::mount(id).ok()?
}

fn stat(path: &Path) -> rustix::io::Result<Statx> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    statx(CWD, path, flags, MNT_ID_UNIQUE)
}

/// Before Linux 5.8 it is not told, and only the table can say.
fn is_mount_root(at: &Statx) -> Option<bool> {
    let is_told = at.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT);
    is_told.then(|| at.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

fn unique_id(at: &Statx) -> Option<u64> {
    StatxFlags::from_bits_retain(at.stx_mask).contains(MNT_ID_UNIQUE).then_some(at.stx_mnt_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proc(best: Lookup, known: Option<&Mount>) -> Mount {
        top_mount(Path::new("/proc"), known, best).unwrap().unwrap()
    }

    #[test]
    fn every_way_sees_the_same_mount() {
        let whole = proc(Lookup::MountInfo, None);
        assert_eq!(whole.fs_type, "proc");
        assert_eq!(proc(Lookup::Statmount, None), whole);
        assert_eq!(proc(Lookup::UniqueId, Some(&whole)), whole);
        // Where the kernel has that way at all.
        let id = unique_id(&stat(Path::new("/proc")).unwrap());
        let told = id.and_then(|id| statmount::mount(id).unwrap());
        assert_eq!(top_mount_at_once(Path::new("/proc")), told);
        assert!(told.is_none_or(|mount| mount == whole));
    }

    #[test]
    fn what_was_known_of_another_mount_is_not_believed() {
        let whole = proc(Lookup::MountInfo, None);
        let other_id = Mount { unique_id: Some(1), source: "stale".to_owned(), ..whole.clone() };
        assert_eq!(proc(Lookup::UniqueId, Some(&other_id)), whole);
        let device = Device { major: 0, minor: whole.device.minor + 1 };
        let other_device = Mount { device, source: "stale".to_owned(), ..whole.clone() };
        assert_eq!(proc(Lookup::UniqueId, Some(&other_device)), whole);
    }

    #[test]
    fn a_plain_directory_a_file_and_nothing_are_no_mounts() {
        for path in ["/proc/self", "/proc/self/mountinfo", "/nonexistent/x"] {
            for best in [Lookup::Statmount, Lookup::UniqueId, Lookup::MountInfo] {
                assert_eq!(top_mount(Path::new(path), None, best).unwrap(), None, "{path}");
            }
            assert_eq!(top_mount_at_once(Path::new(path)), None, "{path}");
        }
    }

    #[test]
    fn quobyte_is_known_by_type_or_by_an_older_clients_source() {
        let mount = |fs_type: &str, source: &str| {
            let device = Device { major: 0, minor: 9 };
            let options = "user_id=64,group_id=0,default_permissions,allow_other".to_owned();
            Mount { unique_id: None, device, fs_type: fs_type.to_owned(), source: source.to_owned(), options }
        };
        assert!(mount("fuse.quobyte", "quobyte@h/v").is_quobyte());
        assert!(mount("fuse", "quobyte@h/v").is_quobyte());
        for (fs_type, source) in
            [("fuse", "h/v"), ("fuse.sshfs", "quobyte@h/v"), ("ext4", "quobyte@h/v"), ("fuse.quobytes", "x")]
        {
            assert!(!mount(fs_type, source).is_quobyte(), "{fs_type} {source}");
        }
        assert!(mount("fuse", "x").allows_other_users());
        assert_eq!(mount("fuse", "x").owner(), Some(64));
    }
}
