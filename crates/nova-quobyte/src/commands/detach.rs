//! `detach`

use std::time::Duration;

use quobyte_volume::driver::{Described, DisconnectRequest, Force, StillMounted};
use quobyte_volume::pure::disk::TargetDev;
use quobyte_volume::pure::domain::DomainDisk;
use serde_json::json;

use super::present::{disconnect_json, summary};
use crate::error::Error;
use crate::libvirt::{DeviceEvents, Guest, Hypervisor, Removed};
use crate::output::Answer;
use crate::progress;
use crate::settings::Settings;

pub(super) fn run(
    settings: Settings,
    domain: &str,
    target: &TargetDev,
    timeout: Duration,
) -> Result<Answer, Error> {
    let hypervisor = settings.hypervisor()?;
    let driver = settings.driver()?;
    // Another detach of the same disk may take it out while this one waits, for the guest as long as this one would.
    let _detaching = driver.lock_disk(hypervisor.guest(domain)?.instance, target, timeout)?;
    let target = target.as_str();
    let guest = hypervisor.guest(domain)?;
    guest.check_not_saved()?;
    let live = find_disk(guest.live_disks()?, target);
    let persistent = find_disk(guest.persistent_disks()?, target);
    let not_found = || Error::DiskNotFound { domain: guest.name.clone(), target: target.to_owned() };
    let disk = live.as_ref().or(persistent.as_ref()).ok_or_else(not_found)?;
    let image_of = |disk: &DomainDisk| disk.source.as_deref().and_then(|source| driver.locate_image(source));
    let image = image_of(disk).ok_or_else(|| Error::NotQuobyteDisk {
        domain: guest.name.clone(),
        target: target.to_owned(),
        base: driver.mount_point_base().to_owned(),
    })?;
    // The configuration may give the name to another disk at the next start.
    let persistent = persistent.as_ref().filter(|other| image_of(other).as_ref() == Some(&image));
    let (mount_path, name) = image;

    let mut removed = Removed::AlreadyGone;
    if let Some(live) = &live {
        removed =
            progress::with_spinner(format!("waiting for {} to let go of {target}", guest.name), || {
                unplug_and_wait(&hypervisor, &guest, live, timeout)
            })?;
    }
    // Last: had the guest let go after the deadline, the next detach would still find what is to be done.
    if let Some(persistent) = persistent
        && guest.detach_persistent(persistent)? == Removed::Now
    {
        removed = Removed::Now;
    }
    let disconnected = driver.disconnect(&DisconnectRequest {
        at: &mount_path,
        export: None,
        name: &name,
        volume: disk.volumes().first().copied(),
        instance: guest.instance,
        described: Described::OtherDisk,
        force: Force::No,
    })?;
    // Another program had taken the disk out before, and disconnected the volume.
    if removed == Removed::AlreadyGone && !disconnected.changed {
        return Err(not_found());
    }

    // The attachment stays where another disk of the domain has the image.
    let has_other_disk = !disconnected.changed
        && matches!(&disconnected.still_mounted, Some(StillMounted::Attachments(others))
            if others.iter().any(|other| other.instance == guest.instance && other.name == name));
    let done = if has_other_disk {
        "the volume stays connected, as another disk of the domain has it".to_owned()
    } else {
        format!("volume {}", summary(&disconnected))
    };
    let mut json = disconnect_json(&disconnected);
    json["domain"] = json!(guest.name);
    json["target"] = json!(target);
    Ok(Answer { json, text: format!("{target} detached from {}; {done}", guest.name) })
}

fn find_disk(disks: Vec<DomainDisk>, target: &str) -> Option<DomainDisk> {
    disks.into_iter().find(|disk| disk.target == target)
}

/// Requests that a running guest unplug the disk, and waits until it has. Tells whether the disk was still there once that
/// was requested.
fn unplug_and_wait(
    hypervisor: &Hypervisor,
    guest: &Guest,
    disk: &DomainDisk,
    timeout: Duration,
) -> Result<Removed, Error> {
    let events = DeviceEvents::subscribe(guest, hypervisor, disk.alias.clone(), timeout)?;
    let mut removed = guest.request_unplug(disk, timeout)?;
    while find_disk(guest.live_disks()?, &disk.target).is_some() {
        // An earlier request may be what the guest answers.
        removed = Removed::Now;
        if events.removal_refused() {
            return Err(Error::DetachRefused { target: disk.target.clone() });
        }
        if events.deadline_passed() {
            return Err(Error::DetachTimeout { target: disk.target.clone() });
        }
        events.wait()?;
    }
    Ok(removed)
}
