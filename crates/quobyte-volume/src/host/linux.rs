//! This machine, as the user that this process runs as.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use super::client::{self, ClientError, MountRequest, PidRange};
use super::deadline::Deadline;
use super::launcher::{CLIENT_UNIT_PROGRAM, CallersUnit, ClientLauncher, Launcher, find_callers_unit};
use super::mount_table::{self, Lookup};
use super::records::{LockedShare, StateDir};
use super::share::{HelperPool, PendingShareReply, ShareError};
use super::unmount::{self, UnmountMode, UnmountOutcome};
use super::{HeldMount, Host, Reserve, crash, fusectl, mount_base, mount_point, process};
use crate::error::is_exhaustion;
use crate::pure::connection::Export;
use crate::pure::image::{DeclaredImage, Layer};
use crate::pure::io_policy::{AioSlots, Probe};
use crate::pure::kernel_mount::Mount;
use crate::pure::mount_path::MountPath;
use crate::pure::record::{ClientProcess, ClientSettings};

/// The machine this process runs on, as the user it runs as.
#[derive(Debug)]
pub struct LinuxHost {
    config: LinuxConfig,
    state: StateDir,
    helpers: HelperPool,
    /// The service that this process runs in, once it was asked for: a command stays in it.
    callers_unit: OnceLock<Option<CallersUnit>>,
}

/// How long a client may take to mount where nobody says.
pub const DEFAULT_MOUNT_TIMEOUT: Duration = Duration::from_secs(60);

/// How long unmounting waits for a question of ours to the same client. One that hangs keeps the mount busy anyhow.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the processes of a client may take to end once they are killed. One that is stuck in the kernel
/// takes longer, and is not waited for.
const CLIENT_KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// What the machine's owner has configured.
#[derive(Debug, Clone)]
pub struct LinuxConfig {
    /// Handed to the client as `-c`; what is on record of a share counts where there is none.
    pub client_cfg: Option<PathBuf>,
    /// Who starts the client; what is on record of a share counts where this is [`Launcher::Auto`].
    pub launcher: Launcher,
    /// Whether this process ends once it has its answer, as a command does and a service does not.
    pub is_command: bool,
    /// The program `quobyte-share-helper`, beside which `quobyte-client-unit` lies.
    pub helper: PathBuf,
    /// Bounds each run of the client and of what unmounts; what is on record of a share counts where there is none, then
    /// [`DEFAULT_MOUNT_TIMEOUT`].
    pub mount_timeout: Option<Duration>,
    /// Bounds each question to a mounted share.
    pub probe_timeout: Duration,
}

impl LinuxHost {
    /// This machine, with locks in `state`.
    #[must_use]
    pub fn new(config: LinuxConfig, state: StateDir) -> Self {
        let helpers = HelperPool::new(config.helper.clone(), state.clone(), config.probe_timeout);
        Self { config, state, helpers, callers_unit: OnceLock::new() }
    }

    fn launcher(&self, settings: &ClientSettings) -> ClientLauncher {
        let named = settings.launcher.as_deref().and_then(|launcher| launcher.parse().ok());
        let launcher = named.unwrap_or(self.config.launcher);
        ClientLauncher::new(launcher, self.state.launch_directory(), self.client_program())
    }

    /// The program that runs a client.
    fn client_program(&self) -> PathBuf {
        self.config.helper.with_file_name(CLIENT_UNIT_PROGRAM)
    }

    /// The service with which a client ends that this process starts itself; refused where this process's own end is
    /// the service's.
    fn callers_unit(&self) -> Result<Option<&CallersUnit>, ClientError> {
        let unit = self.callers_unit.get_or_init(|| self.config.is_command.then(find_callers_unit).flatten());
        match unit {
            Some(unit) if unit.ends_with_caller => {
                Err(ClientError::EndsWithCaller { unit: unit.name.clone() })
            }
            unit => Ok(unit.as_ref()),
        }
    }

