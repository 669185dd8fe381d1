//! The guests of this host, by libvirt's descriptions of its domains: the driver asks who uses a share.
//!
//! libvirt is asked for descriptions and nothing else: it answers those from memory, while other questions have it open the
//! images of domains that are shut off, and hang on one that does not answer.

use std::collections::HashSet;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use quobyte_volume::host::guests::{
    DescribedDomain, DomainReader, DomainSource, ListedDomain, PoolVolumes, read_domains,
};
use quobyte_volume::pure::capabilities;
use quobyte_volume::pure::connection::InstanceId;
use quobyte_volume::pure::guests::{Description, Guest, GuestQuestion, GuestSurvey, Guests};
use quobyte_volume::pure::mount_path::MountPath;
use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::{Error as VirtError, ErrorNumber};
use virt::sys;

use super::timeout::call_with_timeout;
use super::{Hypervisor, ffi, libvirt_error};
use crate::error::Error;

/// The guests of one libvirt, which is asked only when the driver asks.
pub(crate) struct LibvirtGuests {
    uri: String,
    timeout: Duration,
    /// Kept for the next question.
    connection: Mutex<Option<Hypervisor>>,
}

impl LibvirtGuests {
    /// `timeout` is how long libvirt may take to answer a question. The driver may ask while it holds a share's lock.
    pub(crate) fn new(uri: String, timeout: Duration) -> Self {
        Self { uri, timeout, connection: Mutex::default() }
    }

    fn hypervisor(&self, timeout: Duration) -> Result<Hypervisor, Error> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        match &*connection {
            Some(open) => Ok(open.clone()),
            None => Ok(connection.insert(Hypervisor::open(&self.uri, timeout)?).clone()),
        }
    }
}

impl Guests for LibvirtGuests {
    fn survey(
        &self,
        question: &GuestQuestion<'_>,
    ) -> Result<GuestSurvey, Box<dyn std::error::Error + Send + Sync>> {
        let timeout = question.timeout.map_or(self.timeout, |timeout| timeout.min(self.timeout));
        // For all of the question.
        let deadline = Instant::now() + timeout;
        let left = || deadline.saturating_duration_since(Instant::now());
        let mut hypervisors = vec![self.hypervisor(timeout)?];
        // A session's libvirt knows its own domains alone, and is no witness that nobody else uses a share.
        if !hypervisors[0].is_system() && has_system_libvirt() {
            hypervisors.push(Hypervisor::open(super::DEFAULT_URI, left())?);
        }
        let mut guests = Vec::new();
        for hypervisor in hypervisors {
            let (shares, only) = (question.shares.to_owned(), question.only);
            let operation = format!("asking {} which domains use a volume", hypervisor.uri);
            let left = Duration::from_millis(u64::try_from(left().as_millis()).unwrap_or(u64::MAX));
            guests.extend(call_with_timeout(left, &operation.clone(), move || {
                query_guests(&hypervisor, &shares, only, left)
                    .map_err(|error| libvirt_error(operation, &error))
            })?);
        }
        Ok(GuestSurvey { guests })
    }

    /// That of the system's QEMU, where there is one: the QEMU of a session runs as the session's user.
    fn emulator_user(&self, timeout: Duration) -> Option<u32> {
        // For all of the question.
        let deadline = Instant::now() + timeout.min(self.timeout);
        let left = || deadline.saturating_duration_since(Instant::now());
        let mut hypervisor = self.hypervisor(left()).ok()?;
        if !hypervisor.is_system() && has_system_libvirt() {
            hypervisor = Hypervisor::open(super::DEFAULT_URI, left()).ok()?;
        }
        let connection = hypervisor.connection;
        let operation = "asking for QEMU's user".to_owned();
        let capabilities = call_with_timeout(left(), &operation.clone(), move || {
            connection.capabilities().map_err(|error| libvirt_error(operation, &error))
        });
        capabilities::emulator_user(&capabilities.ok()?)
    }
}

/// Whether libvirt's own daemons serve the system's domains here, or would if they ran.
fn has_system_libvirt() -> bool {
    let sockets = ["/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock"];
    let daemons = ["/usr/sbin/libvirtd", "/usr/sbin/virtqemud"];
    sockets.iter().chain(&daemons).any(|path| Path::new(path).exists())
}

