//! Who uses a share, as Nova's host object has it.

use std::error::Error;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use pyo3::prelude::*;
use quobyte_volume::host::paths;
use quobyte_volume::pure::guests::{GuestUse, Guests};
use quobyte_volume::pure::mount_path::MountPath;

/// How long Nova's libvirt may take to tell. It is asked while a share is held.
const ANSWER: Duration = Duration::from_secs(10);

/// A Python callable that returns for each domain its UUID, its name and its descriptions.
pub(crate) struct NovaGuests(pub(crate) Py<PyAny>);

impl Guests for NovaGuests {
    fn uses_below(&self, shares: &[MountPath]) -> Result<Vec<GuestUse>, Box<dyn Error + Send + Sync>> {
        let (tell, told) = mpsc::channel();
        let domains = Python::attach(|py| self.0.clone_ref(py));
        // A libvirt that never answers keeps its thread, but not its caller.
        thread::Builder::new()
            .spawn(move || tell.send(Python::attach(|py| ask(py, &domains))))
            .map_err(|error| format!("no thread to ask libvirt in: {error}"))?;
        let domains = told
            .recv_timeout(ANSWER)
            .map_err(|_| format!("libvirt did not answer in {} s", ANSWER.as_secs()))?
            .map_err(|error| error.to_string())?;
        let mut uses = Vec::new();
        for (uuid, name, descriptions) in domains {
            uses.extend(paths::guest_uses(uuid.parse()?, &name, &descriptions, shares)?);
        }
        Ok(uses)
    }
}

type Domain = (String, String, Vec<String>);

fn ask(py: Python<'_>, domains: &Py<PyAny>) -> PyResult<Vec<Domain>> {
    domains.call0(py)?.extract(py)
}