    fn mount_timeout(&self) -> Duration {
        self.config.mount_timeout.unwrap_or(DEFAULT_MOUNT_TIMEOUT)
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

    fn reserve(&self) -> io::Result<Reserve> {
        Reserve::new()
    }

    fn make_mount_point(&self, at: &MountPath) -> io::Result<Vec<PathBuf>> {
        mount_point::make(at.as_path())
    }

    fn close_base(&self, base: &Path, emulator_user: u32) -> io::Result<()> {
        mount_base::close(base, emulator_user)
    }

    fn is_base_open(&self, base: &Path) -> bool {
        mount_base::is_open(base)
    }

    fn remove_directory(&self, directory: &Path) -> io::Result<()> {
        mount_point::remove(directory)
    }

    fn client_settings(&self) -> ClientSettings {
        let LinuxConfig { client_cfg, launcher, mount_timeout, .. } = &self.config;
        ClientSettings {
            client_cfg: client_cfg.clone(),
            launcher: (*launcher != Launcher::Auto).then(|| launcher.to_string()),
            mount_timeout: *mount_timeout,
        }
    }

    fn check_client(&self, settings: &ClientSettings) -> Result<(), ClientError> {
        let is_started_here = self.launcher(settings).manager().is_none();
        client::check(settings.client_cfg.as_deref(), is_started_here)?;
        if is_started_here {
            self.callers_unit()?;
        }
        Ok(())
    }

    fn mount(
        &self,
        export: &Export,
        at: &MountPath,
        generation: u64,
        settings: &ClientSettings,
    ) -> Result<Vec<ClientProcess>, ClientError> {
        let budget = settings.mount_timeout.unwrap_or(DEFAULT_MOUNT_TIMEOUT);
        let request = MountRequest {
            client: client::name(at, generation),
            export: export.clone(),
            mount_path: at.clone(),
            client_cfg: settings.client_cfg.clone(),
            budget,
        };
        let deadline = Deadline::after(budget);
        self.helpers.prestart_helper(at);
        let launcher = self.launcher(settings);
        let numbers = PidRange::from_now_on();
        let processes = match launcher.manager() {
            Some(manager) => {
                launcher.run(manager, &request, deadline)?;
                None
            }
            None => {
                if let Some(unit) = self.callers_unit()? {
                    tracing::warn!(
                        "whatever stops {} also ends mount.quobyte, which is started in it",
                        unit.name
                    );
                }
                client::run(&self.client_program(), &request, deadline)?
            }
        };
        let find = || client::living_processes(&request.client, numbers).unwrap_or_default();
        Ok(processes.unwrap_or_else(find))
    }

    fn client_processes(&self, at: &MountPath, generation: u64) -> Vec<ClientProcess> {
        client::living_processes(&client::name(at, generation), PidRange::All).unwrap_or_default()
    }

    fn is_running(&self, process: ClientProcess) -> bool {
        process::start_time(process.pid) == Some(process.start_time)
    }

    fn kill_client(&self, at: &MountPath, generation: u64) -> io::Result<usize> {
        crash::point("what a client has left is about to be ended");
        self.helpers.stop_helper(at);
        // Requests are withdrawn first, or a unit could start the client meanwhile, and again at the end, for the
        // outcome that a killed unit may still have left.
        let launcher = self.launcher(&ClientSettings::default());
        launcher.withdraw_requests(at)?;
        let killed =
            client::kill_processes(&client::name(at, generation), Deadline::after(CLIENT_KILL_TIMEOUT))?;
        launcher.withdraw_requests(at)?;
        Ok(killed)
    }

    fn may_unmount(&self, mount: &Mount) -> bool {
        let user = rustix::process::geteuid();
        user.is_root() || mount.owner() == Some(user.as_raw())
    }

    fn unmount(&self, at: &MountPath, mode: UnmountMode, lock: &LockedShare) -> io::Result<UnmountOutcome> {
        // A question of another process keeps the mount busy until it is answered.
        let _nobody_asks = match mode {
            UnmountMode::IfUnused => self.helpers.exclude_questions(at, Deadline::after(QUESTION_TIMEOUT)),
            UnmountMode::Lazy => None,
        };
        let unmount = || {
            let deadline = Deadline::after(self.mount_timeout());
            unmount::unmount(at.as_path(), mode, lock.lock_as_stdin()?, deadline)
        };
        let outcome = match unmount() {
            Err(error) if is_exhaustion(&error) && self.helpers.make_room() => unmount(),
            outcome => outcome,
        }?;
        if outcome == UnmountOutcome::Done {
            self.helpers.stop_helper(at);
        }
        Ok(outcome)
    }

    fn hold_mount(&self, at: &MountPath, mount: &Mount) -> io::Result<HeldMount> {
        let held = HeldMount::open(at.as_path(), mount);
        crash::point("a mount is held");
        held
    }

    fn abort(&self, mount: &Mount) -> io::Result<()> {
        fusectl::abort(mount)
    }

    fn raise_max_background(&self, mount: &Mount) -> io::Result<Option<(u32, u32)>> {
        fusectl::raise_max_background(mount)
    }
}
