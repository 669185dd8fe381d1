//! A host that keeps its mounts in memory, with a client that can be told to fail, and guests that use what they are
//! told to.

mod hypervisor;
mod images;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier, Mutex, MutexGuard, PoisonError};

use crate::host::client::ClientError;
use crate::host::records::LockedShare;
use crate::host::share::{PendingShareReply, ShareError};
use crate::host::{HeldMount, Host, UnmountMode, UnmountOutcome};
use crate::pure::connection::Export;
use crate::pure::guests::{GuestQuestion, GuestSurvey, Guests};
use crate::pure::image::{self, DeclaredImage};
use crate::pure::io_policy::{AioSlots, DirectIo, Probe};
use crate::pure::kernel_mount::Mount;
use crate::pure::mount_path::MountPath;
use crate::pure::record::{ClientProcess, ClientSettings};

pub(super) use self::hypervisor::FakeUse;
use self::hypervisor::Hypervisor;
pub(super) use self::images::Image;
use self::images::Images;
pub(super) use self::world::{ClientState, FakeMount, MountBehavior, World};

#[derive(Debug, Clone)]
pub(super) struct FakeHost {
    world: Arc<Mutex<World>>,
    /// How its user has configured clients.
    pub(super) settings: ClientSettings,
    /// Where a client, before it mounts, waits for somebody else.
    pub(super) meeting: Option<Arc<Barrier>>,
}

impl FakeHost {
    pub(super) fn new() -> Self {
        let world = World {
            mount_behavior: MountBehavior::Mounts,
            image: Image::Regular,
            images: Images::default(),
            mounts: BTreeMap::new(),
            detached: Vec::new(),
            pending_mounts: Vec::new(),
            mounts_when_ended: false,
            refuses_unmount: false,
            directories: BTreeSet::new(),
            user: 1000,
            direct_io: Some(DirectIo::Asynchronous),
            probes: 0,
            hypervisor: Hypervisor::new(),
            client_settings: None,
            mount_count: 0,
        };
        Self { world: Arc::new(Mutex::new(world)), settings: ClientSettings::default(), meeting: None }
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often something is mounted at `at`.
    pub(super) fn count_stacked(&self, at: &MountPath) -> usize {
        self.world().mounts.get(at.as_path()).map_or(0, Vec::len)
    }

    /// The mount on top at `at`, to change it.
    pub(super) fn change(&self, at: &MountPath, change: impl FnOnce(&mut FakeMount)) {
        change(self.world().mounts.get_mut(at.as_path()).and_then(|layers| layers.last_mut()).unwrap());
    }
}

impl Host for FakeHost {
    fn top_mount(&self, at: &MountPath, _: Option<&Mount>) -> io::Result<Option<Mount>> {
        Ok(self.top_mount_fast(at))
    }

    fn top_mount_fast(&self, at: &MountPath) -> Option<Mount> {
        self.world().top(at).map(|layer| layer.mount.clone())
    }

    fn mounts_below(&self, base: &Path) -> io::Result<Vec<PathBuf>> {
        let world = self.world();
        let layers = world.mounts.iter().flat_map(|(path, layers)| layers.iter().map(move |_| path));
        Ok(layers.filter(|path| path.parent() == Some(base)).cloned().collect())
    }

