//! Which domains use a share: the driver asks before it unmounts one.

use std::time::Duration;

use quobyte_volume::host::paths;
use quobyte_volume::pure::guests::{GuestUse, Guests};
use quobyte_volume::pure::mount_path::MountPath;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::sys;

use super::timeout::call_with_timeout;
use super::{Hypervisor, ffi};
use crate::error::Error;

/// The domains of one libvirt, which is asked only when the driver asks.
pub(crate) struct LibvirtGuests {
    uri: String,
    timeout: Duration,
}

impl LibvirtGuests {
    /// `timeout` is how long libvirt may take to answer. The driver may ask while it holds a share's lock.
    pub(crate) fn new(uri: String, timeout: Duration) -> Self {
        Self { uri, timeout }
    }
}

impl Guests for LibvirtGuests {
    fn uses_below(
        &self,
        shares: &[MountPath],
    ) -> Result<Vec<GuestUse>, Box<dyn std::error::Error + Send + Sync>> {
        let hypervisor = Hypervisor::open(&self.uri, self.timeout)?;
        let (connection, shares) = (hypervisor.connection.clone(), shares.to_owned());
        let operation = "asking which domains use a volume";
        Ok(call_with_timeout(self.timeout, operation, move || {
            query_uses(&connection, &shares).map_err(|error| Error::Libvirt {
                operation: operation.to_owned(),
                message: error.to_string(),
            })
        })?)
    }
}

fn query_uses(
    connection: &Connect,
    shares: &[MountPath],
) -> Result<Vec<GuestUse>, Box<dyn std::error::Error>> {
    let mut uses = Vec::new();
    for domain in connection.list_all_domains(0)? {
        let (Some(name), Some(instance)) = (unless_gone(domain.name())?, unless_gone(domain.uuid())?) else {
            continue;
        };
        uses.extend(paths::guest_uses(instance.into(), &name, &descriptions(&domain)?, shares)?);
    }
    Ok(uses)
}

/// Every description of a domain: as it runs, as it will start, and as it was saved. A saved domain may be started
/// between the calls, and then runs once it turns out not to be saved; hence the last call.
fn descriptions(domain: &Domain) -> Result<Vec<String>, virt::error::Error> {
    let live = unless_gone(domain.xml_desc(0))?;
    let inactive = unless_gone(domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE))?;
    let saved = saved_description(domain)?;
    let live_again = if saved.is_none() { unless_gone(domain.xml_desc(0))? } else { None };
    Ok([live, inactive, saved, live_again].into_iter().flatten().collect())
}

fn saved_description(domain: &Domain) -> Result<Option<String>, virt::error::Error> {
    if unless_gone(domain.has_managed_save(0))? != Some(true) {
        return Ok(None);
    }
    match unless_gone(ffi::managed_save_xml(domain)) {
        // It has been started since, or its state was removed.
        Err(error) if error.code().is(virt::error::ErrorNumber::OperationInvalid) => Ok(None),
        xml => xml,
    }
}

/// `None` for a domain that is gone since it was listed: it uses nothing.
fn unless_gone<T>(answer: Result<T, virt::error::Error>) -> Result<Option<T>, virt::error::Error> {
    match answer {
        Err(error) if error.code().is(virt::error::ErrorNumber::NoDomain) => Ok(None),
        answer => answer.map(Some),
    }
}
