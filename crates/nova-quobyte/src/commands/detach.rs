//! `detach`

mod find_target;

use std::time::Duration;

use quobyte_volume::driver::{DisconnectOutcome, Driver, StillMounted};
use quobyte_volume::pure::disk::TargetDev;
use quobyte_volume::pure::domain::DomainDisk;
use quobyte_volume::pure::mount_path::MountPath;
use quobyte_volume::pure::record::Detaching;
use serde_json::json;

use self::find_target::{find_target, image_of};
use super::guest_names::GuestNames;
use super::metadata::forget_disk;
use super::present::{disconnect_json, summary};
use crate::error::Error;
use crate::libvirt::{DeviceEvents, Guest, Hypervisor, Removed};
use crate::output::Answer;
use crate::progress;
use crate::settings::Settings;

pub(super) fn run(settings: Settings, domain: &str, disk: &str, timeout: Duration) -> Result<Answer, Error> {
    let hypervisor = settings.hypervisor()?;
    let for_people = settings.for_people();
    let driver = settings.driver()?;
    let guest = hypervisor.guest(domain)?;
    let target = &find_target(&driver, &guest, disk)?;
    // Another detach of the same disk may take it out while this one waits, for the guest as long as this one would.
    let _detaching = driver.lock_disk(guest.instance, target, timeout)?;
    let guest = hypervisor.guest(domain)?;
    let live = find_disk(guest.live_disks()?, target.as_str());
    let persistent = find_disk(guest.persistent_disks()?, target.as_str());
    if live.is_none()
        && let Some((at, begun)) = half_detached(&driver, &guest, target, persistent.as_ref())?
    {
        forget_disk(&driver, &guest, target, guest.persistent && !begun.keeps_other);
        let disconnected = driver.finish_detach(&at, &begun)?;
        return Ok(answer(&driver, &guest, &begun, &disconnected, for_people));
    }
    guest.check_not_saved()?;
    let disk = live.as_ref().or(persistent.as_ref()).ok_or_else(|| not_found(&guest, target))?;
    let image = image_of(&driver, disk).ok_or_else(|| Error::NotQuobyteDisk {
        domain: guest.name.clone(),
        target: target.to_string(),
        base: driver.mount_point_base().to_owned(),
    })?;
    // The configuration may give the name to another disk at the next start.
    let (persistent, other): (Vec<_>, Vec<_>) =
        persistent.iter().partition(|other| image_of(&driver, other).as_ref() == Some(&image));
    let (at, name) = image;
    let detaching = Detaching {
        instance: guest.instance,
        target: target.clone(),
        name,
        volume: disk.volumes().first().copied(),
        keeps_other: !other.is_empty(),
    };
    driver.begin_detach(&at, &detaching)?;

    let mut removed = Removed::AlreadyGone;
    if let Some(live) = &live {
        let unplugged =
            progress::with_spinner(format!("waiting for {} to let go of {target}", guest.name), || {
                unplug_and_wait(&hypervisor, &guest, live, timeout)
            });
        if let Err(Error::DetachRefused { .. }) = &unplugged
            && let Err(error) = driver.cancel_detach(&at, &detaching)
        {
            tracing::warn!(%target, %error, "the detach stays on record, though the guest keeps the disk");
        }
        removed = unplugged?;
    }
    // Last: had the guest let go after the deadline, the next detach would still find what is to be done.
    for persistent in persistent {
        if guest.detach_persistent(persistent)? == Removed::Now {
            removed = Removed::Now;
        }
    }
    forget_disk(&driver, &guest, target, guest.persistent && !detaching.keeps_other);
    let disconnected = driver.finish_detach(&at, &detaching)?;
    // Another program had taken the disk out before, and disconnected the volume.
    if removed == Removed::AlreadyGone && !disconnected.changed {
        return Err(not_found(&guest, target));
    }
    Ok(answer(&driver, &guest, &detaching, &disconnected, for_people))
}

/// The detach of that disk that has taken it out and come no further. `configured` is the disk that the guest's next start
/// gives the name to.
fn half_detached(
    driver: &Driver,
    guest: &Guest,
    target: &TargetDev,
    configured: Option<&DomainDisk>,
) -> Result<Option<(MountPath, Detaching)>, Error> {
    let begun = driver.begun_detach(guest.instance, target)?;
    Ok(begun.filter(|(at, begun)| {
        configured.is_none_or(|disk| {
            let is_same =
                image_of(driver, disk).is_some_and(|image| image == (at.clone(), begun.name.clone()));
            begun.keeps_other && !is_same
        })
    }))
}

fn answer(
    driver: &Driver,
    guest: &Guest,
    detaching: &Detaching,
    disconnected: &DisconnectOutcome,
    for_people: bool,
) -> Answer {
    let Detaching { target, name, .. } = detaching;
    // The attachment stays where another disk of the domain has the image.
    let has_other_disk = !disconnected.changed
        && matches!(&disconnected.still_mounted, Some(StillMounted::Attachments(others))
            if others.iter().any(|other| other.instance == guest.instance && other.name == *name));
    let done = if has_other_disk {
        "the volume stays connected, as another disk of the domain has it".to_owned()
    } else {
        let names =
            if for_people { GuestNames::of_users(driver, disconnected) } else { GuestNames::default() };
        format!("volume {}", summary(disconnected, &names))
    };
    let mut json = disconnect_json(disconnected);
    json["domain"] = json!(guest.name);
    json["target"] = json!(target.as_str());
    Answer::new(json, format!("{target} detached from {}; {done}", guest.name))
}

fn not_found(guest: &Guest, target: &TargetDev) -> Error {
    Error::DiskNotFound { domain: guest.name.clone(), target: target.to_string() }
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
