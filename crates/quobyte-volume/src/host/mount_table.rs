//! The kernel's mount table, one mount at a time.
//!
//! The table is the only witness of a mount: neither a client's exit status nor our own record is. Reading all of it
//! costs milliseconds on a host with thousands of mounts, so one mount is looked up in the cheapest way the kernel
//! offers (see [`Lookup`]). None of the ways sends a request to a file system, so none can hang on a dead one.

mod self_mountinfo;
mod statmount;

use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Statx, StatxAttributes, StatxFlags, statx};
use rustix::io::Errno;

pub(crate) use self::self_mountinfo::mounts_below;
use crate::pure::kernel_mount::{Device, Mount};

/// `STATX_MNT_ID_UNIQUE`, Linux 6.8: an id that no later mount gets again.
const MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);

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
        Err(Errno::ACCESS) => return self_mountinfo::top_mount(path),
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
    Ok(self_mountinfo::top_mount(path)?.map(|mount| Mount { unique_id, ..mount }))
}

/// The mount on top at `path` by [`Lookup::Statmount`] alone, which needs no `known` one; `None` where that way does not
/// tell, for whatever reason.
#[must_use]
pub fn top_mount_fast(path: &Path) -> Option<Mount> {
    let at = stat(path).ok()?;
    let id = unique_id(&at).filter(|_| is_mount_root(&at) == Some(true))?;
    statmount::mount(id).ok()?
}

fn stat(path: &Path) -> rustix::io::Result<Statx> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    statx(CWD, path, flags, MNT_ID_UNIQUE)
}

/// Whether it is the root of a mount; `None` before Linux 5.8, where statx does not say and only the table does.
fn is_mount_root(at: &Statx) -> Option<bool> {
    let is_supported = at.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT);
    is_supported.then(|| at.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
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
    fn every_lookup_finds_the_same_mount() {
        let whole = proc(Lookup::MountInfo, None);
        assert_eq!(whole.fs_type, "proc");
        assert_eq!(proc(Lookup::Statmount, None), whole);
        assert_eq!(proc(Lookup::UniqueId, Some(&whole)), whole);
        // Where the kernel has that way at all.
        let id = unique_id(&stat(Path::new("/proc")).unwrap());
        let found = id.and_then(|id| statmount::mount(id).unwrap());
        assert_eq!(top_mount_fast(Path::new("/proc")), found);
        assert!(found.is_none_or(|mount| mount == whole));
    }

    /// The way by which a mount that is known already is looked up here.
    fn lookup_in_use() -> Lookup {
        let known = Mount { source: "known".to_owned(), ..proc(Lookup::MountInfo, None) };
        if top_mount_fast(Path::new("/proc")).is_some() {
            Lookup::Statmount
        } else if proc(Lookup::Statmount, Some(&known)) == known {
            Lookup::UniqueId
        } else {
            Lookup::MountInfo
        }
    }

    #[test]
    fn best_lookup_of_the_kernel_is_used() {
        let system = rustix::system::uname();
        let mut numbers = system.release().to_str().unwrap().split(['.', '-']).map(str::parse::<u32>);
        let version = (numbers.next().unwrap().unwrap(), numbers.next().unwrap().unwrap());
        let offered = match version {
            (6, 13..) | (7.., _) => Lookup::Statmount,
            (6, 8..) => Lookup::UniqueId,
            _ => Lookup::MountInfo,
        };
        // A distribution may have given its kernel what a later one has.
        assert!(lookup_in_use() <= offered, "{version:?}: {:?}", lookup_in_use());
    }

    #[test]
    fn stale_known_mount_is_ignored() {
        let whole = proc(Lookup::MountInfo, None);
        let other_id = Mount { unique_id: Some(1), source: "stale".to_owned(), ..whole.clone() };
        assert_eq!(proc(Lookup::UniqueId, Some(&other_id)), whole);
        let device = Device { major: 0, minor: whole.device.minor + 1 };
        let other_device = Mount { device, source: "stale".to_owned(), ..whole.clone() };
        assert_eq!(proc(Lookup::UniqueId, Some(&other_device)), whole);
    }

    #[test]
    fn non_mount_points_yield_no_mount() {
        for path in ["/proc/self", "/proc/self/mountinfo", "/nonexistent/x"] {
            for best in [Lookup::Statmount, Lookup::UniqueId, Lookup::MountInfo] {
                assert_eq!(top_mount(Path::new(path), None, best).unwrap(), None, "{path}");
            }
            assert_eq!(top_mount_fast(Path::new(path)), None, "{path}");
        }
    }
}
