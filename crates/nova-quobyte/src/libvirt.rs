//! The hypervisor: domains, their disks, and what it can see of this host.

mod facts;
mod ffi;
mod guests;
mod timeout;
mod visibility;

use std::mem::ManuallyDrop;
use std::time::Duration;

use quobyte_volume::pure::connection::InstanceId;
use quobyte_volume::pure::disk::DiskTarget;
use quobyte_volume::pure::domain::{DomainDisk, DomainError, with_trial_disk};
use quobyte_volume::pure::metadata::{self, VolumeMetadata};
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::ErrorNumber;
use virt::sys;

pub(crate) use self::facts::hypervisor_facts;
pub(crate) use self::ffi::DeviceEvents;
pub(crate) use self::guests::LibvirtGuests;
use self::timeout::call_with_timeout;
use crate::error::Error;

/// The part of a domain's metadata that anybody may add to.
const ELEMENT: i32 = sys::VIR_DOMAIN_METADATA_ELEMENT as i32;

/// The system's libvirt.
pub(crate) const DEFAULT_URI: &str = "qemu:///system";

/// A libvirt on this host that runs QEMU.
#[derive(Clone)]
pub(crate) struct Hypervisor {
    /// Never closed before the process ends: virConnectClose is a call that libvirt may not answer.
    connection: ManuallyDrop<Connect>,
    uri: String,
    timeout: Duration,
}

/// A domain of a [`Hypervisor`].
pub(crate) struct Guest {
    domain: Domain,
    timeout: Duration,
    /// Its name.
    pub(crate) name: String,
    /// Its UUID.
    pub(crate) instance: InstanceId,
    /// Whether it is running.
    pub(crate) active: bool,
    /// Whether it has a configuration that outlives a run.
    pub(crate) persistent: bool,
    /// Whether a saved state waits for its next start.
    pub(crate) saved: bool,
}

/// What came of taking a disk from a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removed {
    /// libvirt has taken it out, or asked the guest to release it.
    Now,
    /// An earlier request has taken it out, or is about to.
    AlreadyGone,
}

impl Removed {
    fn of(answer: Result<(), virt::error::Error>) -> Result<Self, virt::error::Error> {
        match answer {
            Ok(()) => Ok(Self::Now),
            Err(error) if error.code().is(ErrorNumber::DeviceMissing) => Ok(Self::AlreadyGone),
            // QEMU has no code for it.
            Err(error) if error.message().contains("already in the process of unplug") => {
                Ok(Self::AlreadyGone)
            }
            Err(error) => Err(error),
        }
    }
}

impl Hypervisor {
    /// Connects to libvirt, each of whose calls gets `timeout` from now on.
    ///
    /// # Errors
    /// When libvirt does not answer, is on another host or runs no QEMU.
    pub(crate) fn open(uri: &str, timeout: Duration) -> Result<Self, Error> {
        // Otherwise libvirt prints its errors itself, beside ours.
        virt::error::clear_error_callback();
        let operation = format!("connecting to {uri}");
        let requested_uri = uri.to_owned();
        let (connection, uri) = call_with_timeout(timeout, &operation.clone(), move || {
            let connect_error = |error| libvirt_error(operation.clone(), &error);
            virt::event::event_register_default_impl().map_err(connect_error)?;
            let connection = ManuallyDrop::new(Connect::open(Some(&requested_uri)).map_err(connect_error)?);
            let uri = connection.uri().map_err(connect_error)?;
            Ok((connection, uri))
        })?;
        if !uri.starts_with("qemu:///") && !uri.starts_with("qemu+unix:///") {
            return Err(Error::RemoteLibvirt { uri });
        }
        Ok(Self { connection, uri, timeout })
    }

    /// Makes sure that the domain's machine can have a disk of that name on that bus. libvirt itself adds one to the
    /// configuration that it cannot have, and refuses to start the domain then.
    ///
    /// # Errors
    /// [`Error::DiskUnsupported`] where the domain as it is could be started, and could not with the disk.
    pub(crate) fn check_disk_supported(&self, guest: &Guest, target: &DiskTarget) -> Result<(), Error> {
        let xml = guest.description(sys::VIR_DOMAIN_XML_INACTIVE)?;
        let trial = with_trial_disk(&xml, target).map_err(|error| guest.unreadable(&error))?;
        let Some(message) = trial.map(|trial| self.start_error(trial)).transpose()?.flatten() else {
            return Ok(());
        };
        // What is wrong with the domain otherwise is not for this command to tell.
        if self.start_error(xml)?.is_some() {
            return Ok(());
        }
        Err(Error::DiskUnsupported {
            domain: guest.name.clone(),
            target: target.dev.to_string(),
            bus: target.bus,
            message,
        })
    }

