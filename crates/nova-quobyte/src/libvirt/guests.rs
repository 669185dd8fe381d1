//! Which domains use a share: the driver's question before it lets one go.

use std::error::Error;
use std::sync::mpsc;
use std::time::Duration;

use quobyte_volume::domain;
use quobyte_volume::driver::{GuestUse, Guests};
use quobyte_volume::mount_path::MountPath;
use virt::domain::Domain;
use virt::sys;

use super::{Hypervisor, raw};

/// The domains of one libvirt, which is asked only when the driver asks.
pub(crate) struct LibvirtGuests {
    uri: String,
}

impl LibvirtGuests {
    pub(crate) fn new(uri: String) -> Self {
        Self { uri }
    }
}

/// How long libvirt may take to tell. It is asked while a share is held.
const ANSWER: Duration = Duration::from_secs(10);

impl Guests for LibvirtGuests {
    fn using(&self, at: &MountPath) -> Result<Vec<GuestUse>, Box<dyn Error + Send + Sync>> {
        let (uri, at) = (self.uri.clone(), at.clone());
        let (tell, told) = mpsc::channel();
        // A libvirt that never answers keeps its thread, but not its caller.
        std::thread::spawn(move || tell.send(ask(&uri, &at)));
        told.recv_timeout(ANSWER).map_err(|_| format!("libvirt did not answer in {} s", ANSWER.as_secs()))?
    }
}

fn ask(uri: &str, at: &MountPath) -> Result<Vec<GuestUse>, Box<dyn Error + Send + Sync>> {
    let hypervisor = Hypervisor::open(uri)?;
    let mut uses = Vec::new();
    for domain in hypervisor.connection.list_all_domains(0)? {
        let (Some(name), Some(instance)) = (present(domain.name())?, present(domain.uuid())?) else {
            continue;
        };
        uses.extend(domain::uses(instance.into(), &name, &descriptions(&domain)?, at)?);
    }
    Ok(uses)
}

/// Every description of a domain: as it runs, as it will start, and as it was saved.
fn descriptions(domain: &Domain) -> Result<Vec<String>, virt::error::Error> {
    let now = present(domain.xml_desc(0))?;
    let next = present(domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE))?;
    let saved = match present(domain.has_managed_save(0))? {
        Some(true) => present(raw::managed_save_xml(domain))?,
        _ => None,
    };
    Ok([now, next, saved].into_iter().flatten().collect())
}

/// A domain that is gone since it was listed uses nothing.
fn present<T>(answer: Result<T, virt::error::Error>) -> Result<Option<T>, virt::error::Error> {
    match answer {
        Err(error) if error.code().is(virt::error::ErrorNumber::NoDomain) => Ok(None),
        answer => answer.map(Some),
    }
}
