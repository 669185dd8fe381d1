//! Which guests use a share, by the domains of Nova's host object.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use pyo3::prelude::*;
use quobyte_volume::host::guests::{
    DescribedDomain, DomainReader, DomainSource, ListedDomain, PoolVolumes, read_domains,
};
use quobyte_volume::pure::capabilities;
use quobyte_volume::pure::connection::InstanceId;
use quobyte_volume::pure::guests::{Description, Guest, GuestQuestion, GuestSurvey, Guests};
use quobyte_volume::pure::mount_path::MountPath;

/// How long Nova's libvirt may take to answer a question. The driver asks while it holds a share's lock.
const LIBVIRT_TIMEOUT: Duration = Duration::from_secs(10);

/// How many questions may be under way. Each that is not answered in time keeps a thread until it is.
const MAX_QUESTIONS: usize = 4;

/// Nova's domains: a Python object, whose methods `_native.pyi` describes.
pub(crate) struct NovaGuests {
    domains: Py<PyAny>,
    questions: Arc<AtomicUsize>,
}

impl NovaGuests {
    pub(crate) fn new(domains: Py<PyAny>) -> Self {
        Self { domains, questions: Arc::default() }
    }
}

impl Guests for NovaGuests {
    fn survey(&self, question: &GuestQuestion<'_>) -> Result<GuestSurvey, Box<dyn Error + Send + Sync>> {
        let timeout = question.timeout.map_or(LIBVIRT_TIMEOUT, |timeout| timeout.min(LIBVIRT_TIMEOUT));
        let (shares, only) = (question.shares.to_owned(), question.only);
        let guests = self.ask(timeout, move |domains| query_guests(domains, &shares, only, timeout))?;
        Ok(GuestSurvey { guests })
    }

    fn emulator_user(&self, timeout: Duration) -> Option<u32> {
        let capabilities: Result<String, _> = self.ask(timeout.min(LIBVIRT_TIMEOUT), |domains| {
            Python::attach(|py| domains.python.call_method0(py, "host_capabilities")?.extract(py))
        });
        capabilities::emulator_user(&capabilities.ok()?)
    }
}

impl NovaGuests {
    /// Asks Nova's domains, and waits at most `timeout` for the answer.
    fn ask<T: Send + 'static>(
        &self,
        timeout: Duration,
        question: impl FnOnce(&Arc<Domains>) -> PyResult<T> + Send + 'static,
    ) -> Result<T, Box<dyn Error + Send + Sync>> {
        let pending =
            Pending::new(&self.questions).ok_or("libvirt has not answered earlier questions yet")?;
        let (sender, receiver) = mpsc::channel();
        let domains = Python::attach(|py| self.domains.clone_ref(py));
        // A libvirt that never answers blocks this thread, but not the caller.
        thread::Builder::new()
            .spawn(move || {
                let source = Arc::new(Domains { python: domains, _pending: pending });
                sender.send(question(&source))
            })
            .map_err(|error| format!("no thread to ask libvirt in: {error}"))?;
        let answer = receiver
            .recv_timeout(timeout)
            .map_err(|_| format!("libvirt did not answer in {} s", timeout.as_secs()))?;
        Ok(answer.map_err(|error| error.to_string())?)
    }
}

/// A question that is under way.
struct Pending(Arc<AtomicUsize>);

impl Pending {
    /// `None` where there are too many.
    fn new(count: &Arc<AtomicUsize>) -> Option<Self> {
        let pending = Self(Arc::clone(count));
        (count.fetch_add(1, Ordering::SeqCst) < MAX_QUESTIONS).then_some(pending)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A domain as Python lists it: its UUID, name and run, whether it was saved, and Python's handle for it.
type Listed = (String, String, Option<u32>, bool, Py<PyAny>);

/// A domain as Python describes it: its UUID, name and run, and by the name of each description its text, or the reason why
/// it cannot be had.
type Described = (String, String, Option<u32>, Vec<(String, Option<String>, String)>);

/// Nova's domains as the library reads them.
struct Domains {
    python: Py<PyAny>,
    /// The question is under way until the last of its threads has ended: one may wait for a domain that something holds.
    _pending: Pending,
}

impl PoolVolumes for Domains {
    fn path(&self, pool: &str, volume: &str) -> Result<PathBuf, String> {
        let path: PyResult<PathBuf> =
            Python::attach(|py| self.python.call_method1(py, "pool_volume", (pool, volume))?.extract(py));
        path.map_err(|error| format!("volume {volume} of storage pool {pool}: {error}"))
    }
}

impl DomainSource for Domains {
    /// Python's handle, and whether a saved state waits for the domain's next start.
    type Domain = (Py<PyAny>, bool);
    /// Each call wakes the thread of Nova's event loop, and both want Python's lock.
    const CALLS: usize = 2;

    fn describe(&self, (domain, is_saved): &(Py<PyAny>, bool)) -> Option<DescribedDomain> {
        let described: Option<Described> = Python::attach(|py| {
            let described = self.python.call_method1(py, "describe", (domain.clone_ref(py), *is_saved));
            described.and_then(|described| described.extract(py)).ok().flatten()
        });
        described.and_then(into_domain)
    }
}

fn into_domain((uuid, name, run, descriptions): Described) -> Option<DescribedDomain> {
    let description = |name: &str| match name {
        "running" => Description::Running,
        "saved" => Description::Saved,
        _ => Description::Persistent,
    };
    let descriptions = descriptions.into_iter();
    let descriptions =
        descriptions.map(|(name, xml, reason)| (description(&name), xml.ok_or(reason))).collect();
    Some(DescribedDomain { instance: uuid.parse().ok()?, name, run, descriptions })
}

fn query_guests(
    source: &Arc<Domains>,
    shares: &[MountPath],
    only: Option<InstanceId>,
    timeout: Duration,
) -> PyResult<Vec<Guest>> {
    if let Some(instance) = only {
        let described: Option<Described> = Python::attach(|py| {
            source.python.call_method1(py, "describe_one", (instance.to_string(),))?.extract(py)
        })?;
        let mut reader = DomainReader::new(shares, source.as_ref());
        return Ok(described.and_then(into_domain).map(|domain| reader.read(&domain)).into_iter().collect());
    }
    let list = || -> PyResult<Vec<Listed>> {
        Python::attach(|py| source.python.call_method0(py, "list_all")?.extract(py))
    };
    let listed = list()?.into_iter().filter_map(|(uuid, name, run, is_saved, domain)| {
        Some(ListedDomain { instance: uuid.parse().ok()?, name, run, domain: (domain, is_saved) })
    });
    // The rest is for the domains that have changed meanwhile.
    let mut guests = read_domains(source, listed.collect(), shares, timeout * 3 / 4);
    for (uuid, _, run, ..) in list()? {
        let Ok(instance) = uuid.parse::<InstanceId>() else { continue };
        let known = guests.iter().find(|guest| guest.instance == instance);
        if known.is_none_or(|guest| guest.run.map(|run| run.number) != run) {
            let now = query_guests(source, shares, Some(instance), timeout)?;
            guests.retain(|guest| guest.instance != instance);
            guests.extend(now);
        }
    }
    Ok(guests)
}
