//! The driver as Nova's class sees it.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyList;
use quobyte_volume::driver::{self, Described, DisconnectRequest, Error, Force};
use quobyte_volume::error::Code;
use quobyte_volume::host::LinuxHost;
use quobyte_volume::host::qemu;
use quobyte_volume::host::records::StateDir;
use quobyte_volume::pure::connection::{ConnectionInfo, InstanceId, VolumeReference};
use quobyte_volume::pure::io_policy::HypervisorFacts;

use crate::connection_info::to_wire_value;
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
    domain_events: DomainEvents,
}

/// How often Nova's libvirt has told of a domain that was started, stopped, defined or undefined.
#[derive(Default)]
struct DomainEvents {
    count: Mutex<u64>,
    changed: Condvar,
}

#[pymethods]
impl NativeDriver {
    /// The methods of `domains` are called, from any thread, to learn who uses a share.
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
            driver::Driver::new(config, state, Box::new(host), Box::new(NovaGuests::new(domains)))
        })?;
        Ok(Self { driver, facts, domain_events: DomainEvents::default() })
    }

    fn connect(
        &self,
        log_records: &Bound<'_, PyList>,
        connection_info: &Bound<'_, PyAny>,
        instance: &str,
    ) -> PyResult<Connected> {
        let instance = parse_instance(log_records.py(), instance)?;
        self.call(log_records, connection_info, |info| {
            self.driver.connect(info, instance, &self.facts).map(Connected::from)
        })
    }

    fn disk(&self, log_records: &Bound<'_, PyList>, connection_info: &Bound<'_, PyAny>) -> PyResult<Disk> {
        self.call(log_records, connection_info, |info| {
            let image = self.driver.inspect_image(info, &self.facts)?;
            let at = self.driver.mount_path(&info.export);
            Ok(Disk::new(info, &at, &image.chain, &image.decision.policy))
        })
    }

    fn disconnect(
        &self,
        log_records: &Bound<'_, PyList>,
        connection_info: &Bound<'_, PyAny>,
        instance: &str,
    ) -> PyResult<DisconnectOutcome> {
        let instance = parse_instance(log_records.py(), instance)?;
        let wire = to_wire_value(connection_info);
        run_detached(log_records, || {
            let VolumeReference { export, name, volume_id } = VolumeReference::from_wire(&wire?)?;
            let (at, force) = (self.driver.mount_path(&export), Force::Leave);
            let request = DisconnectRequest {
                at: &at,
                export: Some(&export),
                name: &name,
                volume: Some(volume_id),
                instance,
                described: Described::OutOfDate,
                force,
            };
            self.driver.disconnect(&request).map(DisconnectOutcome::from)
        })
    }

    fn extend(
        &self,
        log_records: &Bound<'_, PyList>,
        connection_info: &Bound<'_, PyAny>,
        size: u64,
    ) -> PyResult<u64> {
        self.call(log_records, connection_info, |info| self.driver.extend(info, size))
    }

    fn reconcile(&self, log_records: &Bound<'_, PyList>) -> PyResult<Vec<Finding>> {
        let findings = run_detached(log_records, || self.driver.reconcile(false))?;
        Ok(findings.iter().map(Finding::from).collect())
    }

    fn reconcile_share(
        &self,
        log_records: &Bound<'_, PyList>,
        mount_path: PathBuf,
    ) -> PyResult<Vec<Finding>> {
        let findings = run_detached(log_records, || match self.driver.mount_path_at(&mount_path) {
            Some(at) => self.driver.reconcile_share(&at),
            None => Ok(Vec::new()),
        })?;
        Ok(findings.iter().map(Finding::from).collect())
    }

    /// Wakes whoever waits for a domain event. Neither waits nor logs, so that libvirt's own thread may call it.
    fn note_domain_event(&self) {
        *self.domain_events.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.domain_events.changed.notify_all();
    }

    /// Waits for a domain event after the one of number `seen`, at most so many seconds. Returns the latest one's number.
    fn wait_for_domain_event(&self, log_records: &Bound<'_, PyList>, seen: u64, seconds: f64) -> u64 {
        let timeout = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        log_records.py().detach(|| {
            let count = self.domain_events.count.lock().unwrap_or_else(PoisonError::into_inner);
            let waited =
                self.domain_events.changed.wait_timeout_while(count, timeout, |count| *count <= seen);
            *waited.unwrap_or_else(PoisonError::into_inner).0
        })
    }
}

impl NativeDriver {
    fn call<T: Send>(
        &self,
        log_records: &Bound<'_, PyList>,
        connection_info: &Bound<'_, PyAny>,
        work: impl FnOnce(&ConnectionInfo) -> Result<T, Error> + Send,
    ) -> PyResult<T> {
        let wire = to_wire_value(connection_info);
        run_detached(log_records, || work(&ConnectionInfo::from_wire(&wire?)?))
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
