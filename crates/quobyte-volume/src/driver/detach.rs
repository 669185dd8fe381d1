//! A detach of a guest's disk, from before the disk is taken out until its volume is disconnected. It is on record meanwhile,
//! so that whoever repeats it finishes it.

use super::context::Context;
use super::disconnect::{Described, DisconnectOutcome, DisconnectRequest, disconnect, lock_recorded};
use super::error::Error;
use super::release::Force;
use crate::host::records::LockedShare;
use crate::pure::connection::InstanceId;
use crate::pure::disk::TargetDev;
use crate::pure::mount_path::MountPath;
use crate::pure::record::{Detaching, ShareRecord};

/// Puts on record that somebody is to take the disk out: see [`Driver::begin_detach`](super::Driver::begin_detach).
pub(super) fn begin(context: &Context, at: &MountPath, detaching: &Detaching) -> Result<(), Error> {
    let (_, lock, record) = lock_recorded(context, &request(at, detaching))?;
    change(&lock, record, |record| record.begin_detach(detaching.clone()))
}

/// Takes it off the record: see [`Driver::cancel_detach`](super::Driver::cancel_detach).
pub(super) fn cancel(context: &Context, at: &MountPath, detaching: &Detaching) -> Result<(), Error> {
    let (_, lock, record) = lock_recorded(context, &request(at, detaching))?;
    change(&lock, record, |record| record.end_detach(detaching))
}

/// Disconnects the volume of a disk that is out: see [`Driver::finish_detach`](super::Driver::finish_detach).
pub(super) fn finish(
    context: &Context,
    at: &MountPath,
    detaching: &Detaching,
) -> Result<DisconnectOutcome, Error> {
    let disconnected = disconnect(context, &request(at, detaching))?;
    // With its share's record it has gone.
    if disconnected.still_mounted.is_some() {
        let lock = context.lock(&disconnected.mount_path)?;
        let record = lock.load()?;
        change(&lock, record, |record| record.end_detach(detaching))?;
    }
    Ok(disconnected)
}

/// A detach that was begun: see [`Driver::begun_detach`](super::Driver::begun_detach).
pub(super) fn begun(
    context: &Context,
    instance: InstanceId,
    target: &TargetDev,
) -> Result<Option<(MountPath, Detaching)>, Error> {
    Ok(begun_of(context, instance)?.into_iter().find(|(_, known)| known.target == *target))
}

/// Every one of that guest that was begun: see [`Driver::begun_detaches`](super::Driver::begun_detaches).
pub(super) fn begun_of(
    context: &Context,
    instance: InstanceId,
) -> Result<Vec<(MountPath, Detaching)>, Error> {
    let records = context.state.records()?.into_iter().flatten();
    let of_record = |record: ShareRecord| {
        let known = record.detaching.into_iter().filter(|known| known.instance == instance);
        known.map(move |known| (record.mount_path.clone(), known)).collect::<Vec<_>>()
    };
    Ok(records.flat_map(of_record).collect())
}

fn request<'a>(at: &'a MountPath, detaching: &'a Detaching) -> DisconnectRequest<'a> {
    DisconnectRequest {
        at,
        export: None,
        name: &detaching.name,
        volume: detaching.volume,
        instance: detaching.instance,
        described: Described::OtherDisk,
        force: Force::No,
    }
}

/// A share without a record has nothing that could be left half done.
fn change(
    lock: &LockedShare,
    record: Option<ShareRecord>,
    change: impl FnOnce(&mut ShareRecord),
) -> Result<(), Error> {
    let Some(before) = record else { return Ok(()) };
    let mut record = before.clone();
    change(&mut record);
    if record != before {
        lock.store(&record)?;
    }
    Ok(())
}
