//! A host that keeps its mounts in memory, with a client that can be told to fail, and guests that use what they are
//! told to.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::host::client::ClientError;
use crate::host::records::LockedShare;
use crate::host::share::{PendingShareReply, RootFacts, ShareError, ShareReply};
use crate::host::{Host, UnmountMode, UnmountOutcome};
use crate::pure::connection::Export;
use crate::pure::guests::{GuestUse, Guests};
use crate::pure::image::{self, Declared, Identity, Rule, Violation};
use crate::pure::io_policy::{AioSlots, DirectIo, Probe};
use crate::pure::mount_path::MountPath;
use crate::pure::mounts::{Device, Mount};

/// What the client does when it is asked to mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    Mounts,
    MountsAndComplains,
    MountsAndHangs,
    MountsAndDies,
    MountsLate,
    ExitsWithoutMount,
    Refuses,
    IsMissing,
    TimesOut,
    TimesOutAndMountsLate,
    TimesOutHavingMounted,
    MountsAnotherType,
    MountsAnotherVolume,
    MountsWithoutRegistries,
}

/// How the client behind a mount is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Serving,
    WithoutRegistries,
    Silent,
    /// It answers every question with an error.
    Failing,
    Gone,
}

/// What a file on every volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Image {
    Regular,
    Missing,
    Link,
    Directory,
    OnAnotherDevice,
}

/// One mount of the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layer {
    pub(super) mount: Mount,
    pub(super) life: Life,
    /// Whether files on it are open.
    pub(super) busy: bool,
    /// The generation that its client was started for, if the driver did.
    pub(super) generation: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct World {
    pub(super) client: Client,
    pub(super) image: Image,
    /// What is mounted where, top last.
    pub(super) mounts: BTreeMap<PathBuf, Vec<Layer>>,
    /// What somebody unmounted lazily, and where: the client serves on as long as files are open.
    pub(super) detached: Vec<(PathBuf, Layer)>,
    /// What clients that nobody ended are going to mount, and for which generation.
    pub(super) late: Vec<(MountPath, Export, u64)>,
    /// Whether those mount as they are being ended.
    pub(super) mounts_when_ended: bool,
    pub(super) directories: BTreeSet<PathBuf>,
    /// Who mounts from now on; the driver under test is user 1000.
    pub(super) user: u32,
    /// How mounts do direct I/O; `None` where that cannot be found out.
    pub(super) direct_io: Option<DirectIo>,
    /// How often that was found out.
    pub(super) probes: u32,
    /// What guests use; `None` while the hypervisor cannot be asked.
    pub(super) guests: Option<Vec<GuestUse>>,
    minted: u32,
}

#[derive(Debug, Clone)]
pub(super) struct FakeHost(Arc<Mutex<World>>);

impl FakeHost {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(World {
            client: Client::Mounts,
            image: Image::Regular,
            mounts: BTreeMap::new(),
            detached: Vec::new(),
            late: Vec::new(),
            mounts_when_ended: false,
            directories: BTreeSet::new(),
            user: 1000,
            direct_io: Some(DirectIo::Asynchronous),
            probes: 0,
            guests: Some(Vec::new()),
            minted: 0,
        })))
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often something is mounted at `at`.
    pub(super) fn layers(&self, at: &MountPath) -> usize {
        self.world().mounts.get(at.as_path()).map_or(0, Vec::len)
    }

    /// The mount on top at `at`, to change it.
    pub(super) fn change(&self, at: &MountPath, change: impl FnOnce(&mut Layer)) {
        change(self.world().mounts.get_mut(at.as_path()).and_then(|layers| layers.last_mut()).unwrap());
    }
}

impl World {
    pub(super) fn put(&mut self, at: &MountPath, fs_type: &str, source: String, life: Life) {
        self.minted += 1;
        let mount = Mount {
            unique_id: Some(self.minted.into()),
            device: Device { major: 0, minor: self.minted },
            fs_type: fs_type.to_owned(),
            source,
            options: format!("user_id={},allow_other", self.user),
        };
        let layer = Layer { mount, life, busy: false, generation: None };
        self.mounts.entry(at.as_path().to_owned()).or_default().push(layer);
    }

