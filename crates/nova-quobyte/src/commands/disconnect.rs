//! `disconnect`

use quobyte_volume::driver::{Disconnected, Force, StillMounted};
use quobyte_volume::pure::connection::{ConnectionInfo, Export, ImageName, InstanceId, VolumeId};
use quobyte_volume::pure::guests::GuestUse;
use quobyte_volume::pure::record::Attachment;
use serde_json::{Value, json};

use crate::cli::Image;
use crate::error::Error;
use crate::output::Answer;
use crate::progress;
use crate::settings::Settings;

/// A volume to disconnect.
pub(super) enum DisconnectTarget {
    /// A volume, by what Cinder says of it.
    Volume(Box<ConnectionInfo>),
    /// An image on an export. The records tell which volume it is.
    Image(Export, ImageName),
}

/// Parses the volume that the command line names.
pub(super) fn parse_target(image: &Image) -> Result<DisconnectTarget, Error> {
    match image {
        Image { connection_info: Some(file), .. } => {
            Ok(DisconnectTarget::Volume(Box::new(super::read_connection_info(file)?)))
        }
        Image { export, name, .. } => Ok(DisconnectTarget::Image(
            Export::parse(export.as_deref().unwrap_or_default())?,
            ImageName::parse(name.as_deref().unwrap_or_default())?,
        )),
    }
}

pub(super) fn run(
    settings: Settings,
    target: &DisconnectTarget,
    instance: InstanceId,
    force: u8,
) -> Result<Answer, Error> {
    let force = match force {
        0 => Force::No,
        1 => Force::IfAlone,
        _ => Force::Always,
    };
    let driver = settings.driver()?;
    let export = match target {
        DisconnectTarget::Volume(info) => &info.export,
        DisconnectTarget::Image(export, _) => export,
    };
    let at = driver.mount_path(export);
    let disconnected = progress::with_spinner(format!("disconnecting {export}"), || match target {
        DisconnectTarget::Volume(info) => driver.disconnect(&at, info.volume_id, instance, force),
        DisconnectTarget::Image(_, name) => {
            let derived = VolumeId::derive(export, name);
            driver.disconnect_file(&at, name, instance, Some(derived), force)
        }
    })?;
    Ok(Answer { json: disconnect_json(&disconnected), text: summary(&disconnected) })
}

/// Whether the share is still mounted, why and for whom, as JSON.
pub(super) fn disconnect_json(disconnected: &Disconnected) -> Value {
    let (mut attachments, mut guests, mut detail) = (Vec::new(), Vec::new(), None);
    match &disconnected.still_mounted {
        Some(StillMounted::Attachments(others)) => attachments = others.iter().map(attachment_json).collect(),
        Some(StillMounted::Guests(users)) => guests = users.iter().map(guest_json).collect(),
        Some(StillMounted::Unknown(reason)) => detail = Some(reason),
        _ => {}
    }
    json!({
        "mount_path": disconnected.mount_path.as_path(),
        "changed": disconnected.changed,
        "mounted": disconnected.still_mounted.is_some(),
        "reason": disconnected.still_mounted.as_ref().map(StillMounted::as_str),
        "detail": detail,
        "attachments": attachments,
        "guests": guests,
    })
}

/// An attachment as JSON.
pub(super) fn attachment_json(attachment: &Attachment) -> Value {
    json!({
        "instance": attachment.instance.to_string(),
        "volume": attachment.volume.to_string(),
        "name": attachment.name.as_str(),
        "format": attachment.format.as_str(),
    })
}

fn guest_json(guest: &GuestUse) -> Value {
    json!({"instance": guest.instance.to_string(), "domain": guest.name, "path": guest.path})
}

/// What the disconnect did, as a sentence.
pub(super) fn summary(disconnected: &Disconnected) -> String {
    let at = &disconnected.mount_path;
    let done = if disconnected.changed { "disconnected" } else { "was not connected" };
    match &disconnected.still_mounted {
        None => format!("{done}; {at} is not mounted"),
        Some(still_mounted) => {
            format!("{done}; {at} stays as it is: {}", still_mounted_reason(still_mounted))
        }
    }
}

/// Why a share stays mounted, as a sentence.
pub(super) fn still_mounted_reason(still_mounted: &StillMounted) -> String {
    match still_mounted {
        StillMounted::Attachments(attachments) => format!("{} other attachment(s) use it", attachments.len()),
        StillMounted::Guests(guests) => {
            let names: Vec<_> = guests.iter().map(|guest| guest.name.as_str()).collect();
            format!("it is used by {}", names.join(", "))
        }
        StillMounted::Unknown(reason) => format!("whether guests use it is not known ({reason})"),
        StillMounted::Busy => "files on it are open".to_owned(),
        StillMounted::Hung => "its client does not answer, and somebody waits for it".to_owned(),
        StillMounted::NotOwner => "another user mounted it".to_owned(),
        StillMounted::Foreign => "what is mounted there is not this volume".to_owned(),
        StillMounted::NotRecorded => "no record says who mounted it".to_owned(),
    }
}
