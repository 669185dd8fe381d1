//! The driver as Nova's class sees it.

use std::str::FromStr;

use pyo3::prelude::*;
use pyo3::types::PyList;
use quobyte_volume::driver::{self, Error, Force};
use quobyte_volume::error::Code;
use quobyte_volume::host::LinuxHost;
use quobyte_volume::host::qemu;
use quobyte_volume::host::records::StateDir;
use quobyte_volume::pure::connection::{ConnectionInfo, InstanceId};
use quobyte_volume::pure::io_policy::HostFacts;

use crate::answers::{Connected, Disconnected, Disk, Found};
use crate::error::{raise, raise_as};
use crate::guests::NovaGuests;
use crate::log::listen;
use crate::options::{Options, Settings};

/// Connects and disconnects volumes on this host. Each method appends to `said` what is to be logged: a level of Python's
/// logging and a text, in order, whether it succeeds or not.
#[pyclass(frozen)]
pub(crate) struct Driver {
    driver: driver::Driver,
    facts: HostFacts,
}

#[pymethods]
impl Driver {
    /// `domains` is called, from any thread, to learn who uses a share.
    #[new]
    fn new(said: &Bound<'_, PyList>, options: Options, domains: Py<PyAny>) -> PyResult<Self> {
        let Settings { config, linux, state_dir, mut facts, emulator } = Settings::try_from(options)
            .map_err(|unusable| raise_as(said.py(), Code::InvalidConfig, unusable))?;
        let driver = run(said, || {
            facts.io_uring = emulator.and_then(|emulator| {
                let answer = qemu::has_io_uring(&emulator);
                let cannot = |error: &_| tracing::info!(emulator = %emulator.display(), %error, "QEMU cannot be asked");
                answer.inspect_err(cannot).ok()
            });
            let state = StateDir::open(&state_dir)?;
            let host = LinuxHost::new(linux, state.clone());
            driver::Driver::new(config, state, Box::new(host), Box::new(NovaGuests(domains)))
        })?;
        Ok(Self { driver, facts })
    }

    fn connect(
        &self,
        said: &Bound<'_, PyList>,
        connection_info: &str,
        instance: &str,
    ) -> PyResult<Connected> {
        let instance = parse(said.py(), instance)?;
        self.call(said, connection_info, |info| {
            self.driver.connect(info, instance, &self.facts).map(Connected::from)
        })
    }

    fn disk(&self, said: &Bound<'_, PyList>, connection_info: &str) -> PyResult<Disk> {
        self.call(said, connection_info, |info| {
            let image = self.driver.inspect_image(info, &self.facts)?;
            let at = self.driver.mount_path(&info.export);
            Ok(Disk::new(info, &at, &image.chain, &image.decision.policy))
        })
    }

    fn disconnect(
        &self,
        said: &Bound<'_, PyList>,
        connection_info: &str,
        instance: &str,
        force: bool,
    ) -> PyResult<Disconnected> {
        let instance = parse(said.py(), instance)?;
        let force = if force { Force::IfAlone } else { Force::No };
        self.call(said, connection_info, |info| {
            let at = self.driver.mount_path(&info.export);
            self.driver.disconnect(&at, info.volume_id, instance, force).map(Disconnected::from)
        })
    }

    fn extend(&self, said: &Bound<'_, PyList>, connection_info: &str, size: u64) -> PyResult<u64> {
        self.call(said, connection_info, |info| self.driver.extend(info, size))
    }

    fn reconcile(&self, said: &Bound<'_, PyList>) -> PyResult<Vec<Found>> {
        let findings = run(said, || self.driver.reconcile(false))?;
        Ok(findings.iter().map(Found::from).collect())
    }
}

impl Driver {
    fn call<T: Send>(
        &self,
        said: &Bound<'_, PyList>,
        connection_info: &str,
        work: impl FnOnce(&ConnectionInfo) -> Result<T, Error> + Send,
    ) -> PyResult<T> {
        run(said, || work(&ConnectionInfo::parse(connection_info.as_bytes())?))
    }
}

/// Nova makes these, so one that cannot be used is a bug.
fn parse(py: Python<'_>, instance: &str) -> PyResult<InstanceId> {
    InstanceId::from_str(instance)
        .map_err(|error| raise_as(py, Code::Internal, format!("instance {instance:?}: {error}")))
}

/// Does `work` without holding on to the interpreter.
fn run<T: Send>(said: &Bound<'_, PyList>, work: impl FnOnce() -> Result<T, Error> + Send) -> PyResult<T> {
    let py = said.py();
    let (result, heard) = py.detach(|| listen(work));
    heard.into_iter().try_for_each(|one| said.append(one))?;
    result.map_err(|error| raise(py, &error))
}
