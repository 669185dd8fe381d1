//! disconnect: remove the attachment from the record, and release the share.

use super::context::Context;
use super::error::Error;
use super::operation::ShareOperation;
use super::release::{Detaching, Force, StillMounted};
use crate::mount::top_mount;
use crate::pure::connection::{ImageName, InstanceId, VolumeId};
use crate::pure::mount_path::MountPath;
use crate::pure::record::Attachment;

/// What a disconnect did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisconnectOutcome {
    /// Where the share is, or was, mounted.
    pub mount_path: MountPath,
    /// Whether the volume was connected until now.
    pub changed: bool,
    /// Why the share is still mounted; `None` when it is not.
    pub still_mounted: Option<StillMounted>,
}

/// Disconnects a volume: see [`Driver::disconnect`](super::Driver::disconnect).
pub(super) fn disconnect(
    context: &Context,
    at: &MountPath,
    volume: VolumeId,
    instance: InstanceId,
    force: Force,
) -> Result<DisconnectOutcome, Error> {
    let mut mount_path = at.clone();
    let mut lock = context.lock(at)?;
    let mut record = lock.load()?;
    if !record.as_ref().is_some_and(|record| record.has_attachment(instance, volume))
        && let Some(elsewhere) = recorded_mount_path(context, volume, instance)?
    {
        drop(lock);
        mount_path = elsewhere;
        lock = context.lock(&mount_path)?;
        record = lock.load()?;
    }
    let (changed, still_mounted) = match record {
        None => (false, unrecorded_mount(context, &mount_path)?),
        Some(record) => {
            let mut operation = ShareOperation::new(context, &lock, Some(record.clone()), record);
            operation.disconnect(volume, instance, force)?
        }
    };
    Ok(DisconnectOutcome { mount_path, changed, still_mounted })
}

/// Disconnects a volume known by its file: see [`Driver::disconnect_file`](super::Driver::disconnect_file).
pub(super) fn disconnect_file(
    context: &Context,
    at: &MountPath,
    name: &ImageName,
    instance: InstanceId,
    fallback: Option<VolumeId>,
    force: Force,
) -> Result<DisconnectOutcome, Error> {
    let recorded = context.lock(at)?.load()?.and_then(|record| {
        let is_of_file = |other: &Attachment| other.instance == instance && other.name == *name;
        record.attachments.into_iter().find(is_of_file)
    });
    match recorded.map(|attachment| attachment.volume).or(fallback) {
        Some(volume) => disconnect(context, at, volume, instance, force),
        None => {
            let still_mounted = unrecorded_mount(context, at)?;
            Ok(DisconnectOutcome { mount_path: at.clone(), changed: false, still_mounted })
        }
    }
}

impl ShareOperation<'_> {
    /// Removes the attachment and releases the share. Returns whether the attachment was on record, and why the share
    /// stays mounted.
    fn disconnect(
        &mut self,
        volume: VolumeId,
        instance: InstanceId,
        force: Force,
    ) -> Result<(bool, Option<StillMounted>), Error> {
        let recorded = self.record.detach(instance, volume);
        let changed = recorded.is_some();
        if changed {
            self.store()?;
        }
        let detaching = Detaching { instance, volume, recorded };
        Ok((changed, self.release(Some(&detaching), force)?))
    }
}

/// The mount path at which a record says the volume is connected.
fn recorded_mount_path(
    context: &Context,
    volume: VolumeId,
    instance: InstanceId,
) -> Result<Option<MountPath>, Error> {
    let mut usable = context.state.records()?.into_iter().flatten();
    Ok(usable.find(|record| record.has_attachment(instance, volume)).map(|record| record.mount_path))
}

/// Why what is mounted at `at` stays there: no record says that it may be taken away.
fn unrecorded_mount(context: &Context, at: &MountPath) -> Result<Option<StillMounted>, Error> {
    Ok(top_mount(context.host(), at, None)?.map(|_| StillMounted::NotRecorded))
}
