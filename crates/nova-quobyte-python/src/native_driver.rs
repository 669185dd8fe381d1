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
use quobyte_volume::pure::io_policy::HypervisorFacts;

use crate::error::{py_err_with_code, to_py_err};
use crate::guests::NovaGuests;
use crate::log::capture_logs;
use crate::options::{NativeSettings, NovaOptions};
use crate::results::{Connected, DisconnectOutcome, Disk, Finding};

/// Connects and disconnects volumes on this host. Each method appends to `log_records` what Python is to log, a level
/// of its logging and a text, in order, whether the method succeeds or not.
#[pyclass(frozen)]
pub(crate) struct NativeDriver {
    driver: driver::Driver,
    facts: HypervisorFacts,
}

#[pymethods]
impl NativeDriver {
    /// `domains` is called, from any thread, to learn who uses a share.
    #[new]
    fn new(log_records: &Bound<'_, PyList>, options: NovaOptions, domains: Py<PyAny>) -> PyResult<Self> {
        let NativeSettings { config, linux, state_dir, mut facts, emulator } =
            NativeSettings::try_from(options)
                .map_err(|unusable| py_err_with_code(log_records.py(), Code::InvalidConfig, unusable))?;
        let driver = run_detached(log_records, || {
            facts.io_uring = emulator.and_then(|emulator| {
                let answer = qemu::has_io_uring(&emulator);
                let log = |error: &_| tracing::info!(emulator = %emulator.display(), %error, "QEMU cannot be asked");
                answer.inspect_err(log).ok()
            });
            let state = StateDir::open(&state_dir)?;
            let host = LinuxHost::new(linux, state.clone());
            driver::Driver::new(config, state, Box::new(host), Box::new(NovaGuests(domains)))
        })?;
        Ok(Self { driver, facts })
    }

    fn connect(
        &self,
        log_records: &Bound<'_, PyList>,
        connection_info: &str,
        instance: &str,
    ) -> PyResult<Connected> {
        let instance = parse_instance(log_records.py(), instance)?;
        self.call(log_records, connection_info, |info| {
            self.driver.connect(info, instance, &self.facts).map(Connected::from)
        })
    }

    fn disk(&self, log_records: &Bound<'_, PyList>, connection_info: &str) -> PyResult<Disk> {
        self.call(log_records, connection_info, |info| {
            let image = self.driver.inspect_image(info, &self.facts)?;
            let at = self.driver.mount_path(&info.export);
            Ok(Disk::new(info, &at, &image.chain, &image.decision.policy))
        })
    }

    fn disconnect(
        &self,
        log_records: &Bound<'_, PyList>,
        connection_info: &str,
        instance: &str,
        force: bool,
    ) -> PyResult<DisconnectOutcome> {
        let instance = parse_instance(log_records.py(), instance)?;
        let force = if force { Force::IfAlone } else { Force::No };
        self.call(log_records, connection_info, |info| {
            let at = self.driver.mount_path(&info.export);
            self.driver.disconnect(&at, info.volume_id, instance, force).map(DisconnectOutcome::from)
        })
    }

    fn extend(&self, log_records: &Bound<'_, PyList>, connection_info: &str, size: u64) -> PyResult<u64> {
        self.call(log_records, connection_info, |info| self.driver.extend(info, size))
    }

    fn reconcile(&self, log_records: &Bound<'_, PyList>) -> PyResult<Vec<Finding>> {
        let findings = run_detached(log_records, || self.driver.reconcile(false))?;
        Ok(findings.iter().map(Finding::from).collect())
    }
}

impl NativeDriver {
    fn call<T: Send>(
        &self,
        log_records: &Bound<'_, PyList>,
        connection_info: &str,
        work: impl FnOnce(&ConnectionInfo) -> Result<T, Error> + Send,
    ) -> PyResult<T> {
        run_detached(log_records, || work(&ConnectionInfo::parse(connection_info.as_bytes())?))
    }
}

/// Parses an instance's UUID. Nova makes these, so one that cannot be parsed is a bug.
fn parse_instance(py: Python<'_>, instance: &str) -> PyResult<InstanceId> {
    InstanceId::from_str(instance)
        .map_err(|error| py_err_with_code(py, Code::Internal, format!("instance {instance:?}: {error}")))
}

/// Does `work` detached from the Python interpreter, and appends its log records to `log_records`.
fn run_detached<T: Send>(
    log_records: &Bound<'_, PyList>,
    work: impl FnOnce() -> Result<T, Error> + Send,
) -> PyResult<T> {
    let py = log_records.py();
    let (result, records) = py.detach(|| capture_logs(work));
    records.into_iter().try_for_each(|record| log_records.append(record))?;
    result.map_err(|error| to_py_err(py, &error))
}
