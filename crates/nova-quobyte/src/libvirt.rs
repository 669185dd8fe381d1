//! The hypervisor: domains, their disks, and what it can see of this host.

mod deadline;
mod facts;
mod guests;
mod raw;
mod visibility;

use std::mem::ManuallyDrop;
use std::time::Duration;

use quobyte_volume::pure::connection::InstanceId;
use quobyte_volume::pure::domain::DomainDisk;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::ErrorNumber;
use virt::sys;

use self::deadline::within;
pub(crate) use self::facts::host_facts;
pub(crate) use self::guests::LibvirtGuests;
pub(crate) use self::raw::DeviceEvents;
use crate::error::Error;

/// A libvirt on this host that runs QEMU.
pub(crate) struct Hypervisor {
    /// Closed by the end of the process alone: to close it is a call that libvirt may not answer.
    connection: ManuallyDrop<Connect>,
    uri: String,
    limit: Duration,
}

/// One of its domains.
pub(crate) struct Guest {
    domain: Domain,
    limit: Duration,
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
    /// Connects to libvirt, each of whose calls gets `limit` from now on.
    ///
    /// # Errors
    /// When libvirt does not answer, is on another host or runs no QEMU.
    pub(crate) fn open(uri: &str, limit: Duration) -> Result<Self, Error> {
        // libvirt would print errors itself, beside ours.
        virt::error::clear_error_callback();
        let doing = format!("connecting to {uri}");
        let asked = uri.to_owned();
        let (connection, uri) = within(limit, &doing.clone(), move || {
            let failed = |error| failed(doing.clone(), &error);
            virt::event::event_register_default_impl().map_err(failed)?;
            let connection = ManuallyDrop::new(Connect::open(Some(&asked)).map_err(failed)?);
            let uri = connection.uri().map_err(failed)?;
            Ok((connection, uri))
        })?;
        if !uri.starts_with("qemu:///") && !uri.starts_with("qemu+unix:///") {
            return Err(Error::Remote { uri });
        }
        Ok(Self { connection, uri, limit })
    }

    /// The domain with the given UUID or name.
    ///
    /// # Errors
    /// [`Error::DomainNotFound`] where there is none.
    pub(crate) fn guest(&self, domain: &str) -> Result<Guest, Error> {
        let (connection, limit, domain) = (self.connection.clone(), self.limit, domain.to_owned());
        let doing = format!("looking for domain {domain}");
        within(limit, &doing.clone(), move || {
            let failed_on = |error: virt::error::Error| {
                if error.code().is(ErrorNumber::NoDomain) {
                    Error::DomainNotFound { domain: domain.clone() }
                } else {
                    failed(doing.clone(), &error)
                }
            };
            let found = match domain.parse::<InstanceId>() {
                Ok(id) => connection.lookup_domain_by_uuid_string(&id.to_string()),
                Err(_) => connection.lookup_domain_by_name(&domain),
            };
            let found = found.map_err(failed_on)?;
            let uuid = found.uuid().map_err(failed_on)?;
            Ok(Guest {
                name: found.name().map_err(failed_on)?,
                instance: uuid.into(),
                active: found.is_active().map_err(failed_on)?,
                persistent: found.is_persistent().map_err(failed_on)?,
                domain: found,
                limit,
            })
        })
    }
}

impl Guest {
    /// The disks of the running domain; none if it is not running.
    pub(crate) fn live_disks(&self) -> Result<Vec<DomainDisk>, Error> {
        let active = self.call(self.limit, "asking for", Domain::is_active)?;
        if active { self.disks(0) } else { Ok(Vec::new()) }
    }

    /// The disks that the domain has when it is started anew; none if it is not kept.
    pub(crate) fn persistent_disks(&self) -> Result<Vec<DomainDisk>, Error> {
        if self.persistent { self.disks(sys::VIR_DOMAIN_XML_INACTIVE) } else { Ok(Vec::new()) }
    }

    /// Adds a disk, to the running domain, to its configuration, or to both.
    ///
    /// # Errors
    /// [`Error::Undecided`] when libvirt does not answer and may yet do it.
    pub(crate) fn attach(&self, disk: &str, live: bool, persistent: bool) -> Result<(), Error> {
        let disk = disk.to_owned();
        let added = self.call(self.limit, "adding a disk to", move |domain| {
            domain.attach_device_flags(&disk, flags(live, persistent)).map(drop)
        });
        added.map_err(|error| match error {
            Error::Silent { .. } => Error::Undecided { domain: self.name.clone(), source: error.into() },
            error => error,
        })
    }

    /// Takes a disk out of the configuration.
    pub(crate) fn forget(&self, disk: &DomainDisk) -> Result<(), Error> {
        let xml = disk.xml.clone();
        self.call(self.limit, "taking a disk from", move |domain| {
            domain.detach_device_flags(&xml, flags(false, true)).map(drop)
        })
    }

    /// Asks the running guest to let go of a disk, which takes time: success says that it has been asked, or has let
    /// go meanwhile, as a guest may that was asked before.
    ///
    /// # Errors
    /// [`Error::StillInUse`] when libvirt does not answer within `limit`, as it does while QEMU waits for a client.
    pub(crate) fn ask_for(&self, disk: &DomainDisk, limit: Duration) -> Result<(), Error> {
        let xml = disk.xml.clone();
        let asked = self.call(limit, "taking a disk from", move |domain| {
            match domain.detach_device_flags(&xml, flags(true, false)) {
                Err(error) if error.code().is(ErrorNumber::DeviceMissing) => Ok(()),
                asked => asked.map(drop),
            }
        });
        asked.map_err(|error| match error {
            Error::Silent { .. } => Error::StillInUse { target: disk.target.clone() },
            error => error,
        })
    }

    fn disks(&self, flags: sys::virDomainXMLFlags) -> Result<Vec<DomainDisk>, Error> {
        let xml = self.call(self.limit, "reading", move |domain| domain.xml_desc(flags))?;
        DomainDisk::all_of(&xml).map_err(|error| Error::Libvirt {
            doing: format!("reading domain {}", self.name),
            message: error.to_string(),
        })
    }

    /// One call about the domain, and at most `limit` for it.
    fn call<T: Send + 'static>(
        &self,
        limit: Duration,
        doing: &str,
        call: impl FnOnce(&Domain) -> Result<T, virt::error::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let domain = self.domain.clone();
        let doing = format!("{doing} domain {}", self.name);
        within(limit, &doing.clone(), move || call(&domain).map_err(|error| failed(doing, &error)))
    }
}

fn flags(live: bool, persistent: bool) -> u32 {
    let live = if live { sys::VIR_DOMAIN_AFFECT_LIVE } else { 0 };
    live | if persistent { sys::VIR_DOMAIN_AFFECT_CONFIG } else { 0 }
}

fn failed(doing: String, error: &virt::error::Error) -> Error {
    Error::Libvirt { doing, message: error.message().to_owned() }
}
