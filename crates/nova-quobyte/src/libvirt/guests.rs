//! Which domains use a share: the driver's question before it lets one go.

use std::time::Duration;

use quobyte_volume::host::paths;
use quobyte_volume::pure::guests::{GuestUse, Guests};
use quobyte_volume::pure::mount_path::MountPath;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::sys;

use super::deadline::within;
use super::{Hypervisor, raw};
use crate::error::Error;

/// The domains of one libvirt, which is asked only when the driver asks.
pub(crate) struct LibvirtGuests {
    uri: String,
    limit: Duration,
}

impl LibvirtGuests {
    /// `limit` is how long libvirt may take to tell. It may be asked while a share is held.
    pub(crate) fn new(uri: String, limit: Duration) -> Self {
        Self { uri, limit }
    }
}

impl Guests for LibvirtGuests {
    fn uses_below(
        &self,
        shares: &[MountPath],
    ) -> Result<Vec<GuestUse>, Box<dyn std::error::Error + Send + Sync>> {
        let hypervisor = Hypervisor::open(&self.uri, self.limit)?;
        let (connection, shares) = (hypervisor.connection.clone(), shares.to_owned());
        let doing = "asking which domains use a volume";
        Ok(within(self.limit, doing, move || {
            ask(&connection, &shares)
                .map_err(|error| Error::Libvirt { doing: doing.to_owned(), message: error.to_string() })
        })?)
    }
}

fn ask(connection: &Connect, shares: &[MountPath]) -> Result<Vec<GuestUse>, Box<dyn std::error::Error>> {
    let mut uses = Vec::new();
    for domain in connection.list_all_domains(0)? {
        let (Some(name), Some(instance)) = (present(domain.name())?, present(domain.uuid())?) else {
            continue;
        };
        uses.extend(paths::guest_uses(instance.into(), &name, &descriptions(&domain)?, shares)?);
    }
    Ok(uses)
}

/// Every description of a domain: as it runs, as it will start, and as it was saved. One that was saved may be started
/// while it is asked about, and runs by the time it is found not to be saved; hence the last question.
fn descriptions(domain: &Domain) -> Result<Vec<String>, virt::error::Error> {
    let now = present(domain.xml_desc(0))?;
    let next = present(domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE))?;
    let saved = saved(domain)?;
    let again = if saved.is_none() { present(domain.xml_desc(0))? } else { None };
    Ok([now, next, saved, again].into_iter().flatten().collect())
}

fn saved(domain: &Domain) -> Result<Option<String>, virt::error::Error> {
    if present(domain.has_managed_save(0))? != Some(true) {
        return Ok(None);
    }
    match present(raw::managed_save_xml(domain)) {
        // It has been started since, or its state was removed.
        Err(error) if error.code().is(virt::error::ErrorNumber::OperationInvalid) => Ok(None),
        xml => xml,
    }
}

/// A domain that is gone since it was listed uses nothing.
fn present<T>(answer: Result<T, virt::error::Error>) -> Result<Option<T>, virt::error::Error> {
    match answer {
        Err(error) if error.code().is(virt::error::ErrorNumber::NoDomain) => Ok(None),
        answer => answer.map(Some),
    }
}
