//! The seam between the driver and the machine it runs on.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, StatxFlags, open, openat2, statx};

use super::client::{self, ClientError};
use super::connection;
use super::launcher::{Launch, Launcher, Request};
use super::unmount::{self, How, Unmounted};
use crate::attachments::{LockedShare, StateDir};
use crate::connection::Export;
use crate::crash;
use crate::deadline::Deadline;
use crate::image::{Declared, Layer};
use crate::io_policy::{AioSlots, Probe};
use crate::mount_path::MountPath;
use crate::mount_table::{self, Lookup, Mount};
use crate::share::{PendingLook, ShareError, Shares};

/// What the driver needs of a machine: its mount table, Quobyte's client, and what lies on a mounted share.
///
/// [`LinuxHost`] is the real one. A test passes in one that keeps its mounts in memory.
pub trait Host {
    /// The mount on top at `at`, if anything is mounted there. Must not wait for the mounted file system.
    ///
    /// # Errors
    /// When the mount table cannot be read.
    fn top_mount(&self, at: &MountPath, known: Option<&Mount>) -> io::Result<Option<Mount>>;

    /// The same where the kernel tells it of one mount, and nothing needs to be known of it. `None` says nothing.
    fn top_mount_at_once(&self, at: &MountPath) -> Option<Mount>;

    /// The mount points directly below `base`, each as often as something is mounted there.
    ///
    /// # Errors
    /// When the mount table cannot be read.
    fn mounts_below(&self, base: &Path) -> io::Result<Vec<PathBuf>>;

    /// Asks the client behind the mount at `at` for its root, past every cache, and for `image`, directly on the share,
    /// with everything below it. Returns what waits for the answer; what is asked may be under way until then.
    ///
    /// # Errors
    /// [`ShareError::Dead`] if and only if the client is gone. Within the answer, [`ShareError::Missing`] and
    /// [`ShareError::Refused`] for an image that may not be given to a guest.
    fn look<'a>(&'a self, at: &'a MountPath, image: Option<Declared<'_>>) -> PendingLook<'a>;

    /// Finds out how the mount at `at` does direct I/O, by reading an image that a look has shown, or a file of its own
    /// where that is too short.
    ///
    /// # Errors
    /// [`ShareError::Failed`] where nothing can be read so, [`ShareError::Missing`] where it is another file by now.
    fn probe(&self, at: &MountPath, image: &Layer) -> Result<Probe, ShareError>;

    /// The slots for Linux AIO; `None` where the kernel does not tell.
    fn aio_slots(&self) -> Option<AioSlots>;

    /// Makes the directory to mount on, and returns what it had to make, outermost first.
    ///
    /// # Errors
    /// When something else than an empty directory is in the way, or a directory cannot be made; what this call made
    /// until then is gone again.
    fn make_mount_point(&self, at: &MountPath) -> io::Result<Vec<PathBuf>>;

    /// Removes an empty directory that was mounted on. One that is not there is as good as removed.
    ///
    /// # Errors
    /// When it is not empty or may not be removed.
    fn remove_directory(&self, directory: &Path) -> io::Result<()>;

    /// Has Quobyte's client mount `export` at `at`, for a generation of the share that no other client was started for.
    /// Only the mount table tells whether it did.
    ///
    /// # Errors
    /// What the client said.
    fn mount(&self, export: &Export, at: &MountPath, generation: u64) -> Result<(), ClientError>;

    /// Ends the client that was started at `at` for that generation, and no other, so that it mounts nothing later. To
    /// be called while nothing is mounted at `at`; one that mounts meanwhile leaves a dead mount. Returns how many
    /// processes there were.
    ///
    /// # Errors
    /// When a process does not end.
    fn end_client(&self, at: &MountPath, generation: u64) -> io::Result<usize>;

    /// Whether this user may unmount `mount`: what it mounted itself, and a superuser anything.
    fn may_unmount(&self, mount: &Mount) -> bool;

    /// Unmounts what is on top at `at`, whose share is `held` until that is done, even if this process is killed
    /// meanwhile.
    ///
    /// # Errors
    /// When it cannot be unmounted for another reason than being in use.
    fn unmount(&self, at: &MountPath, how: How, held: &LockedShare) -> io::Result<Unmounted>;

    /// Ends the connection behind `mount`, so that whoever waits for its client gets an error.
    ///
    /// # Errors
    /// When the kernel's control file system is not there or not open to this user.
    fn abort(&self, mount: &Mount) -> io::Result<()>;

    /// Has the kernel let at least 256 asynchronous requests to the client behind `mount` be under way at once, or as
    /// many as it permits ordinary users (`max_user_bgreq` of module `fuse`). Returns the limit that was too low.
    ///
    /// # Errors
    /// As [`Host::abort`].
    fn raise_background(&self, mount: &Mount) -> io::Result<Option<u32>>;
}

