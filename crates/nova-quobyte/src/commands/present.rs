//! How the library's values look, for scripts and for people: what more than one subcommand prints.

use quobyte_volume::driver::{Connected, DisconnectOutcome, LostGuest, StillMounted};
use quobyte_volume::pure::connection::ConnectionInfo;
use quobyte_volume::pure::guests::GuestUse;
use quobyte_volume::pure::io_policy::{Discard, IoMode};
use quobyte_volume::pure::mount_path::MountPath;
use quobyte_volume::pure::record::Attachment;
use serde_json::{Value, json};

use super::guest_names::GuestNames;

/// What a caller needs to know of a connected volume.
pub(super) fn volume_rows(info: &ConnectionInfo, connected: &Connected) -> [(&'static str, Value); 6] {
    [
        ("mount_path", json!(connected.mount_path.as_path())),
        ("device_path", json!(connected.device_path)),
        ("format", json!(info.format.as_str())),
        ("cache", json!(connected.policy.cache.as_str())),
        ("io", json!(connected.policy.io.map(IoMode::as_str))),
        ("discard", json!(connected.policy.discard.map(Discard::as_str))),
    ]
}

/// Names the guests whose files died with the mount that was replaced, in one line.
pub(super) fn warn_of_lost_attachments(connected: &Connected) {
    if connected.lost.is_empty() {
        return;
    }
    let guest = |guest: &LostGuest| format!("{} ({})", guest.name, file_names(&guest.attachments));
    let guests = connected.lost.iter().map(guest).collect::<Vec<_>>().join(", ");
    tracing::warn!(mount_path = %connected.mount_path, guests, "files that guests have open died with their mount; restart the guests, or detach and attach the volumes");
}

/// The files of attachments, for people.
pub(super) fn file_names(attachments: &[Attachment]) -> String {
    attachments.iter().map(|attachment| attachment.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// An attachment as JSON.
pub(super) fn attachment_json(attachment: &Attachment) -> Value {
    json!({
        "instance": attachment.instance.to_string(),
        "volume": attachment.volume.to_string(),
        "volumes": attachment.volumes().map(|volume| volume.to_string()).collect::<Vec<_>>(),
        "name": attachment.name.as_str(),
        "format": attachment.format.as_str(),
    })
}

/// Whether the share is still mounted, why and for whom, as JSON.
pub(super) fn disconnect_json(disconnected: &DisconnectOutcome) -> Value {
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
        "leaving": disconnected.leaving,
        "mounted": disconnected.still_mounted.is_some(),
        "reason": disconnected.still_mounted.as_ref().map(StillMounted::as_str),
        "detail": detail,
        "attachments": attachments,
        "guests": guests,
    })
}

/// What the disconnect did, as a sentence.
pub(super) fn summary(disconnected: &DisconnectOutcome, names: &GuestNames) -> String {
    let at = &disconnected.mount_path;
    let done = match (disconnected.changed, disconnected.leaving) {
        (_, true) => "disconnected, though its guest has yet to release it",
        (true, false) => "disconnected",
        (false, false) => "was not connected",
    };
    match &disconnected.still_mounted {
        None => format!("{done}; {at} is not mounted"),
        Some(still_mounted) => {
            format!("{done}; {at} stays as it is: {}", still_mounted_reason(still_mounted, at, names))
        }
    }
}

/// Why a share stays mounted, as a sentence.
pub(super) fn still_mounted_reason(
    still_mounted: &StillMounted,
    at: &MountPath,
    names: &GuestNames,
) -> String {
    match still_mounted {
        StillMounted::Attachments(attachments) => names.users(at, attachments),
        StillMounted::Guests(guests) => {
            let mut names: Vec<_> = guests.iter().map(|guest| guest.name.as_str()).collect();
            names.dedup();
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

fn guest_json(guest: &GuestUse) -> Value {
    json!({"instance": guest.instance.to_string(), "domain": guest.name, "path": guest.path})
}

/// A value as a person reads it.
pub(super) fn display_value(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Formats lines of names and values, with the values in one column.
pub(super) fn format_table(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}
