//! The guests of a hypervisor, read from libvirt's descriptions of its domains.
//!
//! A front end hands in the descriptions, which it has from libvirt, and a way to ask libvirt for volumes of its storage
//! pools. Nothing here touches a share.

mod many;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

pub use self::many::{DomainSource, ListedDomain, read_domains};
use super::paths::ShareLocator;
use super::process;
use crate::error::with_causes;
use crate::pure::connection::InstanceId;
use crate::pure::domain::{self, DescribedDisk, DescribedSource, described_files};
use crate::pure::guests::{Description, Guest, GuestDisk, GuestUse, RunId, UnknownUses};
use crate::pure::mount_path::MountPath;

/// A domain as libvirt describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedDomain {
    /// Its UUID.
    pub instance: InstanceId,
    /// Its name.
    pub name: String,
    /// libvirt's number of its present run; `None` while it is shut off.
    pub run: Option<u32>,
    /// Its descriptions in XML, each of which may not be had, for a reason.
    pub descriptions: Vec<(Description, Result<String, String>)>,
}

/// Asks libvirt about its storage pools.
pub trait PoolVolumes {
    /// Where a volume of a storage pool is, by their names; an empty path for one that is not kept in a file.
    ///
    /// # Errors
    /// A reason for people.
    fn path(&self, pool: &str, volume: &str) -> Result<PathBuf, String>;
}

/// Reads descriptions of domains.
pub struct DomainReader<'a> {
    locator: ShareLocator<'a>,
    pools: &'a dyn PoolVolumes,
    pool_volumes: HashMap<DescribedSource, Result<PathBuf, String>>,
}

impl<'a> DomainReader<'a> {
    /// A reader that looks for uses of `shares`.
    #[must_use]
    pub fn new(shares: &'a [MountPath], pools: &'a dyn PoolVolumes) -> Self {
        Self { locator: ShareLocator::new(shares), pools, pool_volumes: HashMap::new() }
    }

    /// The guest that a domain is, with its uses of the shares. What cannot be understood makes that guest's uses
    /// unknown and nobody else's.
    pub fn read(&mut self, domain: &DescribedDomain) -> Guest {
        let has = |wanted| domain.descriptions.iter().any(|(description, _)| *description == wanted);
        let mut guest = Guest {
            instance: domain.instance,
            name: domain.name.clone(),
            run: domain.run.map(|number| RunId { number, started: qemu_start(&domain.name) }),
            saved: has(Description::Saved),
            is_novas: false,
            uses: Vec::new(),
            unknown: None,
        };
        for (description, xml) in &domain.descriptions {
            let unknown = match xml {
                Ok(xml) => self.read_description(&mut guest, *description, xml).err(),
                Err(reason) => Some(UnknownUses { reason: reason.clone(), mentioned: Vec::new() }),
            };
            if let Some(UnknownUses { reason, mentioned }) = unknown {
                let all = guest.unknown.get_or_insert(UnknownUses { reason, mentioned: Vec::new() });
                all.mentioned.extend(mentioned);
            }
        }
        guest
    }

    /// Reads as much as can be understood; the error says what cannot.
    fn read_description(
        &mut self,
        guest: &mut Guest,
        description: Description,
        xml: &str,
    ) -> Result<(), UnknownUses> {
        let files = described_files(xml).map_err(|error| UnknownUses {
            reason: with_causes(&error),
            mentioned: self.locator.mentioned(xml),
        })?;
        guest.is_novas |= files.is_novas;
        let mut unresolved = Ok(());
        for disk in &files.disks {
            match self.disk_use(guest, description, disk) {
                Ok(found) => guest.uses.extend(found),
                // It may be on any of them.
                Err(reason) => unresolved = Err(UnknownUses { reason, mentioned: self.locator.shares() }),
            }
        }
        for path in files.others.iter().filter_map(|path| self.locator.locate(path)) {
            let layers = vec![path.clone()];
            let (instance, name) = (guest.instance, guest.name.clone());
            let found = GuestUse { instance, name, description, target: None, path, layers, disk: None };
            if !guest.uses.contains(&found) {
                guest.uses.push(found);
            }
        }
        unresolved
    }

    fn disk_use(
        &mut self,
        guest: &Guest,
        description: Description,
        disk: &DescribedDisk,
    ) -> Result<Option<GuestUse>, String> {
        let mut files = Vec::new();
        for layer in &disk.layers {
            files.push(self.path(&layer.source)?);
        }
        if disk.is_open_ended
            && let Some(last) = files.last()
        {
            files.extend(self.locator.local_backing_files(Path::new(last)));
        }
        let located: Vec<_> = files.iter().map(|file| self.locator.locate(file)).collect();
        let is_own = located.first().is_some_and(Option::is_some);
        let layers: Vec<PathBuf> = located.into_iter().flatten().collect();
        Ok(layers.first().map(|path| GuestUse {
            instance: guest.instance,
            name: guest.name.clone(),
            description,
            target: Some(disk.target.clone()).filter(|target| !target.is_empty()),
            path: path.clone(),
            disk: is_own.then(|| GuestDisk {
                volumes: disk.volumes.clone(),
                format: disk.format,
                shareable: disk.shareable,
                is_copy: disk.is_copy,
            }),
            layers: layers.clone(),
        }))
    }

