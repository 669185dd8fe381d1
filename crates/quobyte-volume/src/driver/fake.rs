//! A host that keeps its mounts in memory, with a client that can be told to fail.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::connection::{Export, ImageName};
use crate::mount::{ClientError, Device, Host, Mount, MountPath, Unmounted};
use crate::share::{ImageFacts, RootFacts, ShareError};

/// What the client does when it is asked to mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    Mounts,
    MountsAndComplains,
    ExitsWithoutMount,
    Refuses,
    IsMissing,
    TimesOut,
    TimesOutAfterMounting,
    MountsAnotherType,
    MountsAnotherVolume,
    MountsWithoutRegistries,
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct World {
    pub(super) client: Client,
    pub(super) image: Image,
    /// What is mounted where, top last, with the size of each root.
    pub(super) mounts: BTreeMap<PathBuf, Vec<(Mount, u64)>>,
    pub(super) directories: BTreeSet<PathBuf>,
    /// Whether files are open on every mount.
    pub(super) busy: bool,
    /// Who mounts from now on; the driver under test is user 1000.
    pub(super) user: u32,
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
            directories: BTreeSet::new(),
            busy: false,
            user: 1000,
            minted: 0,
        })))
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// How often something is mounted at `at`.
    pub(super) fn layers(&self, at: &MountPath) -> usize {
        self.world().mounts.get(at.as_path()).map_or(0, Vec::len)
    }
}

impl World {
    pub(super) fn put(&mut self, at: &MountPath, fs_type: &str, source: String, root_size: u64) {
        self.minted += 1;
        let mount = Mount {
            unique_id: Some(self.minted.into()),
            device: Device {
                major: 0,
                minor: self.minted,
            },
            fs_type: fs_type.to_owned(),
            source,
            options: format!("rw,user_id={},allow_other", self.user),
        };
        self.mounts
            .entry(at.as_path().to_owned())
            .or_default()
            .push((mount, root_size));
    }

    fn top(&self, at: &MountPath) -> Option<&(Mount, u64)> {
        self.mounts.get(at.as_path())?.last()
    }
}

impl Host for FakeHost {
    fn top_mount(&self, at: &MountPath, _: Option<&Mount>) -> io::Result<Option<Mount>> {
        Ok(self.world().top(at).map(|(mount, _)| mount.clone()))
    }

    fn root(&self, at: &MountPath) -> Result<RootFacts, ShareError> {
        let world = self.world();
        let (mount, size) = world.top(at).expect("only a mount is asked for its root");
        Ok(RootFacts {
            size: *size,
            device: mount.device,
        })
    }

    fn image(&self, at: &MountPath, name: &ImageName) -> Result<ImageFacts, ShareError> {
        let world = self.world();
        let path = at.image(name);
        let (mount, _) = world.top(at).expect("only a mount is asked for an image");
        let facts = ImageFacts {
            device: mount.device,
            inode: 2,
            size: 1 << 20,
            is_regular: true,
        };
        match world.image {
            Image::Regular => Ok(facts),
            Image::Missing => Err(ShareError::Missing { path }),
            Image::Link => Err(ShareError::LeadsAway { path }),
            Image::Directory => Ok(ImageFacts {
                is_regular: false,
                ..facts
            }),
            Image::OnAnotherDevice => Ok(ImageFacts {
                device: Device { major: 8, minor: 1 },
                ..facts
            }),
        }
    }

    fn make_mount_point(&self, at: &MountPath) -> io::Result<Vec<PathBuf>> {
        let made = self.world().directories.insert(at.as_path().to_owned());
        Ok(made.then(|| at.as_path().to_owned()).into_iter().collect())
    }

    fn remove_directory(&self, directory: &Path) -> io::Result<()> {
        self.world().directories.remove(directory);
        Ok(())
    }

    fn mount(&self, export: &Export, at: &MountPath) -> Result<(), ClientError> {
        let mut world = self.world();
        assert!(
            world.directories.contains(at.as_path()),
            "the mount point is made first"
        );
        let export = export.clone();
        let refused = |output: &str| ClientError::Refused {
            export: export.clone(),
            status: ExitStatus::from_raw(4 << 8),
            output: output.to_owned(),
        };
        let timeout = || ClientError::Timeout {
            export: export.clone(),
            output: String::new(),
        };
        let quobyte = "fuse.quobyte";
        match world.client {
            Client::Mounts => world.put(at, quobyte, export.mount_source(), 0),
            Client::MountsAndComplains => {
                world.put(at, quobyte, export.mount_source(), 0);
                return Err(refused("is busy or already mounted"));
            }
            Client::ExitsWithoutMount => {}
            Client::Refuses => return Err(refused("cannot reach a registry")),
            Client::IsMissing => {
                return Err(ClientError::NotFound {
                    source: io::ErrorKind::NotFound.into(),
                });
            }
            Client::TimesOut => return Err(timeout()),
            Client::TimesOutAfterMounting => {
                world.put(at, quobyte, "quobyte@late/vol".to_owned(), 0);
                return Err(timeout());
            }
            Client::MountsAnotherType => world.put(at, "fuse.sshfs", export.mount_source(), 0),
            Client::MountsAnotherVolume => world.put(at, quobyte, "quobyte@reg/other".to_owned(), 0),
            Client::MountsWithoutRegistries => world.put(at, quobyte, export.mount_source(), 4096),
        }
        Ok(())
    }

    fn may_unmount(&self, mount: &Mount) -> bool {
        mount.owner() == Some(1000)
    }

    fn unmount(&self, at: &MountPath) -> io::Result<Unmounted> {
        let mut world = self.world();
        if world.busy {
            return Ok(Unmounted::Busy);
        }
        let layers = world
            .mounts
            .get_mut(at.as_path())
            .expect("only a mount is unmounted");
        layers.pop();
        if layers.is_empty() {
            world.mounts.remove(at.as_path());
        }
        Ok(Unmounted::Done)
    }
}
