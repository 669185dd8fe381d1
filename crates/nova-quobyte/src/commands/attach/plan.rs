//! What a domain lacks of an image that it is to have, and under which name it gets it.

use quobyte_volume::driver::Driver;
use quobyte_volume::pure::connection::ConnectionInfo;
use quobyte_volume::pure::disk::{Bus, DiskTarget, TargetDev};
use quobyte_volume::pure::domain::DomainDisk;

use crate::error::Error;
use crate::libvirt::{Guest, Hypervisor};

/// What is to be added to a domain, by its descriptions as they are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) target: DiskTarget,
    pub(super) live: bool,
    pub(super) persistent: bool,
}

impl Plan {
    pub(super) fn make(
        driver: &Driver,
        guest: &Guest,
        info: &ConnectionInfo,
        requested: Option<&TargetDev>,
        bus: Option<Bus>,
    ) -> Result<Self, Error> {
        let device_path = driver.device_path(&info.export, &info.name);
        let spellings = other_spellings(driver, guest, info);
        let has_image = |disk: &&DomainDisk| {
            disk.source.as_ref() == Some(&device_path) || spellings.contains(&disk.target)
        };
        let (live, persistent) = (guest.live_disks()?, guest.persistent_disks()?);
        // Another tool, or a restart, may have left the disk in the running domain or in its configuration alone: then
        // it is added to the other.
        let attach_live = guest.active && !live.iter().any(|disk| has_image(&disk));
        let attach_persistent = guest.persistent && !persistent.iter().any(|disk| has_image(&disk));
        let disks: Vec<_> = live.into_iter().chain(persistent).collect();
        let target = choose_target(guest, &disks, disks.iter().find(has_image), requested, bus)?;
        Ok(Self { target, live: attach_live, persistent: attach_persistent })
    }

    pub(super) fn needs_attach(&self) -> bool {
        self.live || self.persistent
    }

    /// Refuses a disk that the domain's machine cannot have, or not while it runs.
    pub(super) fn check_supported(&self, hypervisor: &Hypervisor, guest: &Guest) -> Result<(), Error> {
        if !self.needs_attach() {
            return Ok(());
        }
        let bus = self.target.bus;
        if self.live && !bus.has_hotplug() {
            return Err(Error::NoHotplug { domain: guest.name.clone(), bus });
        }
        hypervisor.check_disk_supported(guest, &self.target)
    }
}

/// The targets of disks that are the image, however the domain's description spells its path.
fn other_spellings(driver: &Driver, guest: &Guest, info: &ConnectionInfo) -> Vec<String> {
    let at = driver.mount_path(&info.export);
    let image = at.image(&info.name);
    let Ok(Some(described)) = driver.guest(&at, guest.instance) else { return Vec::new() };
    let disks = described.uses_of(&at).filter(|found| found.path == image && found.disk.is_some());
    disks.filter_map(|found| found.target.clone()).collect()
}

/// The requested name and bus, those that the image has already, or the next free name.
fn choose_target(
    guest: &Guest,
    disks: &[DomainDisk],
    existing: Option<&DomainDisk>,
    requested: Option<&TargetDev>,
    bus: Option<Bus>,
) -> Result<DiskTarget, Error> {
    match (existing, requested) {
        (Some(disk), requested) => {
            check_is_asked_for(guest, disk, requested, bus)?;
            let dev = TargetDev::parse(&disk.target)?;
            let its_bus = disk.bus.as_deref().and_then(|bus| bus.parse().ok());
            // Another tool may have given it a name of another bus's.
            match its_bus {
                Some(bus) => Ok(DiskTarget { dev, bus, unit: None }),
                None => Ok(DiskTarget::new(dev, None)?),
            }
        }
        (None, Some(requested)) => {
            let target = DiskTarget::new(requested.clone(), bus)?;
            if disks.iter().any(|disk| disk.target == requested.as_str()) {
                return Err(Error::TargetTaken { domain: guest.name.clone(), target: requested.to_string() });
            }
            Ok(target)
        }
        (None, None) => {
            let bus = bus.unwrap_or_default();
            let dev = TargetDev::next_free(bus, disks.iter().map(|disk| disk.target.as_str()))
                .ok_or_else(|| Error::NoFreeTarget { domain: guest.name.clone() })?;
            Ok(DiskTarget { dev, bus, unit: None })
        }
    }
}

/// Refuses to take a disk that the domain has for the one that was asked for under another name or on another bus.
pub(super) fn check_is_asked_for(
    guest: &Guest,
    disk: &DomainDisk,
    target: Option<&TargetDev>,
    bus: Option<Bus>,
) -> Result<(), Error> {
    let has_other_name = target.is_some_and(|target| target.as_str() != disk.target);
    let has_other_bus = bus.is_some_and(|bus| disk.bus.as_deref() != Some(bus.as_str()));
    if has_other_name || has_other_bus {
        return Err(Error::AlreadyAttached {
            domain: guest.name.clone(),
            target: disk.target.clone(),
            bus: disk.bus.clone().unwrap_or_else(|| "unknown".to_owned()),
        });
    }
    Ok(())
}
