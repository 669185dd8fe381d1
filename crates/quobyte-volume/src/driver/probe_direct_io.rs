//! How a mount does direct I/O: found out once for each mount, and put on record.

use super::error::Error;
use super::operation::ShareOperation;
use crate::host::Host;
use crate::host::share::ShareError;
use crate::mount::MountError;
use crate::pure::image::Layer;
use crate::pure::io_policy::{DirectIo, Probe};
use crate::pure::mount_path::MountPath;
use crate::pure::record::ShareRecord;

impl ShareOperation<'_> {
    /// How the record's mount does direct I/O. A mount that was not probed before is probed by the image at the top of
    /// the chain, and tuned by what that shows.
    pub(super) fn probe_once(&mut self, chain: &[Layer]) -> Result<Option<Probe>, Error> {
        if self.record.probe.is_none() {
            self.record.probe = probe_direct_io(self.host, &self.record.mount_path, chain)?;
            raise_max_background(self.host, &self.record);
        }
        Ok(self.record.probe)
    }
}

/// How the mount does direct I/O, as the image at the top of the chain shows; `None` where that cannot be found out,
/// which is no reason to refuse an image.
pub(super) fn probe_direct_io(
    host: &dyn Host,
    at: &MountPath,
    chain: &[Layer],
) -> Result<Option<Probe>, Error> {
    let Some(image) = chain.first() else { return Ok(None) };
    match host.probe_direct_io(at, image) {
        Ok(probe) => Ok(Some(probe)),
        Err(
            source @ (ShareError::Dead { .. }
            | ShareError::Hung { .. }
            | ShareError::Helper { .. }
            | ShareError::State(_)),
        ) => Err(MountError::Unreadable { at: at.clone(), source }.into()),
        Err(error) => {
            tracing::info!(mount_path = %at, %error, "the mount cannot be probed");
            Ok(None)
        }
    }
}

/// Where direct I/O is asynchronous, has the kernel let enough of it be under way at once. Where that cannot be had, the
/// mount is slower with many requests, and no less right; an operator is told.
fn raise_max_background(host: &dyn Host, record: &ShareRecord) {
    let (Some(mount), Some(Probe { direct_io: DirectIo::Asynchronous, .. })) = (&record.mount, record.probe)
    else {
        return;
    };
    let at = &record.mount_path;
    match host.raise_max_background(mount) {
        Ok(None) => {}
        Ok(Some((from, to))) => {
            tracing::info!(mount_path = %at, "raised the limit of background requests from {from} to {to}");
        }
        Err(error) => {
            let remedy = "have Quobyte's client ask for a max_background of 256";
            tracing::warn!(mount_path = %at, %error, remedy, "guests may be slowed by the limit of background requests");
        }
    }
}
