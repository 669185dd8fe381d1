//! The system calls that reach the client. They run in the helper process and nowhere else.

use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags, open, openat2, statx};
use rustix::io::Result;
use serde::{Deserialize, Serialize};

use crate::mount::Device;

/// What a live client says of a share's root directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFacts {
    /// The root's size in bytes: 0 while the client is connected to its registries (Quobyte's own rule).
    pub size: u64,
    /// The device of the share.
    pub device: Device,
}

/// What the share says of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFacts {
    /// The device the file is on.
    pub device: Device,
    /// The file's inode number.
    pub inode: u64,
    /// The file's size in bytes.
    pub size: u64,
    /// Whether it is a regular file.
    pub is_regular: bool,
}

/// Asks the client itself for its root, past every cache, so that a dead one shows.
pub(super) fn root(mount_point: &Path) -> Result<RootFacts> {
    let root = stat_now(open_root(mount_point)?)?;
    Ok(RootFacts { size: root.stx_size, device: device(&root) })
}

/// Looks at the file of that name directly on the share, following no link and crossing no mount.
pub(super) fn image(mount_point: &Path, name: &str) -> Result<ImageFacts> {
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let file =
        openat2(open_root(mount_point)?, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), beneath)?;
    let file = stat_now(file)?;
    Ok(ImageFacts {
        device: device(&file),
        inode: file.stx_ino,
        size: file.stx_size,
        is_regular: FileType::from_raw_mode(file.stx_mode.into()) == FileType::RegularFile,
    })
}

fn open_root(mount_point: &Path) -> Result<OwnedFd> {
    open(mount_point, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

fn stat_now(file: OwnedFd) -> Result<Statx> {
    let wanted = StatxFlags::TYPE | StatxFlags::SIZE | StatxFlags::INO;
    statx(file, "", AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC, wanted)
}

fn device(file: &Statx) -> Device {
    Device { major: file.stx_dev_major, minor: file.stx_dev_minor }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_regular_file_is_described_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::File::create(directory.path().join("disk")).unwrap().set_len(12345).unwrap();
        let seen = image(directory.path(), "disk").unwrap();
        assert!(seen.is_regular);
        assert_eq!(seen.size, 12345);
        assert_eq!(seen.device, root(directory.path()).unwrap().device);
    }

    #[test]
    fn a_link_is_never_followed_even_to_a_neighbour() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::File::create(directory.path().join("disk")).unwrap();
        for (link, target) in [("inside", "disk"), ("outside", "/etc/hostname"), ("dangling", "nothing")] {
            symlink(target, directory.path().join(link)).unwrap();
            assert_eq!(image(directory.path(), link), Err(Errno::LOOP), "{link}");
        }
    }

    #[test]
    fn what_is_not_a_regular_file_is_told_without_opening_it() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::net::UnixListener::bind(directory.path().join("socket")).unwrap();
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, directory.path().join("fifo"), FileType::Fifo, mode, 0).unwrap();
        for entry in ["socket", "fifo"] {
            assert!(!image(directory.path(), entry).unwrap().is_regular, "{entry}");
        }
    }

    #[test]
    fn a_mount_below_the_share_is_not_the_share() {
        assert_eq!(image(Path::new("/"), "proc"), Err(Errno::XDEV));
    }

    #[test]
    fn nothing_there_is_told_from_everything_else() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(image(directory.path(), "disk"), Err(Errno::NOENT));
    }
}
