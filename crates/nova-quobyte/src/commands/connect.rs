//! `connect`

use quobyte_volume::driver::Connected;
use quobyte_volume::pure::connection::ConnectionInfo;
use quobyte_volume::pure::image::Layer;
use serde_json::{Map, Value, json};

use super::input::find_instance;
use super::present::{attachment_json, display_value, format_table, volume_rows, warn_of_lost_attachments};
use crate::error::Error;
use crate::output::Answer;
use crate::progress;
use crate::settings::Settings;

pub(super) fn run(settings: Settings, info: &ConnectionInfo, guest: &str) -> Result<Answer, Error> {
    let instance = find_instance(&settings, guest)?;
    let facts = settings.hypervisor_facts();
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
    let lost = connected.lost.iter().flat_map(|guest| &guest.attachments);
    json.insert("lost".to_owned(), lost.map(attachment_json).collect());
    warn_of_lost_attachments(&connected);
    let text: Vec<_> = rows.iter().map(|(name, value)| (*name, display_value(value))).collect();
    Ok(Answer::new(json.into(), format_table(&text)))
}

/// One file of the chain, its disk's size in bytes.
fn layer_json(connected: &Connected, layer: &Layer) -> Value {
    json!({
        "path": connected.mount_path.as_path().join(layer.path.as_path()),
        "format": layer.format.as_str(),
        "virtual_size": layer.virtual_size,
    })
}