    /// Answered at once, however long nobody waits for it.
    fn query_share<'a>(
        &'a self,
        at: &'a MountPath,
        image: Option<DeclaredImage<'_>>,
    ) -> PendingShareReply<'a> {
        let reply = self.world().query_share(at, image);
        Box::new(|| reply)
    }

    fn probe_direct_io(&self, at: &MountPath, image: &image::Layer) -> Result<Probe, ShareError> {
        let mut world = self.world();
        world.ask(at)?;
        let path = at.as_path().join(image.path.as_path());
        let (Image::Regular, Some(direct_io)) = (world.image, world.direct_io) else {
            return Err(ShareError::Failed { path, source: io::ErrorKind::ReadOnlyFilesystem.into() });
        };
        world.probes += 1;
        Ok(Probe { direct_io, reads: 3, nonblocking_reads: 0, errno: None })
    }

    fn aio_slots(&self) -> Option<AioSlots> {
        Some(AioSlots { used: 0, limit: 65_536 })
    }

    fn make_mount_point(&self, at: &MountPath) -> io::Result<Vec<PathBuf>> {
        let made = self.world().directories.insert(at.as_path().to_owned());
        Ok(made.then(|| at.as_path().to_owned()).into_iter().collect())
    }

    fn remove_directory(&self, directory: &Path) -> io::Result<()> {
        let mut world = self.world();
        assert!(!world.mounts.contains_key(directory), "a directory that is mounted on is not removed");
        world.directories.remove(directory);
        Ok(())
    }

    fn client_settings(&self) -> ClientSettings {
        self.settings.clone()
    }

    fn check_client(&self, _: &ClientSettings) -> Result<(), ClientError> {
        match self.world().mount_behavior {
            MountBehavior::IsMissing => Err(ClientError::NotFound {
                looked_in: "PATH".to_owned(),
                source: io::ErrorKind::NotFound.into(),
            }),
            _ => Ok(()),
        }
    }

    fn mount(
        &self,
        export: &Export,
        at: &MountPath,
        generation: u64,
        settings: &ClientSettings,
    ) -> Result<Vec<ClientProcess>, ClientError> {
        self.meeting.as_ref().map(|meeting| meeting.wait());
        let mut world = self.world();
        world.client_settings = Some(settings.clone());
        assert!(world.directories.contains(at.as_path()), "the mount point is made first");
        assert!(world.top(at).is_none(), "nothing is mounted over a mount");
        let result = world.start_client(export, at, generation);
        world.serve_for(at, generation);
        drop(world);
        result.map(|()| self.client_processes(at, generation))
    }

    fn client_processes(&self, at: &MountPath, generation: u64) -> Vec<ClientProcess> {
        let world = self.world();
        let is_serving = |(path, layer): &(&PathBuf, &FakeMount)| {
            *path == at.as_path() && layer.generation == Some(generation) && layer.client_state.is_alive()
        };
        world.all_mounts().filter(is_serving).map(|(_, layer)| layer.process()).collect()
    }

    fn is_running(&self, process: ClientProcess) -> bool {
        let world = self.world();
        let mut mounts = world.all_mounts();
        mounts.any(|(_, layer)| layer.process() == process && layer.client_state.is_alive())
    }

    fn kill_client(&self, at: &MountPath, generation: u64) -> io::Result<usize> {
        let mut world = self.world();
        if world.mounts_when_ended {
            world.mount_pending();
        }
        let before = world.pending_mounts.len();
        world.pending_mounts.retain(|(other, _, others)| (other, *others) != (at, generation));
        let pending = before - world.pending_mounts.len();
        let World { mounts, detached, .. } = &mut *world;
        let mounted = mounts.get_mut(at.as_path()).into_iter().flatten();
        let detached = detached.iter_mut().filter(|(other, _)| other == at.as_path()).map(|(_, layer)| layer);
        let serving = mounted.chain(detached);
        let serving =
            serving.filter(|layer| layer.generation == Some(generation) && layer.client_state.is_alive());
        let served = serving.map(|layer| layer.client_state = ClientState::Dead).count();
        Ok(pending + served)
    }

    fn close_base(&self, _: &Path, _: u32) -> io::Result<()> {
        Ok(())
    }

    fn is_base_open(&self, _: &Path) -> bool {
        false
    }

    fn may_unmount(&self, mount: &Mount) -> bool {
        mount.owner() == Some(1000)
    }

    fn unmount(&self, at: &MountPath, mode: UnmountMode, _: &LockedShare) -> io::Result<UnmountOutcome> {
        let mut world = self.world();
        if world.refuses_unmount {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let layers = world.mounts.get_mut(at.as_path()).ok_or(io::ErrorKind::InvalidInput)?;
        if mode == UnmountMode::IfUnused && layers.last().is_some_and(|layer| layer.busy) {
            return Ok(UnmountOutcome::Busy);
        }
        layers.pop();
        if layers.is_empty() {
            world.mounts.remove(at.as_path());
        }
        Ok(UnmountOutcome::Done)
    }

    fn abort(&self, mount: &Mount) -> io::Result<()> {
        let mut world = self.world();
        for layers in world.mounts.values_mut() {
            // The client ends, and takes its mount along.
            layers.retain(|layer| !layer.mount.is_same(mount));
        }
        world.mounts.retain(|_, layers| !layers.is_empty());
        Ok(())
    }

    fn hold_mount(&self, _: &MountPath, _: &Mount) -> io::Result<HeldMount> {
        HeldMount::of_nothing()
    }

    fn raise_max_background(&self, _: &Mount) -> io::Result<Option<(u32, u32)>> {
        Ok(None)
    }
}

impl Guests for FakeHost {
    fn survey(&self, question: &GuestQuestion<'_>) -> Result<GuestSurvey, Box<dyn Error + Send + Sync>> {
        self.world().hypervisor.survey(question)
    }
}
