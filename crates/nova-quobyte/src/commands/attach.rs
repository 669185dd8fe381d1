//! `attach`

mod plan;

use quobyte_volume::driver::{Connected, Described, DisconnectRequest, Driver, Force};
use quobyte_volume::pure::connection::ConnectionInfo;
use quobyte_volume::pure::disk::{Bus, Disk, DiskTarget, TargetDev};
use quobyte_volume::pure::guests::GuestUse;
use serde_json::{Map, Value, json};

use self::plan::{Plan, check_is_asked_for};
use super::metadata::{describe_disk, forget_disk};
use super::present::{display_value, volume_rows, warn_of_lost_attachments};
use crate::error::{Error, is_locked};
use crate::libvirt::{Guest, Hypervisor};
use crate::output::Answer;
use crate::progress;
use crate::settings::Settings;

/// How often the domain is looked at before whoever keeps changing it has its way.
const MAX_ROUNDS: usize = 50;

pub(super) fn run(
    settings: Settings,
    domain: &str,
    info: &ConnectionInfo,
    target: Option<&TargetDev>,
    bus: Option<Bus>,
) -> Result<Answer, Error> {
    let hypervisor = settings.hypervisor()?;
    let io_mode = settings.io_mode();
    let driver = settings.driver()?;
    let guest = hypervisor.guest(domain)?;
    guest.check_not_saved()?;
    if let Some((found, answer)) = attached_before_snapshot(&driver, &guest, info)? {
        let disks = guest.live_disks()?.into_iter().chain(guest.persistent_disks()?);
        if let Some(disk) = disks.into_iter().find(|disk| disk.target == found) {
            check_is_asked_for(&guest, &disk, target, bus)?;
        }
        return Ok(answer);
    }
    let plan = |guest: &Guest| Plan::make(&driver, guest, info, target, bus);
    let plan_again = || hypervisor.guest(&guest.instance.to_string()).and_then(|guest| plan(&guest));
    let mut current = plan(&guest)?;
    current.check_supported(&hypervisor, &guest)?;

    let facts = hypervisor.facts(io_mode)?;
    let connect = || {
        progress::with_spinner(format!("connecting {}", info.export), || {
            driver.connect_compared(info, guest.instance, &facts)
        })
    };
    let mut connected = connect()?;
    let mut changed = false;
    // Others may take the disk's name, add the disk or take it out, start or stop the domain: then the domain is looked
    // at again, until what it lacks is added, or refused for another reason.
    for round in 1.. {
        let added = if current.needs_attach() {
            Some(add_disk(&hypervisor, &driver, &guest, info, &connected, &current))
        } else {
            describe_disk(&driver, &guest, info, &current.target.dev, false).err().map(Err)
        };
        let is_added = matches!(added, Some(Ok(())));
        changed |= is_added;
        let refusal = match added {
            // libvirt may still attach the disk.
            Some(Err(cause @ Error::AttachUncertain { .. })) => return Err(cause),
            Some(Err(cause)) => Some(cause),
            Some(Ok(())) | None => None,
        };
        let mut find_change = || {
            // A detach of the same disk may have disconnected the volume meanwhile.
            let was_disconnected = !driver.is_connected(info, guest.instance)?;
            if was_disconnected {
                connected = connect()?;
            } else if is_added {
                return Ok(None);
            }
            plan_again().map(|now| Some(now).filter(|now| was_disconnected || *now != current))
        };
        let cause = match (find_change(), refusal) {
            (Ok(None), None) => break,
            (Ok(Some(now)), _) if round < MAX_ROUNDS => {
                current = now;
                continue;
            }
            (Err(cause @ Error::TargetTaken { .. }), Some(_)) => cause,
            (_, Some(refusal)) => refusal,
            (Err(source), None) if is_added => {
                let target = current.target.dev.to_string();
                return Err(Error::AttachUnconfirmed {
                    domain: guest.name,
                    target,
                    source: Box::new(source),
                });
            }
            (Err(cause), None) => cause,
            // Each time it was there, another program has taken it out.
            (Ok(Some(_)), None) => {
                Error::DiskNotFound { domain: guest.name.clone(), target: current.target.dev.to_string() }
            }
        };
        return Err(roll_back(&driver, &guest, info, &connected, &current.target.dev, cause));
    }
    let dev = current.target.dev;
    warn_of_lost_attachments(&connected);
    let mut lost = connected.lost.iter().filter(|lost| lost.instance == guest.instance);
    if lost.any(|lost| lost.attachments.iter().any(|attachment| attachment.has_volume(info.volume_id))) {
        return Err(Error::DiskOnDeadMount { domain: guest.name, target: dev.to_string() });
    }
    Ok(answer(&guest, &dev, info, &connected, changed))
}

