//! What a domain's metadata says of its disks, for libvirt's hook.

use quobyte_volume::driver::Driver;
use quobyte_volume::pure::connection::ConnectionInfo;
use quobyte_volume::pure::disk::TargetDev;

use crate::error::Error;
use crate::libvirt::Guest;

/// Has the domain's metadata say what a disk is that it has or is about to get; `live` says that it has been started
/// meanwhile. A disk that nobody could connect the volume of would keep the domain from its next start.
pub(super) fn describe_disk(
    driver: &Driver,
    guest: &Guest,
    info: &ConnectionInfo,
    target: &TargetDev,
    live: bool,
) -> Result<(), Error> {
    let _lock = driver.lock_metadata(guest.instance)?;
    guest.change_metadata(guest.active || live, guest.persistent, |volumes| volumes.insert(target, info))
}

/// Has the domain's metadata say nothing of a disk that it does not have, in its configuration only where `configured`. What
/// cannot be done harms nobody: only disks that a domain has are connected by it.
pub(super) fn forget_disk(driver: &Driver, guest: &Guest, target: &TargetDev, configured: bool) {
    let forgotten = driver
        .lock_metadata(guest.instance)
        .map_err(Error::from)
        .and_then(|_lock| guest.change_metadata(guest.active, configured, |volumes| volumes.remove(target)));
    if let Err(error) = forgotten {
        tracing::warn!(domain = %guest.name, %target, %error, "the domain's metadata still describes the disk");
    }
}
