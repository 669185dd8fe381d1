//! hold: a share that is mounted for somebody who is no guest. Nothing of it is on record but the mount: an open descriptor
//! keeps the kernel from unmounting, and goes with its process, however that ends.

use super::context::Context;
use super::error::Error;
use super::operation::ShareOperation;
use crate::host::HeldMount;
use crate::mount::MountError;
use crate::pure::connection::Export;
use crate::pure::mount_path::MountPath;
use crate::pure::record::ShareRecord;

/// A share that stays mounted while this value lives, unless its client dies or somebody forces the mount away.
#[derive(Debug)]
pub struct HeldShare {
    /// Where it is mounted.
    pub mount_path: MountPath,
    /// What keeps it mounted.
    pub mount: HeldMount,
}

/// Mounts a share and keeps it mounted: see [`Driver::hold`](super::Driver::hold).
pub(super) fn hold(context: &Context, export: &Export) -> Result<HeldShare, Error> {
    let at = context.mount_path(export);
    context.check_mount_table_line(&at.resolved(), export)?;
    let lock = context.lock(&at)?;
    let before = lock.load()?;
    let record = match &before {
        Some(record) => record.clone(),
        None => ShareRecord { releases: lock.releases()?, ..ShareRecord::new(export.clone(), at.clone())? },
    };
    let mut operation = ShareOperation::new(context, &lock, before, record);
    match operation.hold() {
        Ok(mount) => Ok(HeldShare { mount_path: at, mount }),
        Err(cause) => Err(operation.roll_back(&at, cause)),
    }
}

impl ShareOperation<'_> {
    /// Makes sure of the mount, and holds it before anybody else may unmount it.
    fn hold(&mut self) -> Result<HeldMount, Error> {
        let mount = self.ensure_mounted(None)?;
        if self.before.as_ref() != Some(&self.record) {
            self.rollback.record_written = true;
            self.store()?;
        }
        let at = &self.record.mount_path;
        let held = self.host.hold_mount(at, &mount);
        Ok(held.map_err(|source| MountError::NotHeld { at: at.clone(), source })?)
    }
}