/// The machine this process runs on, as the user it runs as.
#[derive(Debug)]
pub struct LinuxHost {
    client_cfg: Option<PathBuf>,
    launch: Launch,
    shares: Shares,
    mount_timeout: Duration,
}

/// How long the processes that a client has left may take to end once they are killed. One that is stuck in the kernel
/// takes longer, and is not waited for.
const TO_END: Duration = Duration::from_secs(5);

/// What the machine's owner has configured.
#[derive(Debug, Clone)]
pub struct LinuxConfig {
    /// Handed to the client as `-c`.
    pub client_cfg: Option<PathBuf>,
    /// Who starts the client.
    pub launcher: Launcher,
    /// The program `quobyte-share-helper`, beside which `quobyte-client-unit` lies.
    pub helper: PathBuf,
    /// Bounds each run of the client and of what unmounts.
    pub mount_timeout: Duration,
    /// Bounds each question to a mounted share.
    pub probe_timeout: Duration,
}

impl LinuxHost {
    /// This machine, with locks in `state`.
    #[must_use]
    pub fn new(config: LinuxConfig, state: StateDir) -> Self {
        let program = config.helper.with_file_name("quobyte-client-unit");
        Self {
            client_cfg: config.client_cfg,
            launch: Launch::new(config.launcher, state.launch_directory(), program),
            shares: Shares::new(config.helper, state, config.probe_timeout),
            mount_timeout: config.mount_timeout,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "mount directories are made and removed here alone")]
impl Host for LinuxHost {
    fn top_mount(&self, at: &MountPath, known: Option<&Mount>) -> io::Result<Option<Mount>> {
        crash::point("the mount table is about to be asked");
        mount_table::top_mount(at.as_path(), known, Lookup::Statmount)
    }

    fn top_mount_at_once(&self, at: &MountPath) -> Option<Mount> {
        mount_table::top_mount_at_once(at.as_path())
    }

    fn mounts_below(&self, base: &Path) -> io::Result<Vec<PathBuf>> {
        mount_table::mounts_below(base)
    }

    fn look<'a>(&'a self, at: &'a MountPath, image: Option<Declared<'_>>) -> PendingLook<'a> {
        self.shares.look(at, image)
    }

    fn probe(&self, at: &MountPath, image: &Layer) -> Result<Probe, ShareError> {
        self.shares.probe(at, image)
    }

    fn aio_slots(&self) -> Option<AioSlots> {
        let number =
            |name| std::fs::read_to_string(Path::new("/proc/sys/fs").join(name)).ok()?.trim().parse().ok();
        Some(AioSlots { used: number("aio-nr")?, limit: number("aio-max-nr")? })
    }

    fn make_mount_point(&self, at: &MountPath) -> io::Result<Vec<PathBuf>> {
        let mut made = Vec::new();
        if let Err(error) = make_missing(at.as_path(), &mut made) {
            // What cannot be removed again is an empty directory; the cause is what has to be told.
            for directory in made.iter().rev() {
                let _ = self.remove_directory(directory);
            }
            return Err(error);
        }
        // A link here would have the client mount wherever it points.
        if file_type(at.as_path())? != FileType::Directory {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        match first_entry(at.as_path())? {
            None => Ok(made),
            Some(entry) => Err(hides(&entry)),
        }
    }

    fn remove_directory(&self, directory: &Path) -> io::Result<()> {
        crash::point("a directory is about to go");
        match std::fs::remove_dir(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => {
                crash::point("a directory is gone");
                Ok(())
            }
        }
    }

    fn mount(&self, export: &Export, at: &MountPath, generation: u64) -> Result<(), ClientError> {
        let request = Request {
            client: client::name(at, generation),
            export: export.clone(),
            mount_path: at.clone(),
            client_cfg: self.client_cfg.clone(),
            budget: self.mount_timeout,
        };
        let deadline = Deadline::after(self.mount_timeout);
        self.shares.prepare(at);
        match self.launch.manager() {
            Some(manager) => self.launch.run(manager, &request, deadline),
            None => client::run(&request, deadline),
        }
    }

    fn end_client(&self, at: &MountPath, generation: u64) -> io::Result<usize> {
        crash::point("what a client has left is about to be ended");
        self.shares.forget(at);
        // First, or a unit could start with it meanwhile; and last, for what a unit that is ended now still answered.
        self.launch.take_back(at)?;
        let ended = client::end(&client::name(at, generation), Deadline::after(TO_END))?;
        self.launch.take_back(at)?;
        Ok(ended)
    }

    fn may_unmount(&self, mount: &Mount) -> bool {
        let user = rustix::process::geteuid();
        user.is_root() || mount.owner() == Some(user.as_raw())
    }

    fn unmount(&self, at: &MountPath, how: How, held: &LockedShare) -> io::Result<Unmounted> {
        let unmounted =
            unmount::unmount(at.as_path(), how, held.lend()?, Deadline::after(self.mount_timeout))?;
        if unmounted == Unmounted::Done {
            self.shares.forget(at);
        }
        Ok(unmounted)
    }

    fn abort(&self, mount: &Mount) -> io::Result<()> {
        connection::abort(mount)
    }

    fn raise_background(&self, mount: &Mount) -> io::Result<Option<u32>> {
        connection::raise_background(mount)
    }
}

