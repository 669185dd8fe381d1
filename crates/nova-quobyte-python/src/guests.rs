//! Which guests use a share, by the domains of Nova's host object.

use std::error::Error;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use pyo3::prelude::*;
use quobyte_volume::host::paths;
use quobyte_volume::pure::guests::{GuestUse, Guests};
use quobyte_volume::pure::mount_path::MountPath;

/// How long Nova's libvirt may take to list the domains. The driver asks while it holds a share's lock.
const LIBVIRT_TIMEOUT: Duration = Duration::from_secs(10);

/// Nova's domains: a Python callable that returns for each its UUID, its name and its descriptions.
pub(crate) struct NovaGuests(pub(crate) Py<PyAny>);

impl Guests for NovaGuests {
    fn uses_below(&self, shares: &[MountPath]) -> Result<Vec<GuestUse>, Box<dyn Error + Send + Sync>> {
        let (sender, receiver) = mpsc::channel();
        let list_domains = Python::attach(|py| self.0.clone_ref(py));
        // A libvirt that never answers blocks this thread, but not the caller.
        thread::Builder::new()
            .spawn(move || sender.send(Python::attach(|py| fetch_domains(py, &list_domains))))
            .map_err(|error| format!("no thread to ask libvirt in: {error}"))?;
        let domains = receiver
            .recv_timeout(LIBVIRT_TIMEOUT)
            .map_err(|_| format!("libvirt did not answer in {} s", LIBVIRT_TIMEOUT.as_secs()))?
            .map_err(|error| error.to_string())?;
        let mut uses = Vec::new();
        for (uuid, name, descriptions) in domains {
            uses.extend(paths::guest_uses(uuid.parse()?, &name, &descriptions, shares)?);
        }
        Ok(uses)
    }
}

type Domain = (String, String, Vec<String>);

fn fetch_domains(py: Python<'_>, list_domains: &Py<PyAny>) -> PyResult<Vec<Domain>> {
    list_domains.call0(py)?.extract(py)
}
