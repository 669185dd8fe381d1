//! This machine, as the user that this process runs as.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::client::{self, ClientError, MountRequest};
use super::deadline::Deadline;
use super::launcher::{CLIENT_UNIT_PROGRAM, ClientLauncher, Launcher};
use super::mount_table::{self, Lookup};
use super::records::{LockedShare, StateDir};
use super::share::{HelperPool, PendingShareReply, ShareError};
use super::unmount::{self, UnmountMode, UnmountOutcome};
use super::{Host, crash, fusectl, mount_point};
use crate::pure::connection::Export;
use crate::pure::image::{DeclaredImage, Layer};
use crate::pure::io_policy::{AioSlots, Probe};
use crate::pure::kernel_mount::Mount;
use crate::pure::mount_path::MountPath;

/// The machine this process runs on, as the user it runs as.
#[derive(Debug)]
pub struct LinuxHost {
    client_cfg: Option<PathBuf>,
    launcher: ClientLauncher,
    helpers: HelperPool,
    mount_timeout: Duration,
}

/// How long the processes of a client may take to end once they are killed. One that is stuck in the kernel
/// takes longer, and is not waited for.
const CLIENT_KILL_TIMEOUT: Duration = Duration::from_secs(5);

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
        let program = config.helper.with_file_name(CLIENT_UNIT_PROGRAM);
        Self {
            client_cfg: config.client_cfg,
            launcher: ClientLauncher::new(config.launcher, state.launch_directory(), program),
            helpers: HelperPool::new(config.helper, state, config.probe_timeout),
            mount_timeout: config.mount_timeout,
        }
    }
}

impl Host for LinuxHost {
    fn top_mount(&self, at: &MountPath, known: Option<&Mount>) -> io::Result<Option<Mount>> {
        crash::point("the mount table is about to be asked");
        mount_table::top_mount(at.as_path(), known, Lookup::Statmount)
    }

    fn top_mount_fast(&self, at: &MountPath) -> Option<Mount> {
        mount_table::top_mount_fast(at.as_path())
    }

    fn mounts_below(&self, base: &Path) -> io::Result<Vec<PathBuf>> {
        mount_table::mounts_below(base)
    }

    fn query_share<'a>(
        &'a self,
        at: &'a MountPath,
        image: Option<DeclaredImage<'_>>,
    ) -> PendingShareReply<'a> {
        self.helpers.query(at, image)
    }

    fn probe_direct_io(&self, at: &MountPath, image: &Layer) -> Result<Probe, ShareError> {
        self.helpers.probe_direct_io(at, image)
    }

    fn aio_slots(&self) -> Option<AioSlots> {
        let number =
            |name| std::fs::read_to_string(Path::new("/proc/sys/fs").join(name)).ok()?.trim().parse().ok();
        Some(AioSlots { used: number("aio-nr")?, limit: number("aio-max-nr")? })
    }

    fn make_mount_point(&self, at: &MountPath) -> io::Result<Vec<PathBuf>> {
        mount_point::make(at.as_path())
    }

    fn remove_directory(&self, directory: &Path) -> io::Result<()> {
        mount_point::remove(directory)
    }

    fn mount(&self, export: &Export, at: &MountPath, generation: u64) -> Result<(), ClientError> {
        let request = MountRequest {
            client: client::name(at, generation),
            export: export.clone(),
            mount_path: at.clone(),
            client_cfg: self.client_cfg.clone(),
            budget: self.mount_timeout,
        };
        let deadline = Deadline::after(self.mount_timeout);
        self.helpers.prestart_helper(at);
        match self.launcher.manager() {
            Some(manager) => self.launcher.run(manager, &request, deadline),
            None => client::run(&request, deadline),
        }
    }

    fn kill_client(&self, at: &MountPath, generation: u64) -> io::Result<usize> {
        crash::point("what a client has left is about to be ended");
        self.helpers.stop_helper(at);
        // Requests are withdrawn first, or a unit could start the client meanwhile, and again at the end, for the
        // outcome that a killed unit may still have left.
        self.launcher.withdraw_requests(at)?;
        let killed =
            client::kill_processes(&client::name(at, generation), Deadline::after(CLIENT_KILL_TIMEOUT))?;
        self.launcher.withdraw_requests(at)?;
        Ok(killed)
    }

    fn may_unmount(&self, mount: &Mount) -> bool {
        let user = rustix::process::geteuid();
        user.is_root() || mount.owner() == Some(user.as_raw())
    }

    fn unmount(&self, at: &MountPath, mode: UnmountMode, lock: &LockedShare) -> io::Result<UnmountOutcome> {
        let outcome =
            unmount::unmount(at.as_path(), mode, lock.lock_as_stdin()?, Deadline::after(self.mount_timeout))?;
        if outcome == UnmountOutcome::Done {
            self.helpers.stop_helper(at);
        }
        Ok(outcome)
    }

    fn abort(&self, mount: &Mount) -> io::Result<()> {
        fusectl::abort(mount)
    }

    fn raise_max_background(&self, mount: &Mount) -> io::Result<Option<u32>> {
        fusectl::raise_max_background(mount)
    }
}
