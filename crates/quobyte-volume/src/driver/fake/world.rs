//! What there is on the fake host: mounts, clients, files, guests.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;

use super::hypervisor::Hypervisor;
use super::images::{Image, Images};
use crate::host::client::ClientError;
use crate::host::share::{RefusedRequests, RootFacts, ShareError, ShareReply};
use crate::pure::connection::Export;
use crate::pure::image::DeclaredImage;
use crate::pure::io_policy::DirectIo;
use crate::pure::kernel_mount::{Device, Mount};
use crate::pure::mount_path::MountPath;
use crate::pure::record::{ClientProcess, ClientSettings};

/// What the client does when it is asked to mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::driver) enum MountBehavior {
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
    MountsAnotherTypeAndComplains,
    MountsAnotherVolume,
    MountsWithoutRegistries,
}

/// How the client behind a mount is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::driver) enum ClientState {
    Healthy,
    /// It has lost its registries.
    Disconnected,
    /// It never answers.
    Hung,
    /// It answers every question with an error.
    Failing,
    /// It answers as a dead one would (ESTALE), though it lives.
    Stale,
    /// Its process is gone, and the kernel says that it has ended the connection.
    Dead,
    /// Its process is gone, and the kernel does not say so.
    Vanished,
}

impl ClientState {
    /// Whether its process has not ended.
    pub(in crate::driver) fn is_alive(self) -> bool {
        !matches!(self, Self::Dead | Self::Vanished)
    }
}

/// One mount of the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::driver) struct FakeMount {
    pub(in crate::driver) mount: Mount,
    pub(in crate::driver) client_state: ClientState,
    /// Whether files on it are open.
    pub(in crate::driver) busy: bool,
    /// The generation that its client was started for, if the driver did.
    pub(in crate::driver) generation: Option<u64>,
}

impl FakeMount {
    /// The process that serves it; each mount has its own.
    pub(super) fn process(&self) -> ClientProcess {
        ClientProcess { pid: 1000 + self.mount.device.minor, start_time: 7 }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::driver) struct World {
    pub(in crate::driver) mount_behavior: MountBehavior,
    pub(in crate::driver) image: Image,
    pub(in crate::driver) images: Images,
    /// What is mounted where, top last.
    pub(in crate::driver) mounts: BTreeMap<PathBuf, Vec<FakeMount>>,
    /// What somebody unmounted lazily, and where: the client serves on as long as files are open.
    pub(in crate::driver) detached: Vec<(PathBuf, FakeMount)>,
    /// What clients that nobody ended are going to mount, and for which generation.
    pub(in crate::driver) pending_mounts: Vec<(MountPath, Export, u64)>,
    /// Whether those mount as they are being ended.
    pub(in crate::driver) mounts_when_ended: bool,
    /// Whether unmounting fails.
    pub(in crate::driver) refuses_unmount: bool,
    pub(in crate::driver) directories: BTreeSet<PathBuf>,
    /// Who mounts from now on; the driver under test is user 1000.
    pub(in crate::driver) user: u32,
    /// How mounts do direct I/O; `None` where that cannot be found out.
    pub(in crate::driver) direct_io: Option<DirectIo>,
    /// How often that was found out.
    pub(in crate::driver) probes: u32,
    pub(in crate::driver) hypervisor: Hypervisor,
    /// How the newest client was started.
    pub(in crate::driver) client_settings: Option<ClientSettings>,
    pub(super) mount_count: u32,
}

impl World {
    pub(in crate::driver) fn add_mount(
        &mut self,
        at: &MountPath,
        fs_type: &str,
        source: String,
        client_state: ClientState,
    ) {
        self.mount_count += 1;
        let mount = Mount {
            unique_id: Some(self.mount_count.into()),
            device: Device { major: 0, minor: self.mount_count },
            fs_type: fs_type.to_owned(),
            source,
            options: format!("user_id={},allow_other", self.user),
        };
        let layer = FakeMount { mount, client_state, busy: false, generation: None };
        self.mounts.entry(at.as_path().to_owned()).or_default().push(layer);
    }

    /// Clients that were about to mount do so.
    pub(in crate::driver) fn mount_pending(&mut self) {
        for (at, export, generation) in std::mem::take(&mut self.pending_mounts) {
            self.add_mount(&at, "fuse.quobyte", export.mount_source(), ClientState::Healthy);
            self.serve_for(&at, generation);
        }
    }

    /// What is mounted on top at `at`, if anything, is served by the client of that generation.
    pub(super) fn serve_for(&mut self, at: &MountPath, generation: u64) {
        if let Some(top) = self.mounts.get_mut(at.as_path()).and_then(|layers| layers.last_mut()) {
            top.generation = Some(generation);
        }
    }

    /// Every mount with its mount point, detached ones included.
    pub(super) fn all_mounts(&self) -> impl Iterator<Item = (&PathBuf, &FakeMount)> {
        let mounted =
            self.mounts.iter().flat_map(|(path, layers)| layers.iter().map(move |layer| (path, layer)));
        mounted.chain(self.detached.iter().map(|(path, layer)| (path, layer)))
    }