    /// Clients that were about to mount do so.
    pub(super) fn mount_late(&mut self) {
        for (at, export, generation) in std::mem::take(&mut self.late) {
            self.put(&at, "fuse.quobyte", export.mount_source(), Life::Serving);
            self.serve_for(&at, generation);
        }
    }

    /// What is mounted on top at `at`, if anything, is served by the client of that generation.
    fn serve_for(&mut self, at: &MountPath, generation: u64) {
        if let Some(top) = self.mounts.get_mut(at.as_path()).and_then(|layers| layers.last_mut()) {
            top.generation = Some(generation);
        }
    }

    /// Somebody unmounts what is on top at `at` lazily.
    pub(super) fn unmount_lazily(&mut self, at: &MountPath) {
        let Some(layers) = self.mounts.get_mut(at.as_path()) else { return };
        let top = layers.pop().filter(|top| top.busy);
        self.detached.extend(top.map(|top| (at.as_path().to_owned(), top)));
        if layers.is_empty() {
            self.mounts.remove(at.as_path());
        }
    }

    /// The client that is told to mount does what it does.
    fn start_client(&mut self, export: &Export, at: &MountPath, generation: u64) -> Result<(), ClientError> {
        let refused = |output: &str| ClientError::Refused {
            export: export.clone(),
            status: ExitStatus::from_raw(4 << 8),
            output: output.to_owned(),
        };
        let timeout = || ClientError::Timeout { export: export.clone(), output: String::new() };
        let quobyte = "fuse.quobyte";
        let source = export.mount_source();
        match self.client {
            Client::Mounts => self.put(at, quobyte, source, Life::Serving),
            Client::MountsAndComplains => {
                self.put(at, quobyte, source, Life::Serving);
                return Err(refused("is busy or already mounted"));
            }
            Client::MountsAndHangs => {
                self.put(at, quobyte, source, Life::Silent);
                // The question that is never answered keeps it busy.
                self.mounts.values_mut().flatten().last().expect("just mounted").busy = true;
            }
            Client::MountsAndDies => self.put(at, quobyte, source, Life::Gone),
            Client::MountsLate => self.late.push((at.clone(), export.clone(), generation)),
            Client::ExitsWithoutMount => {}
            Client::Refuses => return Err(refused("cannot reach a registry")),
            Client::IsMissing => {
                return Err(ClientError::NotFound { source: io::ErrorKind::NotFound.into() });
            }
            Client::TimesOut => return Err(timeout()),
            Client::TimesOutAndMountsLate => {
                self.late.push((at.clone(), export.clone(), generation));
                return Err(timeout());
            }
            Client::TimesOutHavingMounted => {
                self.put(at, quobyte, source, Life::Serving);
                return Err(timeout());
            }
            Client::MountsAnotherType => self.put(at, "fuse.sshfs", source, Life::Serving),
            Client::MountsAnotherVolume => {
                self.put(at, quobyte, "quobyte@reg/other".to_owned(), Life::Serving);
            }
            Client::MountsWithoutRegistries => self.put(at, quobyte, source, Life::WithoutRegistries),
        }
        Ok(())
    }

    /// What the one image on every volume is.
    fn chain(
        &self,
        at: &MountPath,
        device: Device,
        (name, format): Declared<'_>,
    ) -> Result<Vec<image::Layer>, ShareError> {
        let path = at.image(name);
        let refused =
            |rule| ShareError::Refused { path: path.clone(), violation: Violation::new(rule, name) };
        let device = match self.image {
            Image::Regular => device,
            Image::Missing => return Err(ShareError::Missing { path }),
            Image::Link => return Err(refused(Rule::LeadsAway)),
            Image::Directory => return Err(refused(Rule::NotRegularFile)),
            Image::OnAnotherDevice => Device { major: 8, minor: 1 },
        };
        let identity = Identity { device, inode: 2, btime: None };
        Ok(vec![image::Layer { path: name.into(), format, identity, virtual_size: 1 << 20 }])
    }

