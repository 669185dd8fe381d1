//! The machine: its mount table, Quobyte's client, the files on a mounted share, records and locks, programs.
//!
//! [`Host`] is the seam: what the driver needs of a machine. [`LinuxHost`] is this one; a test passes in a host that keeps
//! its mounts in memory.

pub mod client;
mod crash;
mod deadline;
mod directory;
mod flock;
mod foreground;
mod fusectl;
pub mod guests;
mod launcher;
mod linux;
mod mount_base;
mod mount_point;
pub mod mount_table;
mod own_file;
mod owner;
mod paths;
mod process;
pub mod qemu;
pub mod records;
mod service_manager;
mod setup;
pub mod share;
mod sys;
mod unmount;
pub mod users;

use std::io;
use std::path::{Path, PathBuf};

use self::client::ClientError;
pub use self::client::run_client;
pub(crate) use self::deadline::Deadline;
pub use self::foreground::{HeldMount, MOUNT_VARIABLE};
pub use self::launcher::{Launcher, LauncherError, start_in_unit, stop_in_unit};
pub use self::linux::{DEFAULT_MOUNT_TIMEOUT, LinuxConfig, LinuxHost};
pub use self::mount_base::{ShutOut, pass_command};
pub use self::owner::{continue_as_owner, start_in_background};
use self::records::LockedShare;
pub use self::service_manager::ServiceManager;
pub use self::setup::{Reserve, check_capacity, set_up_library, set_up_program};
use self::share::{PendingShareReply, ShareError};
pub use self::unmount::{UnmountMode, UnmountOutcome};
use crate::pure::connection::Export;
use crate::pure::image::{DeclaredImage, Layer};
use crate::pure::io_policy::{AioSlots, Probe};
use crate::pure::kernel_mount::Mount;
use crate::pure::mount_path::MountPath;
use crate::pure::record::{ClientProcess, ClientSettings};

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
    fn top_mount_fast(&self, at: &MountPath) -> Option<Mount>;

    /// The mount points directly below `base`, each as often as something is mounted there.
    ///
    /// # Errors
    /// When the mount table cannot be read.
    fn mounts_below(&self, base: &Path) -> io::Result<Vec<PathBuf>>;

    /// Asks the client behind the mount at `at` for its root, past every cache, and for the layers of `image`, which is
    /// directly on the share. Returns what waits for the reply; the request may be under way until then.
    ///
    /// # Errors
    /// [`ShareError::Dead`] only if the client is certainly gone. Within the answer, [`ShareError::Missing`] and
    /// [`ShareError::Refused`] for an image that may not be given to a guest.
    fn query_share<'a>(
        &'a self,
        at: &'a MountPath,
        image: Option<DeclaredImage<'_>>,
    ) -> PendingShareReply<'a>;

    /// Finds out how the mount at `at` does direct I/O, by reading a layer that a query has returned, or a file of its
    /// own where that is too short.
    ///
    /// # Errors
    /// [`ShareError::Failed`] where nothing can be read so, [`ShareError::Missing`] where it is another file by now.
    fn probe_direct_io(&self, at: &MountPath, image: &Layer) -> Result<Probe, ShareError>;

    /// The slots for Linux AIO; `None` where the kernel does not tell.
    fn aio_slots(&self) -> Option<AioSlots>;

    /// Sets aside what undoing a mount takes, so that a host that runs out of it meanwhile leaves nothing half-done.
    ///
    /// # Errors
    /// What the kernel said where it cannot be had.
    fn reserve(&self) -> io::Result<Reserve> {
        Ok(Reserve::default())
    }

    /// Makes the directory to mount on, and returns what it had to make, outermost first.
    ///
    /// # Errors
    /// When something else than an empty directory is in the way, or a directory cannot be made; what this call made
    /// until then is gone again.
    fn make_mount_point(&self, at: &MountPath) -> io::Result<Vec<PathBuf>>;

    /// Lets nobody pass `base`, below which shares are mounted, but its owner and the user that QEMU runs as.
    ///
    /// # Errors
    /// When the file system keeps no access control lists, or the directory is another user's.
    fn close_base(&self, base: &Path, emulator_user: u32) -> io::Result<()>;

    /// Whether every user of the host may pass `base`, and so use what is mounted below it as its modes let them.
    fn is_base_open(&self, base: &Path) -> bool;

    /// Removes an empty directory that was mounted on. One that is not there is as good as removed.
    ///
    /// # Errors
    /// When it is not empty or may not be removed.
    fn remove_directory(&self, directory: &Path) -> io::Result<()>;

    /// How this user has configured clients to be started.
    fn client_settings(&self) -> ClientSettings;

    /// Whether a client can be started so, as far as that shows beforehand.
    ///
    /// # Errors
    /// What is missing.
    fn check_client(&self, settings: &ClientSettings) -> Result<(), ClientError>;

    /// Has Quobyte's client mount `export` at `at`, for a generation of the share that no other client was started for.
    /// Only the mount table tells whether it did. Returns the client's processes; none where they cannot be found.
    ///
    /// # Errors
    /// What the client said.
    fn mount(
        &self,
        export: &Export,
        at: &MountPath,
        generation: u64,
        settings: &ClientSettings,
    ) -> Result<Vec<ClientProcess>, ClientError>;

    /// The processes of the client that was started at `at` for that generation; none where they cannot be found.
    fn client_processes(&self, at: &MountPath, generation: u64) -> Vec<ClientProcess>;

    /// Whether that process has not ended.
    fn is_running(&self, process: ClientProcess) -> bool;

    /// Kills the client that was started at `at` for that generation, and no other, so that it mounts nothing later. To
    /// be called while nothing is mounted at `at`; a client that mounts meanwhile leaves a dead mount. Returns how many
    /// processes there were.
    ///
    /// # Errors
    /// When a process does not end.
    fn kill_client(&self, at: &MountPath, generation: u64) -> io::Result<usize>;

    /// Whether this user may unmount `mount`: what it mounted itself, and a superuser anything.
    fn may_unmount(&self, mount: &Mount) -> bool;

    /// Unmounts what is on top at `at`, while nobody of ours asks its client. The share's `lock` is held until that is done, even if this process is killed
    /// meanwhile.
    ///
    /// # Errors
    /// When it cannot be unmounted for another reason than being in use.
    fn unmount(&self, at: &MountPath, mode: UnmountMode, lock: &LockedShare) -> io::Result<UnmountOutcome>;

    /// Keeps `mount`, which is on top at `at`, from being unmounted while the value lives, but by force.
    ///
    /// # Errors
    /// When it is not there any more.
    fn hold_mount(&self, at: &MountPath, mount: &Mount) -> io::Result<HeldMount>;

    /// Ends the connection behind `mount`, so that whoever waits for its client gets an error.
    ///
    /// # Errors
    /// When the kernel's control file system is not there or not open to this user.
    fn abort(&self, mount: &Mount) -> io::Result<()>;

    /// Has the kernel let at least 256 asynchronous requests to the client behind `mount` be under way at once, or as
    /// many as it permits ordinary users (`max_user_bgreq` of module `fuse`). Returns the limit that was too
    /// low, and the new one.
    ///
    /// # Errors
    /// As [`Host::abort`].
    fn raise_max_background(&self, mount: &Mount) -> io::Result<Option<(u32, u32)>>;
}