    fn path(&mut self, source: &DescribedSource) -> Result<PathBuf, String> {
        match source {
            DescribedSource::Path(path) => Ok(path.clone()),
            DescribedSource::PoolVolume { pool, volume } => {
                let pools = self.pools;
                let known = self.pool_volumes.entry(source.clone());
                known.or_insert_with(|| pools.path(pool, volume)).clone()
            }
        }
    }
}

/// When the QEMU of a domain was started, which the system's libvirt lets everybody see: in the kernel's ticks since the
/// boot. `None` where it does not tell.
fn qemu_start(domain: &str) -> Option<u64> {
    let pid_file = Path::new("/run/libvirt/qemu").join(format!("{domain}.pid"));
    let pid = std::fs::read_to_string(pid_file).ok()?.trim().parse().ok()?;
    process::start_time(pid)
}

/// The directory of a storage pool, by its description in XML; `None` for one that is kept in none.
#[must_use]
pub fn pool_directory(description: &str) -> Option<PathBuf> {
    domain::pool_directory(description)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::connection::{Export, ImageFormat};

    fn at() -> MountPath {
        MountPath::new(Path::new("/mnt"), &Export::parse("reg/vol").unwrap())
    }

    struct Pools(Result<PathBuf, String>);

    impl PoolVolumes for Pools {
        fn path(&self, pool: &str, volume: &str) -> Result<PathBuf, String> {
            assert_eq!((pool, volume), ("p", "v"));
            self.0.clone()
        }
    }

    fn read(xml: Result<String, String>, pools: &Pools) -> Guest {
        let (instance, name) = (InstanceId::from(uuid::Uuid::nil()), "vm".to_owned());
        let descriptions = vec![(Description::Running, xml)];
        DomainReader::new(&[at()], pools).read(&DescribedDomain {
            instance,
            name,
            run: Some(3),
            descriptions,
        })
    }

    fn no_pool() -> Pools {
        Pools(Err("there is no such pool".to_owned()))
    }

    #[test]
    fn disk_is_one_use_with_all_layers_on_the_share() {
        let (at, volume) = (at(), "8d2b8f5e-6f0a-4d9c-9b1e-0d7f6c5b4a39");
        let q = at.as_path().display();
        let xml = format!(
            "<domain><os><kernel>{q}/vmlinuz</kernel></os><devices>\
             <disk type='file'><driver name='qemu' type='qcow2'/><source file='{q}/a.snap'/>\
             <backingStore type='file'><format type='raw'/><source file='{q}/a'/><backingStore/></backingStore>\
             <target dev='vda'/><serial>{volume}</serial></disk>\
             <disk type='file'><source file='{q}q/b'/><target dev='vdb'/></disk>\
             <disk type='file'><driver type='qcow2'/><source file='/l/top'/><backingStore type='file'>\
             <format type='raw'/><source file='{q}/base'/><backingStore/></backingStore><target dev='vdc'/></disk>\
             <filesystem type='mount'><source dir='{q}'/></filesystem></devices></domain>"
        );
        let guest = read(Ok(xml), &no_pool());
        let disk = GuestDisk {
            volumes: vec![volume.parse().unwrap()],
            format: ImageFormat::Qcow2,
            shareable: false,
            is_copy: false,
        };
        let path = |name: &str| at.as_path().join(name);
        let expected = [
            (vec![path("a.snap"), path("a")], Some(disk)),
            (vec![path("base")], None),
            (vec![path("vmlinuz")], None),
            (vec![at.as_path().to_owned()], None),
        ];
        let found: Vec<_> = guest.uses.into_iter().map(|found| (found.layers, found.disk)).collect();
        assert_eq!(found, expected);
        assert_eq!(guest.unknown, None);
    }

    #[test]
    fn pool_volume_is_resolved_or_unknown() {
        let xml = "<domain><devices><disk type='volume'><source pool='p' volume='v'/><target dev='vda'/></disk>\
                   </devices></domain>";
        let resolved = read(Ok(xml.to_owned()), &Pools(Ok(at().as_path().join("v"))));
        assert_eq!(resolved.uses[0].path, at().as_path().join("v"));
        let unknown = read(Ok(xml.to_owned()), &no_pool()).unknown.unwrap();
        assert_eq!((unknown.reason.as_str(), unknown.mentioned), ("there is no such pool", vec![at()]));
    }

    #[test]
    fn unreadable_description_is_unknown_by_mention() {
        let torn = format!("<domain><devices><disk><source file='{}/a'/>", at());
        assert_eq!(read(Ok(torn), &no_pool()).unknown.unwrap().mentioned, [at()]);
        let refused = read(Err("it is busy".to_owned()), &no_pool()).unknown.unwrap();
        assert_eq!((refused.reason.as_str(), refused.mentioned), ("it is busy", Vec::new()));
    }
}