    /// Why no domain of that description could be started, as far as libvirt can tell from the description alone: it looks
    /// at no image, and starts nothing.
    fn start_error(&self, xml: String) -> Result<Option<String>, Error> {
        let connection = self.connection.clone();
        call_with_timeout(self.timeout, "checking a description", move || {
            let native = connection.domain_xml_to_native("qemu-argv", &xml, 0);
            Ok(native.err().map(|error| error.message().to_owned()))
        })
    }

    /// The domain with the given UUID or name.
    ///
    /// # Errors
    /// [`Error::DomainNotFound`] where there is none.
    pub(crate) fn guest(&self, domain: &str) -> Result<Guest, Error> {
        let (connection, timeout, domain) = (self.connection.clone(), self.timeout, domain.to_owned());
        let uri = self.uri.clone();
        let operation = format!("looking for domain {domain}");
        call_with_timeout(timeout, &operation.clone(), move || {
            let lookup_error = |error: virt::error::Error| {
                if error.code().is(ErrorNumber::NoDomain) {
                    Error::DomainNotFound { domain: domain.clone(), uri: uri.clone() }
                } else {
                    libvirt_error(operation.clone(), &error)
                }
            };
            let found = match domain.parse::<InstanceId>() {
                Ok(id) => connection.lookup_domain_by_uuid_string(&id.to_string()),
                Err(_) => connection.lookup_domain_by_name(&domain),
            };
            let found = found.map_err(lookup_error)?;
            let uuid = found.uuid().map_err(lookup_error)?;
            Ok(Guest {
                name: found.name().map_err(lookup_error)?,
                instance: uuid.into(),
                active: found.is_active().map_err(lookup_error)?,
                persistent: found.is_persistent().map_err(lookup_error)?,
                saved: found.has_managed_save(0).map_err(lookup_error)?,
                domain: found,
                timeout,
            })
        })
    }
}

impl Guest {
    /// Refuses to change the disks of a domain that was saved: it comes back with the disks that it had.
    ///
    /// # Errors
    /// [`Error::DomainSaved`]
    pub(crate) fn check_not_saved(&self) -> Result<(), Error> {
        if self.saved { Err(Error::DomainSaved { domain: self.name.clone() }) } else { Ok(()) }
    }

    /// The disks of the running domain; none if it is not running.
    pub(crate) fn live_disks(&self) -> Result<Vec<DomainDisk>, Error> {
        let active = self.call(self.timeout, "asking for", Domain::is_active)?;
        if active { self.disks(0) } else { Ok(Vec::new()) }
    }

    /// The disks of the persistent configuration, which the next start uses; none if the domain is transient.
    pub(crate) fn persistent_disks(&self) -> Result<Vec<DomainDisk>, Error> {
        if self.persistent { self.disks(sys::VIR_DOMAIN_XML_INACTIVE) } else { Ok(Vec::new()) }
    }

    /// Adds a disk, to the running domain, to its configuration, or to both.
    ///
    /// # Errors
    /// [`Error::AttachUncertain`] when libvirt does not answer and may yet do it.
    pub(crate) fn attach(&self, disk: &str, live: bool, persistent: bool) -> Result<(), Error> {
        let disk = disk.to_owned();
        let result = self.call(self.timeout, "adding a disk to", move |domain| {
            domain.attach_device_flags(&disk, flags(live, persistent)).map(drop)
        });
        result.map_err(|error| match error {
            Error::LibvirtTimeout { .. } => {
                Error::AttachUncertain { domain: self.name.clone(), source: error.into() }
            }
            error => error,
        })
    }

