//! `attach`

use quobyte_volume::driver::{Connected, Driver, Force};
use quobyte_volume::pure::connection::{ConnectionInfo, Export, ImageName};
use quobyte_volume::pure::disk::{Bus, Disk, DiskTarget, TargetDev};
use quobyte_volume::pure::domain::DomainDisk;
use serde_json::{Map, Value, json};

use super::input::read_connection_info;
use super::present::{display_value, volume_rows, warn_of_lost_attachments};
use crate::cli::Volume;
use crate::error::Error;
use crate::libvirt::Guest;
use crate::output::Answer;
use crate::progress;
use crate::settings::Settings;

/// Parses the volume that the command line names.
pub(super) fn parse_volume(volume: &Volume) -> Result<ConnectionInfo, Error> {
    match volume {
        Volume { connection_info: Some(file), .. } => read_connection_info(file),
        Volume { export, name, format, .. } => Ok(ConnectionInfo::new(
            Export::parse(export.as_deref().unwrap_or_default())?,
            ImageName::parse(name.as_deref().unwrap_or_default())?,
            format.as_deref().unwrap_or_default().parse()?,
        )),
    }
}

pub(super) fn run(
    settings: Settings,
    domain: &str,
    info: &ConnectionInfo,
    target: Option<&TargetDev>,
    bus: Bus,
) -> Result<Answer, Error> {
    let hypervisor = settings.hypervisor()?;
    let io_mode = settings.io_mode();
    let driver = settings.driver()?;
    let guest = hypervisor.guest(domain)?;
    let device_path = driver.device_path(&info.export, &info.name);
    let has_image = |disk: &&DomainDisk| disk.source.as_ref() == Some(&device_path);
    let (live, persistent) = (guest.live_disks()?, guest.persistent_disks()?);
    // Another tool, or a restart, may have left the disk in the running domain or in its configuration alone: then it
    // is added to the other.
    let attach_live = guest.active && !live.iter().any(|disk| has_image(&disk));
    let attach_persistent = guest.persistent && !persistent.iter().any(|disk| has_image(&disk));
    let disks: Vec<_> = live.into_iter().chain(persistent).collect();
    let dev = choose_target(&guest, &disks, disks.iter().find(has_image), target, bus)?;
    let needs_attach = attach_live || attach_persistent;

    let facts = hypervisor.facts(io_mode)?;
    let is_image_open = guest.active && !attach_live;
    let connected = progress::with_spinner(format!("connecting {}", info.export), || {
        if is_image_open {
            driver.connect_running(info, guest.instance, &facts)
        } else {
            driver.connect(info, guest.instance, &facts)
        }
    })?;
    if needs_attach {
        let target = DiskTarget { dev: dev.clone(), bus, unit: None };
        let result = disk_xml(info, &connected, &target).and_then(|disk| {
            hypervisor.check_mount_visible(&connected.mount_path, &connected.mount)?;
            let message = format!("adding {dev} to {}", guest.name);
            progress::with_spinner(message, || guest.attach(&disk, attach_live, attach_persistent)).map_err(
                |error| hypervisor.explain_open_failure(error, &connected.mount_path, &connected.device_path),
            )
        });
        result.map_err(|cause| match cause {
            // libvirt may still attach the disk.
            Error::AttachUncertain { .. } => cause,
            cause => roll_back(&driver, &guest, info, &connected, cause),
        })?;
    }
    warn_of_lost_attachments(&connected);
    if connected.lost.iter().any(|lost| lost.matches(guest.instance, info.volume_id)) {
        return Err(Error::DiskOnDeadMount { domain: guest.name, target: dev.to_string() });
    }
    Ok(answer(&guest, &dev, info, &connected, needs_attach))
}

/// The requested name, the one that the image has already, or the next free one.
fn choose_target(
    guest: &Guest,
    disks: &[DomainDisk],
    existing: Option<&DomainDisk>,
    requested: Option<&TargetDev>,
    bus: Bus,
) -> Result<TargetDev, Error> {
    match (existing, requested) {
        (Some(disk), Some(requested)) if disk.target != requested.as_str() => {
            Err(Error::AlreadyAttached { domain: guest.name.clone(), target: disk.target.clone() })
        }
        (Some(disk), _) => Ok(TargetDev::parse(&disk.target)?),
        (None, Some(requested)) => Ok(requested.clone()),
        (None, None) => TargetDev::next_free(bus, disks.iter().map(|disk| disk.target.as_str()))
            .ok_or_else(|| Error::NoFreeTarget { domain: guest.name.clone() }),
    }
}

fn disk_xml(info: &ConnectionInfo, connected: &Connected, target: &DiskTarget) -> Result<String, Error> {
    Ok(Disk::new(info, &connected.device_path, &connected.chain, target, &connected.policy)?.to_xml())
}

/// Disconnects the volume if this call connected it. Returns the error to report.
fn roll_back(
    driver: &Driver,
    guest: &Guest,
    info: &ConnectionInfo,
    connected: &Connected,
    cause: Error,
) -> Error {
    if !connected.attached {
        return cause;
    }
    match driver.disconnect(&connected.mount_path, info.volume_id, guest.instance, Force::No) {
        Ok(_) => cause,
        Err(rollback_error) => Error::RollbackFailed { cause: Box::new(cause), rollback_error },
    }
}

fn answer(
    guest: &Guest,
    dev: &TargetDev,
    info: &ConnectionInfo,
    connected: &Connected,
    changed: bool,
) -> Answer {
    let mut json: Map<String, Value> =
        volume_rows(info, connected).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    json.insert("domain".to_owned(), json!(guest.name));
    json.insert("instance".to_owned(), json!(guest.instance.to_string()));
    json.insert("target".to_owned(), json!(dev.as_str()));
    json.insert("changed".to_owned(), json!(changed));
    let done = if changed { "attached" } else { "was attached" };
    let image = connected.device_path.display();
    let (cache, io) = (connected.policy.cache, display_value(&json["io"]));
    let text = format!("{image} {done} to {} as {dev} (cache={cache}, io={io})", guest.name);
    Answer { json: json.into(), text }
}
