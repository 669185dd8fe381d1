//! The seam between the driver and the machine it runs on.

use std::io;
use std::path::PathBuf;

use super::MountPath;
use super::client::{self, Client, ClientError, Unmounted};
use super::table::{self, Lookup, Mount};
use crate::connection::{Export, ImageName};
use crate::deadline::Deadline;
use crate::share::{ImageFacts, RootFacts, Share, ShareError};

/// What the driver needs of a machine: its mount table, Quobyte's client, and what lies on a mounted share.
///
/// [`LinuxHost`] is the real one. A test passes in one that keeps its mounts in memory.
pub trait Host {
    /// The mount on top at `at`, if anything is mounted there. Must not wait for the mounted file system.
    ///
    /// # Errors
    /// When the mount table cannot be read.
    fn top_mount(&self, at: &MountPath, known: Option<&Mount>) -> io::Result<Option<Mount>>;

    /// Asks the client behind the mount at `at` for its root, past every cache.
    ///
    /// # Errors
    /// [`ShareError::Dead`] if and only if the client is gone.
    fn root(&self, at: &MountPath) -> Result<RootFacts, ShareError>;

    /// Looks at the image of that name directly on the share at `at`.
    ///
    /// # Errors
    /// [`ShareError::Missing`] and [`ShareError::LeadsAway`] for names that are no file of the share.
    fn image(&self, at: &MountPath, name: &ImageName) -> Result<ImageFacts, ShareError>;

    /// Makes the directory to mount on, and returns what it had to make, outermost first.
    ///
    /// # Errors
    /// When something else than a directory is in the way, or a directory cannot be made; what this call made until
    /// then is gone again.
    fn make_mount_point(&self, at: &MountPath) -> io::Result<Vec<PathBuf>>;

    /// Removes an empty directory that was mounted on. One that is not there is as good as removed.
    ///
    /// # Errors
    /// When it is not empty or may not be removed.
    fn remove_directory(&self, directory: &std::path::Path) -> io::Result<()>;

    /// Has Quobyte's client mount `export` at `at`. Only the mount table tells whether it did.
    ///
    /// # Errors
    /// What the client said.
    fn mount(&self, export: &Export, at: &MountPath) -> Result<(), ClientError>;

    /// Whether this user may unmount `mount`: what it mounted itself, and a superuser anything.
    fn may_unmount(&self, mount: &Mount) -> bool;

    /// Unmounts what is on top at `at`, unless it is in use.
    ///
    /// # Errors
    /// When it cannot be unmounted for another reason than being in use.
    fn unmount(&self, at: &MountPath) -> io::Result<Unmounted>;
}

/// The machine this process runs on, as the user it runs as.
#[derive(Debug, Clone)]
pub struct LinuxHost {
    client: Client,
    mount_timeout: std::time::Duration,
}

impl LinuxHost {
    /// `client_cfg` is handed to the client as `-c`; `mount_timeout` bounds each run of it and of what unmounts.
    #[must_use]
    pub fn new(client_cfg: Option<PathBuf>, mount_timeout: std::time::Duration) -> Self {
        Self {
            client: Client { config: client_cfg },
            mount_timeout,
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "mount directories are made and removed here alone"
)]
impl Host for LinuxHost {
    fn top_mount(&self, at: &MountPath, known: Option<&Mount>) -> io::Result<Option<Mount>> {
        table::top_mount(at.as_path(), known, Lookup::Statmount)
    }

    fn root(&self, at: &MountPath) -> Result<RootFacts, ShareError> {
        Share::at(at.as_path()).root()
    }

    fn image(&self, at: &MountPath, name: &ImageName) -> Result<ImageFacts, ShareError> {
        Share::at(at.as_path()).image(name)
    }

    fn make_mount_point(&self, at: &MountPath) -> io::Result<Vec<PathBuf>> {
        let missing = at
            .as_path()
            .ancestors()
            .take_while(|path| path.symlink_metadata().is_err());
        let mut missing: Vec<PathBuf> = missing.map(PathBuf::from).collect();
        missing.reverse();
        let mut made = Vec::new();
        for directory in missing {
            match std::fs::create_dir(&directory) {
                Ok(()) => made.push(directory),
                // Another share's connect makes the same base directory.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    for directory in made.iter().rev() {
                        self.remove_directory(directory)?;
                    }
                    return Err(error);
                }
            }
        }
        // A link here would have the client mount wherever it points.
        if at.as_path().symlink_metadata()?.is_dir() {
            Ok(made)
        } else {
            Err(io::ErrorKind::NotADirectory.into())
        }
    }

    fn remove_directory(&self, directory: &std::path::Path) -> io::Result<()> {
        match std::fs::remove_dir(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn mount(&self, export: &Export, at: &MountPath) -> Result<(), ClientError> {
        self.client
            .mount(export, at.as_path(), Deadline::after(self.mount_timeout))
    }

    fn may_unmount(&self, mount: &Mount) -> bool {
        let user = rustix::process::geteuid();
        user.is_root() || mount.owner() == Some(user.as_raw())
    }

    fn unmount(&self, at: &MountPath) -> io::Result<Unmounted> {
        client::unmount_top(at.as_path(), Deadline::after(self.mount_timeout))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;

    fn at(base: &Path) -> MountPath {
        MountPath::new(base, &Export::parse("reg/vol").unwrap())
    }

    fn host() -> LinuxHost {
        LinuxHost::new(None, Duration::from_secs(30))
    }

    #[test]
    fn what_is_made_for_a_mount_is_told_outermost_first_and_only_once() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().join("a/b");
        let at = at(&base);
        let made = host().make_mount_point(&at).unwrap();
        assert_eq!(made, [directory.path().join("a"), base, at.as_path().to_owned()]);
        assert!(at.as_path().is_dir());
        assert!(host().make_mount_point(&at).unwrap().is_empty());
    }

    #[test]
    fn a_link_or_a_file_in_the_way_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let at = at(directory.path());
        std::os::unix::fs::symlink("/tmp", at.as_path()).unwrap();
        assert_eq!(
            host().make_mount_point(&at).unwrap_err().kind(),
            io::ErrorKind::NotADirectory
        );
        assert!(at.as_path().is_symlink());
    }

    #[test]
    fn removing_what_is_not_there_succeeds_and_what_is_not_empty_stays() {
        let directory = tempfile::tempdir().unwrap();
        host().remove_directory(&directory.path().join("none")).unwrap();
        std::fs::File::create(directory.path().join("file")).unwrap();
        assert!(host().remove_directory(directory.path()).is_err());
        assert!(directory.path().is_dir());
    }
}