fn add_disk(
    hypervisor: &Hypervisor,
    driver: &Driver,
    guest: &Guest,
    info: &ConnectionInfo,
    connected: &Connected,
    plan: &Plan,
) -> Result<(), Error> {
    let Plan { target, live, persistent } = plan;
    let disk = disk_xml(info, connected, target)?;
    hypervisor.check_mount_visible(&connected.mount_path, &connected.mount)?;
    describe_disk(driver, guest, info, &target.dev, *live)?;
    let message = format!("adding {} to {}", target.dev, guest.name);
    progress::with_spinner(message, || guest.attach(&disk, *live, *persistent)).map_err(|refusal| {
        let (at, image) = (&connected.mount_path, &connected.device_path);
        if is_locked(&refusal.to_string()) {
            let holder = driver.running_guest_with(at, image);
            return Error::ImageLocked { image: image.clone(), holder, source: Box::new(refusal) };
        }
        hypervisor.explain_open_failure(refusal, at, image)
    })
}

/// The disk's name and the answer for an image that the domain has in a disk already, below a snapshot of it that another
/// tool has made; `None` for one that it does not have so.
///
/// # Errors
/// [`Error::PartOfOtherDisk`] where the disk is another volume's.
fn attached_before_snapshot(
    driver: &Driver,
    guest: &Guest,
    info: &ConnectionInfo,
) -> Result<Option<(String, Answer)>, Error> {
    let at = driver.mount_path(&info.export);
    let image = at.image(&info.name);
    let Ok(Some(described)) = driver.guest(&at, guest.instance) else { return Ok(None) };
    let is_below = |found: &&GuestUse| found.path != image && found.has_file(&image);
    let Some(found) = described.current_uses_of(&at).find(is_below) else { return Ok(None) };
    let target = found.target.clone().unwrap_or_default();
    if !found.disk.as_ref().is_some_and(|disk| disk.volumes.contains(&info.volume_id)) {
        return Err(Error::PartOfOtherDisk { image, target, domain: guest.name.clone() });
    }
    let path = found.path.display();
    let answer = Answer::new(
        json!({
            "mount_path": at.as_path(),
            "device_path": found.path,
            "format": found.disk.as_ref().map(|disk| disk.format.as_str()),
            "domain": guest.name,
            "instance": guest.instance.to_string(),
            "target": target,
            "changed": false,
        }),
        format!("{} was attached to {} as {target}, which is now in {path}", info.name, guest.name),
    );
    Ok(Some((target, answer)))
}

fn disk_xml(info: &ConnectionInfo, connected: &Connected, target: &DiskTarget) -> Result<String, Error> {
    Ok(Disk::new(info, &connected.device_path, &connected.chain, target, &connected.policy)?.to_xml())
}

/// Disconnects the volume if this call connected it, and takes back what it had the domain's metadata say. Returns the error
/// to report.
fn roll_back(
    driver: &Driver,
    guest: &Guest,
    info: &ConnectionInfo,
    connected: &Connected,
    target: &TargetDev,
    cause: Error,
) -> Error {
    if !connected.attached {
        return cause;
    }
    forget_disk(driver, guest, target, guest.persistent);
    let request = DisconnectRequest {
        at: &connected.mount_path,
        export: Some(&info.export),
        name: &info.name,
        volume: Some(info.volume_id),
        instance: guest.instance,
        described: Described::OtherDisk,
        force: Force::No,
    };
    match driver.disconnect(&request) {
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
    Answer::new(json.into(), text)
}