fn query_guests(
    hypervisor: &Hypervisor,
    shares: &[MountPath],
    only: Option<InstanceId>,
    timeout: Duration,
) -> Result<Vec<Guest>, VirtError> {
    let connection = &*hypervisor.connection;
    let source = Arc::new(Libvirt(hypervisor.connection.clone()));
    if let Some(instance) = only {
        let found = match connection.lookup_domain_by_uuid_string(&instance.to_string()) {
            Err(error) if error.code().is(ErrorNumber::NoDomain) => None,
            domain => Some(domain?),
        };
        let Some(domain) = found else { return Ok(Vec::new()) };
        let is_saved = unless_gone(domain.has_managed_save(0))? == Some(true);
        let described = source.describe(&(domain, is_saved));
        let guest = described.map(|domain| DomainReader::new(shares, source.as_ref()).read(&domain));
        let has_moved = domain_run(connection, instance)? != guest.as_ref().and_then(run_number);
        return if has_moved {
            query_guests(hypervisor, shares, only, timeout)
        } else {
            Ok(guest.into_iter().collect())
        };
    }
    let domains = connection.list_all_domains(0)?;
    let saved: HashSet<Uuid> = connection
        .list_all_domains(sys::VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE)?
        .iter()
        .filter_map(|domain| domain.uuid().ok())
        .collect();
    let mut listed = Vec::new();
    for domain in domains {
        let (name, uuid, run) = (domain.name()?, domain.uuid()?, domain.id());
        let is_saved = saved.contains(&uuid);
        listed.push(ListedDomain { instance: uuid.into(), name, run, domain: (domain, is_saved) });
    }
    // The rest is for the domains that have changed meanwhile.
    let mut guests = read_domains(&source, listed, shares, timeout * 3 / 4);
    // Those that were started or stopped meanwhile have other descriptions now.
    for domain in connection.list_all_domains(0)? {
        let instance: InstanceId = domain.uuid()?.into();
        let known = guests.iter().find(|guest| guest.instance == instance);
        if known.is_none_or(|guest| run_number(guest) != domain.id()) {
            let now = query_guests(hypervisor, shares, Some(instance), timeout)?;
            guests.retain(|guest| guest.instance != instance);
            guests.extend(now);
        }
    }
    Ok(guests)
}

fn run_number(guest: &Guest) -> Option<u32> {
    guest.run.map(|run| run.number)
}

fn domain_run(connection: &Connect, instance: InstanceId) -> Result<Option<u32>, VirtError> {
    match connection.lookup_domain_by_uuid_string(&instance.to_string()) {
        Err(error) if error.code().is(ErrorNumber::NoDomain) => Ok(None),
        domain => Ok(domain?.id()),
    }
}

/// The libvirt that describes domains.
struct Libvirt(ManuallyDrop<Connect>);

impl PoolVolumes for Libvirt {
    fn path(&self, pool: &str, volume: &str) -> Result<PathBuf, String> {
        pool_volume_path(&self.0, pool, volume)
            .map_err(|error| format!("volume {volume} of storage pool {pool}: {}", error.message()))
    }
}

impl DomainSource for Libvirt {
    /// A domain, and whether a saved state of it waits for its next start.
    type Domain = (Domain, bool);
    const CALLS: usize = 4;

    fn describe(&self, (domain, is_saved): &(Domain, bool)) -> Option<DescribedDomain> {
        describe(domain, *is_saved)
    }
}

/// Every description of a domain; `None` for one that is gone.
fn describe(domain: &Domain, is_saved: bool) -> Option<DescribedDomain> {
    let run = domain.id();
    let mut descriptions = Vec::new();
    let mut add = |description, xml: Result<String, VirtError>| match xml {
        Err(error) if error.code().is(ErrorNumber::NoDomain) => false,
        xml => {
            descriptions.push((description, xml.map_err(|error| error.message().to_owned())));
            true
        }
    };
    let is_there = run.is_none() || add(Description::Running, domain.xml_desc(0));
    let is_there = is_there && add(Description::Persistent, domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE));
    if is_there && is_saved {
        match ffi::managed_save_xml(domain) {
            // It has been started since, or its state was removed; its run tells.
            Err(error) if error.code().is(ErrorNumber::OperationInvalid) => {}
            xml => drop(add(Description::Saved, xml)),
        }
    }
    let (name, uuid) = (domain.name().ok()?, domain.uuid().ok()?);
    is_there.then_some(DescribedDomain { instance: uuid.into(), name, run, descriptions })
}

/// Where a volume of a storage pool is, of one that is not active as its own description has it.
fn pool_volume_path(connection: &Connect, pool: &str, volume: &str) -> Result<PathBuf, VirtError> {
    let pool = connection.lookup_storage_pool_by_name(pool)?;
    match pool.lookup_storage_vol_by_name(volume) {
        Ok(volume) => Ok(volume.path()?.into()),
        Err(error) => {
            let description = pool.xml_desc(0)?;
            // A pool that is not kept in files has none on a share.
            let is_active = pool.is_active()?;
            match quobyte_volume::host::guests::pool_directory(&description) {
                Some(directory) => Ok(directory.join(volume)),
                None if is_active => Err(error),
                None => Ok(PathBuf::new()),
            }
        }
    }
}

/// `None` for a domain that is gone since it was looked up.
fn unless_gone<T>(answer: Result<T, VirtError>) -> Result<Option<T>, VirtError> {
    match answer {
        Err(error) if error.code().is(ErrorNumber::NoDomain) => Ok(None),
        answer => answer.map(Some),
    }
}
