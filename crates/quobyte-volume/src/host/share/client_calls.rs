//! The system calls that reach the client. They run in the helper process and nowhere else.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags, fstatfs, open, openat2, statx,
};
use rustix::io::{Errno, Result};
use serde::{Deserialize, Serialize};

use crate::host::fusectl;
use crate::pure::image::{
    self, ChainError, DeclaredImage, Identity, Layer, Opened, ReadAt, RelativePath, Rule, Violation,
};
use crate::pure::kernel_mount::Device;

/// What a live client says of a share's root directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFacts {
    /// The root's size in bytes: 0 while the client is connected to its registries (Quobyte's own rule).
    pub size: u64,
    /// The device of the share.
    pub device: Device,
}

impl RootFacts {
    /// Whether the client has its registries. Nova and Cinder go by the same rule.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.size == 0
    }
}

/// Which requests a share has refused as one does whose client is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusedRequests {
    /// One, or with an error that the kernel itself never gives for that reason.
    Some,
    /// One, although the kernel says that the connection has not ended.
    SomeWhileConnected,
    /// Two different ones, and the kernel could not be asked whether the connection has ended.
    All,
}

/// What a share's refusal to tell its root means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The kernel has ended the connection to the client.
    Dead,
    /// The client may be gone; these requests were refused so.
    Unserved(RefusedRequests),
    /// The client lives, or the error says nothing about it.
    Failed,
}

/// Why a chain cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChainFailure {
    /// A layer breaks a rule.
    Refused(RelativePath, Violation),
    /// A system call about a layer failed with this error number.
    Failed(RelativePath, i32),
}

/// Asks the client itself for its root, past every cache, so that a dead one shows; then for the image, if one is named.
/// A client that has lost its registries is not asked for what it cannot know.
pub(super) fn query_share(
    mount_point: &Path,
    image: Option<DeclaredImage<'_>>,
) -> Result<(RootFacts, std::result::Result<Vec<Layer>, ChainFailure>)> {
    let directory = open_root(mount_point)?;
    let root = statx_force_sync(&directory)?;
    let root = RootFacts { size: root.stx_size, device: device(&root) };
    let image = image.filter(|_| root.is_connected());
    Ok((root, image.map_or(Ok(Vec::new()), |image| read_chain(&directory, image))))
}

/// What a share's refusal to tell its root means: that its client is gone, by the kernel's own word, or less.
///
/// A client that lives can answer with any error. The kernel itself gives ENOTCONN and ECONNABORTED once it has ended the
/// connection, to every request, and never ESTALE for that reason.
pub(super) fn refusal(mount_point: &Path, errno: Errno) -> Refusal {
    if !matches!(errno, Errno::NOTCONN | Errno::CONNABORTED | Errno::STALE) {
        return Refusal::Failed;
    }
    let Ok(root) = open_root(mount_point) else { return Refusal::Unserved(RefusedRequests::Some) };
    let stat = statx(&root, "", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, StatxFlags::TYPE);
    let has_ended = || fusectl::has_ended(stat.as_ref().ok().map(device)?);
    // Asked again, since the kernel may be just about to end it.
    let is_refused_again = matches!(fstatfs(&root), Err(Errno::NOTCONN | Errno::CONNABORTED));
    match has_ended() {
        Some(true) => Refusal::Dead,
        None if is_refused_again && errno != Errno::STALE => Refusal::Unserved(RefusedRequests::All),
        Some(false) => Refusal::Unserved(RefusedRequests::SomeWhileConnected),
        None => Refusal::Unserved(RefusedRequests::Some),
    }
}

/// Reads the chain of an image that is directly in the share's root: the image and everything below it.
///
/// Every layer is opened beneath the share, following no link and crossing no mount. It is opened for reading only once
/// it is known to be a regular file, and only if it has to be read: a FIFO in its place blocks nobody.
pub(super) fn read_chain(
    root: &OwnedFd,
    DeclaredImage { name, format }: DeclaredImage<'_>,
) -> std::result::Result<Vec<Layer>, ChainFailure> {
    let mut open = |path: &RelativePath| {
        let refused = |rule| Err(ChainFailure::Refused(path.clone(), Violation::new(rule, path)));
        match open_layer(root, path) {
            Ok((_, file)) if !is_regular(&file) => refused(Rule::NotRegularFile),
            Ok((content, file)) => Ok(Opened {
                identity: identity(&file),
                size: file.stx_size,
                content: Box::new(LazyFile(content)),
            }),
            Err(Errno::LOOP | Errno::XDEV) => refused(Rule::LeadsAway),
            Err(errno) => Err(ChainFailure::Failed(path.clone(), errno.raw_os_error())),
        }
    };
    image::walk(RelativePath::from(name), format, &mut open).map_err(|error| match error {
        ChainError::Refused { path, violation } => ChainFailure::Refused(path, violation),
        ChainError::Unreadable { path, source } => {
            ChainFailure::Failed(path, source.raw_os_error().unwrap_or(libc::EIO))
        }
        ChainError::Open(error) => error,
    })
}

