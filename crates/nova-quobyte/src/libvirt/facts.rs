//! What libvirt knows of the host that an I/O policy depends on.

use std::path::PathBuf;
use std::time::Duration;

use quobyte_volume::host::qemu;
use quobyte_volume::pure::io_policy::{Choice, HostFacts, IoMode, IoModeOption, Version};

use super::{Hypervisor, failed, within};
use crate::error::Error;

/// How long libvirt is waited for where a volume can do without its word: its first answer after a start takes it some
/// seconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// The facts as far as the libvirt at `uri` tells them, each of whose calls gets `limit`, but no more than 5 s. Without
/// them a volume can still be connected.
pub(crate) fn host_facts(uri: &str, limit: Duration, io_mode: IoModeOption) -> HostFacts {
    let libvirt = Hypervisor::open(uri, limit.min(PATIENCE));
    libvirt.and_then(|libvirt| libvirt.facts(io_mode)).unwrap_or_else(|error| {
        tracing::info!(%error, "the versions of libvirt and QEMU are not known");
        HostFacts::default()
    })
}

impl Hypervisor {
    /// Its version and that of the QEMU it runs. Whether QEMU has io_uring is asked only where `io_mode` wants it.
    ///
    /// # Errors
    /// When libvirt does not tell the versions.
    pub(crate) fn facts(&self, io_mode: IoModeOption) -> Result<HostFacts, Error> {
        let connection = self.connection.clone();
        let doing = "asking for the versions of libvirt and QEMU";
        let versions = within(self.limit, doing, move || {
            connection
                .hyp_version()
                .and_then(|qemu| Ok((qemu, connection.lib_version()?)))
                .map_err(|error| failed(doing.to_owned(), &error))
        });
        let (qemu, libvirt) = versions?;
        let mut facts = HostFacts::new(Some(Version::from_libvirt(qemu)));
        facts.libvirt_version = Some(Version::from_libvirt(libvirt));
        if io_mode == Choice::Fixed(IoMode::IoUring) {
            facts.io_uring = self.emulator()?.and_then(|emulator| match qemu::has_io_uring(&emulator) {
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
    fn emulator(&self) -> Result<Option<PathBuf>, Error> {
        let connection = self.connection.clone();
        let doing = "asking for QEMU's program";
        let capabilities = within(self.limit, doing, move || {
            let capabilities = connection.domain_capabilities(None, None, None, None, 0);
            capabilities.map_err(|error| failed(doing.to_owned(), &error))
        });
        qemu::emulator(&capabilities?)
            .map_err(|error| Error::Libvirt { doing: doing.to_owned(), message: error.to_string() })
    }
}
