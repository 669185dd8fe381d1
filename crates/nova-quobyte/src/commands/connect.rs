//! `connect`

use quobyte_volume::driver::Connected;
use quobyte_volume::pure::connection::{ConnectionInfo, InstanceId};
use quobyte_volume::pure::image::Layer;
use quobyte_volume::pure::io_policy::{Discard, IoMode};
use serde_json::{Map, Value, json};

use super::disconnect::attachment_json;
use super::format_table;
use crate::error::Error;
use crate::output::Answer;
use crate::progress;
use crate::settings::Settings;

pub(super) fn run(settings: Settings, info: &ConnectionInfo, instance: InstanceId) -> Result<Answer, Error> {
    let facts = settings.host_facts();
    let driver = settings.driver()?;
    let connected = progress::with_spinner(format!("connecting {}", info.export), || {
        driver.connect(info, instance, &facts)
    })?;
    let rows = volume_rows(info, &connected);
    let mut json: Map<String, Value> =
        rows.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    json.insert(
        "chain".to_owned(),
        connected.chain.iter().map(|file| layer_json(&connected, file)).collect(),
    );
    json.insert("changed".to_owned(), json!(connected.changed));
    json.insert("lost".to_owned(), connected.lost.iter().map(attachment_json).collect());
    warn_of_lost_attachments(&connected);
    let text: Vec<_> = rows.iter().map(|(name, value)| (*name, display_value(value))).collect();
    Ok(Answer { json: json.into(), text: format_table(&text) })
}

/// One file of the chain, its disk's size in bytes.
fn layer_json(connected: &Connected, layer: &Layer) -> Value {
    json!({
        "path": connected.mount_path.as_path().join(layer.path.as_path()),
        "format": layer.format.as_str(),
        "virtual_size": layer.virtual_size,
    })
}

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

/// A value as a person reads it.
pub(super) fn display_value(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Names the guests whose files died with the mount that was replaced.
pub(super) fn warn_of_lost_attachments(connected: &Connected) {
    for lost in &connected.lost {
        let (instance, volume) = (lost.instance, lost.volume);
        tracing::warn!(%instance, %volume, "open on a mount that died; restart the guest, or detach and attach the volume");
    }
}