pub(super) fn open_root(mount_point: &Path) -> Result<OwnedFd> {
    open(mount_point, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Opens what is beneath the share's root, following no link and crossing no mount.
pub(super) fn open_beneath(root: &OwnedFd, path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    openat2(root, path, flags | OFlags::CLOEXEC, mode, beneath)
}

fn open_layer(root: &OwnedFd, path: &RelativePath) -> Result<(OwnedFd, Statx)> {
    let file = open_beneath(root, path.as_path(), OFlags::PATH, Mode::empty())?;
    let stat = statx_force_sync(&file)?;
    Ok((file, stat))
}

/// Opens the file of a layer that was read before.
///
/// # Errors
/// `ENOENT` also where another file is at the layer's path by now.
pub(super) fn open_same_file(root: &OwnedFd, layer: &Layer) -> Result<OwnedFd> {
    let (file, stat) = open_layer(root, &layer.path)?;
    if is_regular(&stat) && identity(&stat) == layer.identity { Ok(file) } else { Err(Errno::NOENT) }
}

/// Opens a file once more, to be used otherwise. Through the descriptor and not the name, so that it is the same file.
pub(super) fn reopen(file: &OwnedFd, flags: OFlags) -> Result<OwnedFd> {
    open(format!("/proc/self/fd/{}", file.as_raw_fd()), flags | OFlags::CLOEXEC, Mode::empty())
}

impl ReadAt for File {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }
}

/// A file that is opened for reading only when it is read.
struct LazyFile(OwnedFd);

impl ReadAt for LazyFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let file = File::from(reopen(&self.0, OFlags::RDONLY)?);
        ReadAt::read_exact_at(&file, buffer, offset)
    }
}

fn statx_force_sync(file: &OwnedFd) -> Result<Statx> {
    let wanted = StatxFlags::TYPE | StatxFlags::SIZE | StatxFlags::INO | StatxFlags::BTIME;
    statx(file, "", AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC, wanted)
}

fn is_regular(file: &Statx) -> bool {
    FileType::from_raw_mode(file.stx_mode.into()) == FileType::RegularFile
}

fn device(file: &Statx) -> Device {
    Device { major: file.stx_dev_major, minor: file.stx_dev_minor }
}

fn identity(file: &Statx) -> Identity {
    let has_btime = file.stx_mask & StatxFlags::BTIME.bits() != 0;
    let btime = has_btime.then_some((file.stx_btime.tv_sec, file.stx_btime.tv_nsec));
    Identity { device: device(file), inode: file.stx_ino, btime }
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;
    use crate::pure::connection::{ImageFormat, ImageName};

    /// The image on a share that is a plain directory, whose root has a size of its own.
    fn image_layers(
        mount_point: &Path,
        name: &str,
        format: ImageFormat,
    ) -> std::result::Result<Vec<Layer>, ChainFailure> {
        let name = ImageName::parse(name).unwrap();
        let root = File::open(mount_point).unwrap().into();
        read_chain(&root, DeclaredImage { name: &name, format })
    }

    fn raw(mount_point: &Path, name: &str) -> std::result::Result<Vec<Layer>, ChainFailure> {
        image_layers(mount_point, name, ImageFormat::Raw)
    }

    fn rule(refused: std::result::Result<Vec<Layer>, ChainFailure>) -> Rule {
        match refused {
            Err(ChainFailure::Refused(_, violation)) => violation.rule,
            other => panic!("not refused: {other:?}"),
        }
    }

    pub(in crate::host::share) fn fifo(path: PathBuf) {
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, mode, 0).unwrap();
    }

    #[test]
    fn raw_image_is_a_single_layer() {
        let directory = tempfile::tempdir().unwrap();
        File::create(directory.path().join("disk")).unwrap().set_len(12345).unwrap();
        let layers = raw(directory.path(), "disk").unwrap();
        assert_eq!(layers.len(), 1);
        assert_eq!(layers[0].virtual_size, 12345);
        assert_eq!(layers[0].identity.device, query_share(directory.path(), None).unwrap().0.device);
    }

    #[test]
    fn birth_time_is_reported_if_available() {
        let directory = tempfile::tempdir().unwrap();
        let file = File::create(directory.path().join("disk")).unwrap();
        let known = file.metadata().unwrap().created().ok().map(|born| {
            let since = born.duration_since(std::time::UNIX_EPOCH).unwrap();
            (since.as_secs().try_into().unwrap(), since.subsec_nanos())
        });
        assert_eq!(raw(directory.path(), "disk").unwrap()[0].identity.btime, known);
    }

    #[test]
    fn symlink_on_share_is_never_followed() {
        let directory = tempfile::tempdir().unwrap();
        File::create(directory.path().join("disk")).unwrap();
        for (link, target) in [("inside", "disk"), ("outside", "/etc/hostname"), ("dangling", "nothing")] {
            symlink(target, directory.path().join(link)).unwrap();
            assert_eq!(rule(raw(directory.path(), link)), Rule::LeadsAway, "{link}");
        }
    }

    #[test]
    fn special_file_is_rejected_without_opening() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::net::UnixListener::bind(directory.path().join("socket")).unwrap();
        fifo(directory.path().join("fifo"));
        for entry in ["socket", "fifo"] {
            for format in [ImageFormat::Raw, ImageFormat::Qcow2] {
                assert_eq!(
                    rule(image_layers(directory.path(), entry, format)),
                    Rule::NotRegularFile,
                    "{entry}"
                );
            }
        }
    }

    #[test]
    fn mount_below_share_is_rejected() {
        assert_eq!(rule(raw(Path::new("/"), "proc")), Rule::LeadsAway);
    }

    #[test]
    fn missing_image_is_reported_as_enoent() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(raw(directory.path(), "disk"), Err(ChainFailure::Failed(_, libc::ENOENT))));
    }

    #[test]
    fn unreadable_raw_image_is_accepted() {
        let directory = tempfile::tempdir().unwrap();
        let file = File::create(directory.path().join("disk")).unwrap();
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
        assert!(raw(directory.path(), "disk").is_ok());
    }
}
