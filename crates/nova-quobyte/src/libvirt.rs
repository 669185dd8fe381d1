//! The hypervisor: domains, their disks, and what it can see of this host.

mod guests;
mod raw;
mod visibility;

use std::sync::mpsc;
use std::time::Duration;

use quobyte_volume::connection::InstanceId;
use quobyte_volume::domain::DomainDisk;
use quobyte_volume::io_policy::Version;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::ErrorNumber;
use virt::sys;

pub(crate) use self::guests::LibvirtGuests;
pub(crate) use self::raw::DeviceEvents;
use crate::error::Error;

/// A libvirt on this host that runs QEMU.
pub(crate) struct Hypervisor {
    connection: Connect,
    uri: String,
}

/// One of its domains.
pub(crate) struct Guest {
    domain: Domain,
    /// Its name.
    pub(crate) name: String,
    /// Its UUID.
    pub(crate) instance: InstanceId,
    /// Whether it is running.
    pub(crate) active: bool,
    /// Whether it has a configuration that outlives a run.
    pub(crate) persistent: bool,
}

impl Hypervisor {
    /// Connects to libvirt.
    ///
    /// # Errors
    /// When libvirt does not answer, is on another host or runs no QEMU.
    pub(crate) fn open(uri: &str) -> Result<Self, Error> {
        // libvirt would print errors itself, beside ours.
        virt::error::clear_error_callback();
        let doing = || format!("connecting to {uri}");
        virt::event::event_register_default_impl().map_err(|error| failed(doing(), &error))?;
        let connection = Connect::open(Some(uri)).map_err(|error| failed(doing(), &error))?;
        let uri = connection.uri().map_err(|error| failed(doing(), &error))?;
        if !uri.starts_with("qemu:///") && !uri.starts_with("qemu+unix:///") {
            return Err(Error::Remote { uri });
        }
        Ok(Self { connection, uri })
    }

    /// The version of the QEMU it runs.
    pub(crate) fn qemu_version(&self) -> Result<Version, Error> {
        let version = self.connection.hyp_version();
        version
            .map(Version::from_libvirt)
            .map_err(|error| failed("asking for QEMU's version".to_owned(), &error))
    }

    /// The domain with the given UUID or name.
    ///
    /// # Errors
    /// [`Error::DomainNotFound`] where there is none.
    pub(crate) fn guest(&self, domain: &str) -> Result<Guest, Error> {
        let failed_on = |error: virt::error::Error| {
            if error.code().is(ErrorNumber::NoDomain) {
                Error::DomainNotFound { domain: domain.to_owned() }
            } else {
                failed(format!("looking for domain {domain}"), &error)
            }
        };
        let found = match domain.parse::<InstanceId>() {
            Ok(id) => self.connection.lookup_domain_by_uuid_string(&id.to_string()),
            Err(_) => self.connection.lookup_domain_by_name(domain),
        };
        let found = found.map_err(failed_on)?;
        let uuid = found.uuid().map_err(failed_on)?;
        Ok(Guest {
            name: found.name().map_err(failed_on)?,
            instance: uuid.into(),
            active: found.is_active().map_err(failed_on)?,
            persistent: found.is_persistent().map_err(failed_on)?,
            domain: found,
        })
    }
}

impl Guest {
    /// The disks of the running domain; none if it is not running.
    pub(crate) fn live_disks(&self) -> Result<Vec<DomainDisk>, Error> {
        let active = self.domain.is_active().map_err(|error| self.failed("asking for", &error))?;
        if active { self.disks(0) } else { Ok(Vec::new()) }
    }

    /// The disks that the domain has when it is started anew; none if it is not kept.
    pub(crate) fn persistent_disks(&self) -> Result<Vec<DomainDisk>, Error> {
        if self.persistent { self.disks(sys::VIR_DOMAIN_XML_INACTIVE) } else { Ok(Vec::new()) }
    }

    /// Adds a disk, to the running domain, to its configuration, or to both.
    pub(crate) fn attach(&self, disk: &str, live: bool, persistent: bool) -> Result<(), Error> {
        self.domain
            .attach_device_flags(disk, flags(live, persistent))
            .map(drop)
            .map_err(|error| self.failed("adding a disk to", &error))
    }

    /// Takes a disk out of the configuration.
    pub(crate) fn forget(&self, disk: &DomainDisk) -> Result<(), Error> {
        let done = self.domain.detach_device_flags(&disk.xml, flags(false, true));
        done.map(drop).map_err(|error| self.failed("taking a disk from", &error))
    }

    /// Asks the running guest to let go of a disk, which takes time: success says that it has been asked, or has let
    /// go meanwhile, as a guest may that was asked before.
    ///
    /// # Errors
    /// [`Error::StillInUse`] when libvirt does not answer within `limit`, as it does while QEMU waits for a client.
    pub(crate) fn ask_for(&self, disk: &DomainDisk, limit: Duration) -> Result<(), Error> {
        let (domain, xml) = (self.domain.clone(), disk.xml.clone());
        let (tell, told) = mpsc::channel();
        // Where libvirt waits for ever, so does this thread, but not the command.
        std::thread::spawn(move || tell.send(domain.detach_device_flags(&xml, flags(true, false))));
        match told.recv_timeout(limit) {
            Ok(Err(error)) if error.code().is(ErrorNumber::DeviceMissing) => Ok(()),
            Ok(asked) => asked.map(drop).map_err(|error| self.failed("taking a disk from", &error)),
            Err(_) => Err(Error::StillInUse { target: disk.target.clone() }),
        }
    }

    fn disks(&self, flags: sys::virDomainXMLFlags) -> Result<Vec<DomainDisk>, Error> {
        let xml = self.domain.xml_desc(flags).map_err(|error| self.failed("reading", &error))?;
        DomainDisk::all_of(&xml).map_err(|error| Error::Libvirt {
            doing: format!("reading domain {}", self.name),
            message: error.to_string(),
        })
    }

    fn failed(&self, doing: &str, error: &virt::error::Error) -> Error {
        failed(format!("{doing} domain {}", self.name), error)
    }
}

fn flags(live: bool, persistent: bool) -> u32 {
    let live = if live { sys::VIR_DOMAIN_AFFECT_LIVE } else { 0 };
    live | if persistent { sys::VIR_DOMAIN_AFFECT_CONFIG } else { 0 }
}

fn failed(doing: String, error: &virt::error::Error) -> Error {
    Error::Libvirt { doing, message: error.message().to_owned() }
}
