//! What libvirt knows of the host that an I/O policy depends on.

use std::path::PathBuf;
use std::time::Duration;

use quobyte_volume::host::qemu;
use quobyte_volume::pure::io_policy::{Choice, HypervisorFacts, IoMode, IoModeOption, Version};

use super::{Hypervisor, call_with_timeout, libvirt_error};
use crate::error::Error;

/// How long a caller waits for facts that a volume can be connected without. After a start libvirt takes some seconds
/// to answer its first call.
const FACTS_TIMEOUT: Duration = Duration::from_secs(5);

/// The facts as far as the libvirt at `uri` tells them, each of whose calls gets `timeout`, but no more than 5 s.
/// Without them a volume can still be connected.
pub(crate) fn hypervisor_facts(uri: &str, timeout: Duration, io_mode: IoModeOption) -> HypervisorFacts {
    let libvirt = Hypervisor::open(uri, timeout.min(FACTS_TIMEOUT));
    libvirt.and_then(|libvirt| libvirt.facts(io_mode)).unwrap_or_else(|error| {
        tracing::info!(%error, "the versions of libvirt and QEMU are not known");
        HypervisorFacts::default()
    })
}

impl Hypervisor {
    /// Its version and that of the QEMU it runs. Whether QEMU has io_uring is asked only where `io_mode` wants it.
    ///
    /// # Errors
    /// When libvirt does not tell the versions.
    pub(crate) fn facts(&self, io_mode: IoModeOption) -> Result<HypervisorFacts, Error> {
        let connection = self.connection.clone();
        let operation = "asking for the versions of libvirt and QEMU";
        let versions = call_with_timeout(self.timeout, operation, move || {
            connection
                .hyp_version()
                .and_then(|qemu| Ok((qemu, connection.lib_version()?)))
                .map_err(|error| libvirt_error(operation.to_owned(), &error))
        });
        let (qemu, libvirt) = versions?;
        let mut facts = HypervisorFacts::new(Some(Version::from_libvirt(qemu)));
        facts.libvirt_version = Some(Version::from_libvirt(libvirt));
        if io_mode == Choice::Fixed(IoMode::IoUring) {
            facts.io_uring = self.default_emulator()?.and_then(|emulator| match qemu::has_io_uring(&emulator) {
                Ok(answer) => Some(answer),
                Err(error) => {
                    tracing::info!(emulator = %emulator.display(), %error, "QEMU cannot be asked for io_uring");
                    None
                }
            });
        }
        Ok(facts)
    }

    /// The QEMU that a domain has by default.
    fn default_emulator(&self) -> Result<Option<PathBuf>, Error> {
        let connection = self.connection.clone();
        let operation = "asking for QEMU's program";
        let capabilities = call_with_timeout(self.timeout, operation, move || {
            let capabilities = connection.domain_capabilities(None, None, None, None, 0);
            capabilities.map_err(|error| libvirt_error(operation.to_owned(), &error))
        });
        qemu::emulator_path(&capabilities?)
            .map_err(|error| Error::Libvirt { operation: operation.to_owned(), message: error.to_string() })
    }
}