    /// Changes what the domain's metadata says of its volumes, that of the running domain, of its configuration, or of both.
    /// `change` tells whether it has changed anything. What the domain has ceased to have meanwhile is passed over.
    pub(crate) fn change_metadata(
        &self,
        live: bool,
        persistent: bool,
        mut change: impl FnMut(&mut VolumeMetadata) -> bool,
    ) -> Result<(), Error> {
        let affected = [(live, sys::VIR_DOMAIN_AFFECT_LIVE), (persistent, sys::VIR_DOMAIN_AFFECT_CONFIG)];
        for (_, flag) in affected.into_iter().filter(|(is_affected, _)| *is_affected) {
            let Some(xml) = self.metadata(flag)? else { continue };
            let mut volumes = VolumeMetadata::parse(&xml).map_err(|error| self.unreadable(&error))?;
            if change(&mut volumes) {
                self.set_metadata(volumes.to_xml(), flag)?;
            }
        }
        Ok(())
    }

    /// Our element of the domain's metadata, an empty one where it has none; `None` where the domain has no such description.
    fn metadata(&self, flag: u32) -> Result<Option<String>, Error> {
        self.call(self.timeout, "reading the metadata of", move |domain| {
            match domain.metadata(ELEMENT, Some(metadata::NAMESPACE), flag) {
                Err(error) if error.code().is(ErrorNumber::NoDomainMetadata) => {
                    Ok(Some("<volumes/>".to_owned()))
                }
                Err(error) if error.code().is(ErrorNumber::OperationInvalid) => Ok(None),
                answer => answer.map(Some),
            }
        })
    }

    fn set_metadata(&self, xml: Option<String>, flag: u32) -> Result<(), Error> {
        self.call(self.timeout, "changing the metadata of", move |domain| {
            let (key, uri) = (Some(metadata::PREFIX), Some(metadata::NAMESPACE));
            match domain.set_metadata(ELEMENT, xml.as_deref(), key, uri, flag) {
                Err(error) if error.code().is(ErrorNumber::OperationInvalid) => Ok(()),
                answer => answer,
            }
        })
    }

    /// Removes a disk from the persistent configuration.
    pub(crate) fn detach_persistent(&self, disk: &DomainDisk) -> Result<Removed, Error> {
        let xml = disk.xml.clone();
        self.call(self.timeout, "taking a disk from", move |domain| {
            Removed::of(domain.detach_device_flags(&xml, flags(false, true)))
        })
    }

    /// Requests that the running guest unplug a disk, which takes time: success means that libvirt has sent the
    /// request, or that the guest has unplugged the disk already, or is about to, after an earlier request.
    ///
    /// # Errors
    /// [`Error::DetachTimeout`] when libvirt does not answer within `timeout`, which happens while QEMU waits for a
    /// client.
    pub(crate) fn request_unplug(&self, disk: &DomainDisk, timeout: Duration) -> Result<Removed, Error> {
        let xml = disk.xml.clone();
        let result = self.call(timeout, "taking a disk from", move |domain| {
            Removed::of(domain.detach_device_flags(&xml, flags(true, false)))
        });
        result.map_err(|error| match error {
            Error::LibvirtTimeout { .. } => Error::DetachTimeout { target: disk.target.clone() },
            error => error,
        })
    }

    fn disks(&self, flags: sys::virDomainXMLFlags) -> Result<Vec<DomainDisk>, Error> {
        DomainDisk::parse_all(&self.description(flags)?).map_err(|error| self.unreadable(&error))
    }

    fn description(&self, flags: sys::virDomainXMLFlags) -> Result<String, Error> {
        self.call(self.timeout, "reading", move |domain| domain.xml_desc(flags))
    }

    fn unreadable(&self, error: &DomainError) -> Error {
        Error::Libvirt { operation: format!("reading domain {}", self.name), message: error.to_string() }
    }

    /// Makes one call about the domain, and waits at most `timeout` for it.
    fn call<T: Send + 'static>(
        &self,
        timeout: Duration,
        operation: &str,
        call: impl FnOnce(&Domain) -> Result<T, virt::error::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let domain = self.domain.clone();
        let operation = format!("{operation} domain {}", self.name);
        call_with_timeout(timeout, &operation.clone(), move || {
            call(&domain).map_err(|error| libvirt_error(operation, &error))
        })
    }
}

fn flags(live: bool, persistent: bool) -> u32 {
    let live = if live { sys::VIR_DOMAIN_AFFECT_LIVE } else { 0 };
    live | if persistent { sys::VIR_DOMAIN_AFFECT_CONFIG } else { 0 }
}

fn libvirt_error(operation: String, error: &virt::error::Error) -> Error {
    Error::Libvirt { operation, message: error.message().to_owned() }
}
