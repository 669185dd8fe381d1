//! A host on which something happens between two steps of the driver.

use std::error::Error;
use std::io;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::steps::Interruption;
use crate::driver::fake::{ClientState, FakeHost};
use crate::host::client::ClientError;
use crate::host::records::LockedShare;
use crate::host::share::{PendingShareReply, ShareError};
use crate::host::{HeldMount, Host, UnmountMode, UnmountOutcome};
use crate::pure::connection::Export;
use crate::pure::guests::{GuestQuestion, GuestSurvey, Guests};
use crate::pure::image::{DeclaredImage, Layer};
use crate::pure::io_policy::{AioSlots, Probe};
use crate::pure::kernel_mount::Mount;
use crate::pure::mount_path::MountPath;
use crate::pure::record::{ClientProcess, ClientSettings};

/// What a panic carries that stands for the end of a caller.
pub(super) struct Killed;

/// What will happen, and after how many further steps.
pub(super) type PendingInterruption = Arc<Mutex<Option<(u32, Interruption)>>>;

#[derive(Debug, Clone)]
pub(super) struct Interrupted {
    pub(super) host: FakeHost,
    pub(super) pending: PendingInterruption,
    /// Whether the kernel tells of one mount, as it does since Linux 6.13.
    pub(super) has_statmount: bool,
}

impl Interrupted {
    /// Does one thing; before and after it is a chance for the interruption.
    fn with_interruptions<T>(&self, act: impl FnOnce(&FakeHost) -> T) -> T {
        self.count_down();
        let answer = act(&self.host);
        self.count_down();
        answer
    }

    fn count_down(&self) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        match *pending {
            None => {}
            Some((0, interruption)) => {
                *pending = None;
                drop(pending);
                self.interrupt(interruption);
            }
            Some((left, interruption)) => *pending = Some((left - 1, interruption)),
        }
    }

    fn interrupt(&self, interruption: Interruption) {
        match interruption {
            Interruption::Crash => resume_unwind(Box::new(Killed)),
            Interruption::LateMounts => self.host.world().mount_pending(),
            Interruption::ClientsDie => {
                for layer in self.host.world().mounts.values_mut().filter_map(|layers| layers.last_mut()) {
                    layer.client_state = ClientState::Dead;
                }
            }
        }
    }
}

impl Host for Interrupted {
    fn top_mount(&self, at: &MountPath, known: Option<&Mount>) -> io::Result<Option<Mount>> {
        self.with_interruptions(|host| host.top_mount(at, known))
    }

    fn top_mount_fast(&self, at: &MountPath) -> Option<Mount> {
        self.with_interruptions(|host| host.top_mount_fast(at)).filter(|_| self.has_statmount)
    }

    fn mounts_below(&self, base: &Path) -> io::Result<Vec<PathBuf>> {
        self.with_interruptions(|host| host.mounts_below(base))
    }

    fn query_share<'a>(
        &'a self,
        at: &'a MountPath,
        image: Option<DeclaredImage<'_>>,
    ) -> PendingShareReply<'a> {
        self.count_down();
        let reply = self.host.query_share(at, image);
        self.count_down();
        Box::new(move || self.with_interruptions(|_| reply()))
    }

    fn probe_direct_io(&self, at: &MountPath, image: &Layer) -> Result<Probe, ShareError> {
        self.with_interruptions(|host| host.probe_direct_io(at, image))
    }

    fn aio_slots(&self) -> Option<AioSlots> {
        self.host.aio_slots()
    }

    fn make_mount_point(&self, at: &MountPath) -> io::Result<Vec<PathBuf>> {
        self.with_interruptions(|host| host.make_mount_point(at))
    }

    fn close_base(&self, base: &Path, emulator_user: u32) -> io::Result<()> {
        self.host.close_base(base, emulator_user)
    }

    fn is_base_open(&self, base: &Path) -> bool {
        self.host.is_base_open(base)
    }

    fn remove_directory(&self, directory: &Path) -> io::Result<()> {
        self.with_interruptions(|host| host.remove_directory(directory))
    }

    fn client_settings(&self) -> ClientSettings {
        self.host.client_settings()
    }

    fn check_client(&self, settings: &ClientSettings) -> Result<(), ClientError> {
        self.with_interruptions(|host| host.check_client(settings))
    }

    fn mount(
        &self,
        export: &Export,
        at: &MountPath,
        generation: u64,
        settings: &ClientSettings,
    ) -> Result<Vec<ClientProcess>, ClientError> {
        self.with_interruptions(|host| host.mount(export, at, generation, settings))
    }

    fn client_processes(&self, at: &MountPath, generation: u64) -> Vec<ClientProcess> {
        self.with_interruptions(|host| host.client_processes(at, generation))
    }

    fn is_running(&self, process: ClientProcess) -> bool {
        self.with_interruptions(|host| host.is_running(process))
    }

    fn kill_client(&self, at: &MountPath, generation: u64) -> io::Result<usize> {
        self.with_interruptions(|host| host.kill_client(at, generation))
    }

    fn may_unmount(&self, mount: &Mount) -> bool {
        self.host.may_unmount(mount)
    }

    fn unmount(&self, at: &MountPath, mode: UnmountMode, lock: &LockedShare) -> io::Result<UnmountOutcome> {
        self.with_interruptions(|host| host.unmount(at, mode, lock))
    }

    fn hold_mount(&self, at: &MountPath, mount: &Mount) -> io::Result<HeldMount> {
        self.with_interruptions(|host| host.hold_mount(at, mount))
    }

    fn abort(&self, mount: &Mount) -> io::Result<()> {
        self.with_interruptions(|host| host.abort(mount))
    }

    fn raise_max_background(&self, mount: &Mount) -> io::Result<Option<(u32, u32)>> {
        self.with_interruptions(|host| host.raise_max_background(mount))
    }
}

impl Guests for Interrupted {
    fn survey(&self, question: &GuestQuestion<'_>) -> Result<GuestSurvey, Box<dyn Error + Send + Sync>> {
        self.with_interruptions(|host| host.survey(question))
    }
}