/// How often the way to a mount point may vanish while it is made.
const MOST_RETURNS: usize = 100;

/// Makes the directory at `path` and what is missing on the way there, and adds each to `made`.
///
/// A connect to another share that fails takes back what it has made of the way. Whoever finds it gone begins anew.
fn make_missing(path: &Path, made: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut returns = 0;
    loop {
        match make_once(path, made) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && returns < MOST_RETURNS => returns += 1,
            result => return result,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "mount directories are made here alone")]
fn make_once(path: &Path, made: &mut Vec<PathBuf>) -> io::Result<()> {
    let missing: Vec<_> = path.ancestors().take_while(|path| file_type(path).is_err()).collect();
    for &directory in missing.iter().rev() {
        match std::fs::create_dir(directory) {
            // Another share's connect makes the same base.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => {
                result?;
                crash::point("a directory has been made");
                made.push(directory.to_owned());
            }
        }
    }
    Ok(())
}

/// What is at `path`, without asking a file system that may be mounted there meanwhile.
fn file_type(path: &Path) -> io::Result<FileType> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    Ok(FileType::from_raw_mode(statx(CWD, path, flags, StatxFlags::TYPE)?.stx_mode.into()))
}

/// What lies in the directory at `path` itself, and not in what may be mounted there meanwhile, which is not asked.
fn first_entry(path: &Path) -> io::Result<Option<OsString>> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let directory = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = open(parent, directory | OFlags::PATH, Mode::empty())?;
    let same_mount = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    let directory = openat2(parent, name, directory | OFlags::RDONLY, Mode::empty(), same_mount)?;
    for entry in Dir::new(directory)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            return Ok(Some(name.to_owned()));
        }
    }
    Ok(None)
}

/// A mount would cover what somebody has written here while the volume was not mounted, perhaps a guest's data.
fn hides(entry: &OsStr) -> io::Error {
    let reason =
        format!("it holds {entry:?} on this host's own disk, which a mount would hide; move that away");
    io::Error::new(io::ErrorKind::DirectoryNotEmpty, reason)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;

    fn at(base: &Path) -> MountPath {
        MountPath::new(base, &Export::parse("reg/vol").unwrap())
    }

    fn host(state: &Path) -> LinuxHost {
        let config = LinuxConfig {
            client_cfg: None,
            launcher: Launcher::Direct,
            helper: "/nonexistent/helper".into(),
            mount_timeout: Duration::from_secs(30),
            probe_timeout: Duration::from_secs(30),
        };
        LinuxHost::new(config, StateDir::open(state).unwrap())
    }

    #[test]
    fn what_is_made_for_a_mount_is_told_outermost_first_and_only_once() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().join("a/b");
        let at = at(&base);
        let made = host(&directory.path().join("state")).make_mount_point(&at).unwrap();
        assert_eq!(made, [directory.path().join("a"), base, at.as_path().to_owned()]);
        assert!(at.as_path().is_dir());
        assert!(host(&directory.path().join("state")).make_mount_point(&at).unwrap().is_empty());
    }

    #[test]
    fn a_base_below_a_link_to_nowhere_cannot_be_made() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("nothing", &link).unwrap();
        let error =
            host(&directory.path().join("state")).make_mount_point(&at(&link.join("mnt"))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_link_or_a_file_in_the_way_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let at = at(directory.path());
        std::os::unix::fs::symlink("/tmp", at.as_path()).unwrap();
        assert_eq!(
            host(&directory.path().join("state")).make_mount_point(&at).unwrap_err().kind(),
            io::ErrorKind::NotADirectory
        );
        assert!(at.as_path().is_symlink());
    }

    #[test]
    fn what_lies_where_the_mount_should_be_is_named_and_never_covered() {
        let directory = tempfile::tempdir().unwrap();
        let at = at(directory.path());
        let host = host(&directory.path().join("state"));
        host.make_mount_point(&at).unwrap();
        std::fs::File::create(at.as_path().join("volume-1")).unwrap();
        let error = host.make_mount_point(&at).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::DirectoryNotEmpty);
        assert!(error.to_string().contains("volume-1"), "{error}");
    }

    #[test]
    fn removing_what_is_not_there_succeeds_and_what_is_not_empty_stays() {
        let directory = tempfile::tempdir().unwrap();
        host(&directory.path().join("state")).remove_directory(&directory.path().join("none")).unwrap();
        std::fs::File::create(directory.path().join("file")).unwrap();
        assert!(host(&directory.path().join("state")).remove_directory(directory.path()).is_err());
        assert!(directory.path().is_dir());
    }
}
