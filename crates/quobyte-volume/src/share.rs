//! Everything that reaches the client of a mounted share.
//!
//! A client that has read a request and never answers leaves the asker in uninterruptible sleep, which not even
//! SIGKILL ends. So no other part of this library touches a path on a share: they ask a [`Share`], which answers with
//! facts and never with a descriptor. Nothing on the share stays open when a method returns.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags, open, openat2, statx};
use rustix::io::Errno;

use crate::connection::ImageName;
use crate::mount::Device;

/// A share at its mount point.
#[derive(Debug)]
pub(crate) struct Share<'a> {
    mount_point: &'a Path,
}

/// What a live client says of a share's root directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootFacts {
    /// The root's size in bytes: 0 while the client is connected to its registries (Quobyte's own rule).
    pub size: u64,
    /// The device of the share.
    pub device: Device,
}

/// What the share says of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Why the share gave no answer, or no good one.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// The client behind the mount is gone (ENOTCONN, ESTALE, ECONNABORTED). Nothing else means that.
    #[error("the client of {mount_point} is dead")]
    Dead {
        /// The share's mount point.
        mount_point: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// There is no such file.
    #[error("{path} does not exist")]
    Missing {
        /// The file asked for.
        path: PathBuf,
    },
    /// The name leads somewhere else: through a symbolic link, or to another file system.
    #[error("{path} is a link or leads out of its share")]
    LeadsAway {
        /// The file asked for.
        path: PathBuf,
    },
    /// The share answered with another error.
    #[error("{path} cannot be looked at")]
    Failed {
        /// The file or directory asked for.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl<'a> Share<'a> {
    pub(crate) fn at(mount_point: &'a Path) -> Self {
        Self { mount_point }
    }

    /// Asks the client itself, past every cache, so that a dead one shows.
    pub(crate) fn root(&self) -> Result<RootFacts, ShareError> {
        let root = open(
            self.mount_point,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW,
            Mode::empty(),
        )
        .and_then(stat_now)
        .map_err(|errno| self.error(self.mount_point.to_owned(), errno))?;
        Ok(RootFacts {
            size: root.stx_size,
            device: device(&root),
        })
    }

    /// Looks at the file of that name directly on the share, following no link and crossing no mount.
    pub(crate) fn image(&self, name: &ImageName) -> Result<ImageFacts, ShareError> {
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let file = open(
            self.mount_point,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW,
            Mode::empty(),
        )
        .and_then(|root| openat2(root, name.as_str(), OFlags::PATH, Mode::empty(), beneath))
        .and_then(stat_now)
        .map_err(|errno| self.error(self.mount_point.join(name.as_str()), errno))?;
        Ok(ImageFacts {
            device: device(&file),
            inode: file.stx_ino,
            size: file.stx_size,
            is_regular: FileType::from_raw_mode(file.stx_mode.into()) == FileType::RegularFile,
        })
    }

    fn error(&self, path: PathBuf, errno: Errno) -> ShareError {
        match errno {
            Errno::NOTCONN | Errno::STALE | Errno::CONNABORTED => ShareError::Dead {
                mount_point: self.mount_point.to_owned(),
                source: errno.into(),
            },
            Errno::NOENT => ShareError::Missing { path },
            Errno::LOOP | Errno::XDEV => ShareError::LeadsAway { path },
            errno => ShareError::Failed {
                path,
                source: errno.into(),
            },
        }
    }
}

fn stat_now(file: rustix::fd::OwnedFd) -> rustix::io::Result<Statx> {
    let wanted = StatxFlags::TYPE | StatxFlags::SIZE | StatxFlags::INO;
    statx(file, "", AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC, wanted)
}

fn device(file: &Statx) -> Device {
    Device {
        major: file.stx_dev_major,
        minor: file.stx_dev_minor,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn name(text: &str) -> ImageName {
        ImageName::parse(text).unwrap()
    }

    #[test]
    fn a_regular_file_is_described_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::File::create(directory.path().join("disk"))
            .unwrap()
            .set_len(12345)
            .unwrap();
        let share = Share::at(directory.path());
        let image = share.image(&name("disk")).unwrap();
        assert!(image.is_regular);
        assert_eq!(image.size, 12345);
        assert_eq!(image.device, share.root().unwrap().device);
    }

    #[test]
    fn a_link_is_never_followed_even_to_a_neighbour() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::File::create(directory.path().join("disk")).unwrap();
        for (link, target) in [
            ("inside", "disk"),
            ("outside", "/etc/hostname"),
            ("dangling", "nothing"),
        ] {
            symlink(target, directory.path().join(link)).unwrap();
            let seen = Share::at(directory.path()).image(&name(link));
            assert!(
                matches!(seen, Err(ShareError::LeadsAway { .. })),
                "{link}: {seen:?}"
            );
        }
    }

    #[test]
    fn what_is_not_a_regular_file_is_told_without_opening_it() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::net::UnixListener::bind(directory.path().join("socket")).unwrap();
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(
            rustix::fs::CWD,
            directory.path().join("fifo"),
            FileType::Fifo,
            mode,
            0,
        )
        .unwrap();
        for entry in ["socket", "fifo"] {
            assert!(
                !Share::at(directory.path())
                    .image(&name(entry))
                    .unwrap()
                    .is_regular,
                "{entry}"
            );
        }
    }

    #[test]
    fn a_mount_below_the_share_is_not_the_share() {
        let seen = Share::at(Path::new("/")).image(&name("proc"));
        assert!(matches!(seen, Err(ShareError::LeadsAway { .. })), "{seen:?}");
    }

    #[test]
    fn nothing_there_is_told_from_everything_else() {
        let directory = tempfile::tempdir().unwrap();
        let seen = Share::at(directory.path()).image(&name("disk"));
        assert!(matches!(seen, Err(ShareError::Missing { .. })), "{seen:?}");
    }
}