    fn top(&self, at: &MountPath) -> Option<&Layer> {
        self.mounts.get(at.as_path())?.last()
    }

    fn query_share(&self, at: &MountPath, image: Option<Declared<'_>>) -> Result<ShareReply, ShareError> {
        let top = self.ask(at)?;
        let size = if top.life == Life::Serving { 0 } else { 4096 };
        let root = RootFacts { size, device: top.mount.device };
        let image = image.filter(|_| root.is_connected());
        Ok(ShareReply {
            root,
            chain: image.map_or(Ok(Vec::new()), |image| self.chain(at, root.device, image)),
        })
    }

    fn ask(&self, at: &MountPath) -> Result<&Layer, ShareError> {
        let top = self.top(at).expect("only a mount is asked");
        assert!(top.mount.is_quobyte(), "nobody else's mount is asked");
        let source = io::Error::from_raw_os_error(libc::ENOTCONN);
        match top.life {
            Life::Serving | Life::WithoutRegistries => Ok(top),
            Life::Silent => Err(ShareError::Hung { at: at.clone() }),
            Life::Failing => Err(ShareError::Failed {
                path: at.as_path().to_owned(),
                source: io::Error::from_raw_os_error(libc::EIO),
            }),
            Life::Gone => Err(ShareError::Dead { at: at.clone(), source }),
        }
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
    fn query_share<'a>(&'a self, at: &'a MountPath, image: Option<Declared<'_>>) -> PendingShareReply<'a> {
        let reply = self.world().query_share(at, image);
        Box::new(|| reply)
    }

    fn probe(&self, at: &MountPath, image: &image::Layer) -> Result<Probe, ShareError> {
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

    fn mount(&self, export: &Export, at: &MountPath, generation: u64) -> Result<(), ClientError> {
        let mut world = self.world();
        assert!(world.directories.contains(at.as_path()), "the mount point is made first");
        assert!(world.top(at).is_none(), "nothing is mounted over a mount");
        let said = world.start_client(export, at, generation);
        world.serve_for(at, generation);
        said
    }

    fn kill_client(&self, at: &MountPath, generation: u64) -> io::Result<usize> {
        let mut world = self.world();
        if world.mounts_when_ended {
            world.mount_late();
        }
        let before = world.late.len();
        world.late.retain(|(other, _, others)| (other, *others) != (at, generation));
        let pending = before - world.late.len();
        let World { mounts, detached, .. } = &mut *world;
        let mounted = mounts.get_mut(at.as_path()).into_iter().flatten();
        let detached = detached.iter_mut().filter(|(other, _)| other == at.as_path()).map(|(_, layer)| layer);
        let serving = mounted.chain(detached);
        let serving =
            serving.filter(|layer| layer.generation == Some(generation) && layer.life != Life::Gone);
        let served = serving.map(|layer| layer.life = Life::Gone).count();
        Ok(pending + served)
    }

    fn may_unmount(&self, mount: &Mount) -> bool {
        mount.owner() == Some(1000)
    }

    fn unmount(&self, at: &MountPath, mode: UnmountMode, _: &LockedShare) -> io::Result<UnmountOutcome> {
        let mut world = self.world();
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

    fn raise_max_background(&self, _: &Mount) -> io::Result<Option<u32>> {
        Ok(None)
    }
}

impl Guests for FakeHost {
    fn uses_below(&self, places: &[MountPath]) -> Result<Vec<GuestUse>, Box<dyn Error + Send + Sync>> {
        let world = self.world();
        let guests = world.guests.as_ref().ok_or("the hypervisor does not answer")?;
        Ok(guests
            .iter()
            .filter(|guest| places.iter().any(|at| guest.path.starts_with(at.as_path())))
            .cloned()
            .collect())
    }
}