    /// Somebody unmounts what is on top at `at` lazily.
    pub(in crate::driver) fn unmount_lazily(&mut self, at: &MountPath) {
        let Some(layers) = self.mounts.get_mut(at.as_path()) else { return };
        let top = layers.pop().filter(|top| top.busy);
        self.detached.extend(top.map(|top| (at.as_path().to_owned(), top)));
        if layers.is_empty() {
            self.mounts.remove(at.as_path());
        }
    }

    /// The client that is told to mount does what it does.
    pub(super) fn start_client(
        &mut self,
        export: &Export,
        at: &MountPath,
        generation: u64,
    ) -> Result<(), ClientError> {
        let refused = |output: &str| ClientError::Refused {
            export: export.clone(),
            status: ExitStatus::from_raw(4 << 8),
            output: output.to_owned(),
        };
        let timeout = || ClientError::Timeout { export: export.clone(), output: String::new() };
        let quobyte = "fuse.quobyte";
        let source = export.mount_source();
        match self.mount_behavior {
            MountBehavior::Mounts => self.add_mount(at, quobyte, source, ClientState::Healthy),
            MountBehavior::MountsAndComplains => {
                self.add_mount(at, quobyte, source, ClientState::Healthy);
                return Err(refused("is busy or already mounted"));
            }
            MountBehavior::MountsAndHangs => {
                self.add_mount(at, quobyte, source, ClientState::Hung);
                // The question that is never answered keeps it busy.
                self.mounts.values_mut().flatten().last().expect("just mounted").busy = true;
            }
            MountBehavior::MountsAndDies => self.add_mount(at, quobyte, source, ClientState::Dead),
            MountBehavior::MountsLate => self.pending_mounts.push((at.clone(), export.clone(), generation)),
            MountBehavior::ExitsWithoutMount => {}
            MountBehavior::Refuses => return Err(refused("cannot reach a registry")),
            MountBehavior::IsMissing => {
                return Err(ClientError::NotFound {
                    looked_in: "PATH".to_owned(),
                    source: io::ErrorKind::NotFound.into(),
                });
            }
            MountBehavior::TimesOut => return Err(timeout()),
            MountBehavior::TimesOutAndMountsLate => {
                self.pending_mounts.push((at.clone(), export.clone(), generation));
                return Err(timeout());
            }
            MountBehavior::TimesOutHavingMounted => {
                self.add_mount(at, quobyte, source, ClientState::Healthy);
                return Err(timeout());
            }
            MountBehavior::MountsAnotherType => {
                self.add_mount(at, "fuse.sshfs", source, ClientState::Healthy);
            }
            MountBehavior::MountsAnotherTypeAndComplains => {
                self.add_mount(at, "fuse.sshfs", source, ClientState::Healthy);
                return Err(refused("cannot reach a registry"));
            }
            MountBehavior::MountsAnotherVolume => {
                self.add_mount(at, quobyte, "quobyte@reg/other".to_owned(), ClientState::Healthy);
            }
            MountBehavior::MountsWithoutRegistries => {
                self.add_mount(at, quobyte, source, ClientState::Disconnected);
            }
        }
        Ok(())
    }

    pub(super) fn top(&self, at: &MountPath) -> Option<&FakeMount> {
        self.mounts.get(at.as_path())?.last()
    }

    pub(super) fn query_share(
        &self,
        at: &MountPath,
        image: Option<DeclaredImage<'_>>,
    ) -> Result<ShareReply, ShareError> {
        let top = self.ask(at)?;
        let size = if top.client_state == ClientState::Healthy { 0 } else { 4096 };
        let root = RootFacts { size, device: top.mount.device };
        let image = image.filter(|_| root.is_connected());
        Ok(ShareReply {
            root,
            chain: image
                .map_or(Ok(Vec::new()), |image| self.images.layers(image, self.image, at, root.device)),
        })
    }

    pub(super) fn ask(&self, at: &MountPath) -> Result<&FakeMount, ShareError> {
        let top = self.top(at).expect("only a mount is asked");
        assert!(top.mount.is_quobyte(), "nobody else's mount is asked");
        let source = io::Error::from_raw_os_error(libc::ENOTCONN);
        match top.client_state {
            ClientState::Healthy | ClientState::Disconnected => Ok(top),
            ClientState::Hung => Err(ShareError::Hung { at: at.clone() }),
            ClientState::Failing => Err(ShareError::Failed {
                path: at.as_path().to_owned(),
                source: io::Error::from_raw_os_error(libc::EIO),
            }),
            ClientState::Stale | ClientState::Vanished => {
                Err(ShareError::Unserved { at: at.clone(), refused: RefusedRequests::Some, source })
            }
            ClientState::Dead => Err(ShareError::Dead { at: at.clone(), source }),
        }
    }
}
