//! `detach`

use std::time::Duration;

use quobyte_volume::driver::Force;
use quobyte_volume::pure::domain::DomainDisk;
use serde_json::json;

use super::disconnect::{describe, sentence};
use crate::error::Error;
use crate::libvirt::{DeviceEvents, Guest, Hypervisor};
use crate::output::Answer;
use crate::progress;
use crate::settings::Settings;

pub(super) fn run(settings: Settings, domain: &str, target: &str, limit: Duration) -> Result<Answer, Error> {
    let hypervisor = settings.hypervisor()?;
    let driver = settings.driver()?;
    let guest = hypervisor.guest(domain)?;
    let live = find(guest.live_disks()?, target);
    let persistent = find(guest.persistent_disks()?, target);
    let disk = live
        .as_ref()
        .or(persistent.as_ref())
        .ok_or_else(|| Error::DiskNotFound { domain: guest.name.clone(), target: target.to_owned() })?;
    // The configuration may give the name to another disk at the next start.
    let persistent = persistent.as_ref().filter(|persistent| persistent.source == disk.source);
    let (mount_path, name) =
        disk.source.as_deref().and_then(|source| driver.locate_image(source)).ok_or_else(|| {
            Error::NotOurs {
                domain: guest.name.clone(),
                target: target.to_owned(),
                base: driver.mount_point_base().to_owned(),
            }
        })?;

    if let Some(live) = &live {
        progress::during(format!("waiting for {} to let go of {target}", guest.name), || {
            take_out_of_guest(&hypervisor, &guest, live, limit)
        })?;
    }
    // Last: had the guest let go after the deadline, the next detach would still find what is to be done.
    if let Some(persistent) = persistent {
        guest.forget(persistent)?;
    }
    let disconnected =
        driver.disconnect_file(&mount_path, &name, guest.instance, disk.volume(), Force::No)?;

    let mut json = describe(&disconnected);
    json["domain"] = json!(guest.name);
    json["target"] = json!(target);
    Ok(Answer {
        json,
        text: format!("{target} detached from {}; volume {}", guest.name, sentence(&disconnected)),
    })
}

fn find(disks: Vec<DomainDisk>, target: &str) -> Option<DomainDisk> {
    disks.into_iter().find(|disk| disk.target == target)
}

/// Asks a running guest for the disk, and waits until it has let go.
fn take_out_of_guest(
    hypervisor: &Hypervisor,
    guest: &Guest,
    disk: &DomainDisk,
    limit: Duration,
) -> Result<(), Error> {
    let events = DeviceEvents::of(guest, hypervisor, disk.alias.clone(), limit)?;
    guest.ask_for(disk, limit)?;
    while find(guest.live_disks()?, &disk.target).is_some() {
        if events.refused() {
            return Err(Error::Refused { target: disk.target.clone() });
        }
        if events.is_late() {
            return Err(Error::StillInUse { target: disk.target.clone() });
        }
        events.wait()?;
    }
    Ok(())
}
