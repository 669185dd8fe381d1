//! `disconnect`

use quobyte_volume::attachments::Attachment;
use quobyte_volume::connection::{ConnectionInfo, InstanceId};
use quobyte_volume::driver::{Disconnected, Kept};
use serde_json::{Value, json};

use crate::error::Error;
use crate::output::Answer;
use crate::progress;
use crate::settings::Settings;

pub(super) fn run(settings: Settings, info: &ConnectionInfo, instance: InstanceId) -> Result<Answer, Error> {
    let driver = settings.driver()?;
    let at = driver.mount_path(&info.export);
    let disconnected = progress::during(format!("disconnecting {}", info.export), || {
        driver.disconnect(&at, info.volume_id, instance)
    })?;
    Ok(Answer {
        json: describe(&disconnected),
        text: sentence(&disconnected),
    })
}

/// What became of the share: is it still mounted, why, and for whom.
pub(super) fn describe(disconnected: &Disconnected) -> Value {
    let users = match &disconnected.kept {
        Some(Kept::Attachments(attachments)) => attachments.iter().map(user).collect(),
        _ => Vec::new(),
    };
    json!({
        "mount_path": disconnected.mount_path.as_path(),
        "changed": disconnected.changed,
        "mounted": disconnected.kept.is_some(),
        "reason": disconnected.kept.as_ref().map(Kept::as_str),
        "attachments": users,
    })
}

/// An attachment, for scripts.
pub(super) fn user(attachment: &Attachment) -> Value {
    json!({
        "instance": attachment.instance.to_string(),
        "volume": attachment.volume.to_string(),
        "name": attachment.name.as_str(),
        "format": attachment.format.as_str(),
    })
}

/// The same for a person.
pub(super) fn sentence(disconnected: &Disconnected) -> String {
    let at = &disconnected.mount_path;
    let done = if disconnected.changed {
        "disconnected"
    } else {
        "was not connected"
    };
    let mount = match &disconnected.kept {
        None => format!("{at} is not mounted"),
        Some(Kept::Attachments(attachments)) => {
            format!("{at} stays mounted for {} other attachment(s)", attachments.len())
        }
        Some(Kept::Busy) => format!("{at} stays mounted: files on it are open"),
        Some(Kept::NotOwner) => format!("{at} stays mounted: another user mounted it"),
        Some(Kept::Foreign) => format!("{at} is left alone: what is mounted there is not this volume"),
        Some(Kept::NotRecorded) => format!("{at} is left alone: no record says who mounted it"),
    };
    format!("{done}; {mount}")
}
