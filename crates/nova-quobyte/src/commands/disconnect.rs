//! `disconnect`

use quobyte_volume::driver::{Described, DisconnectRequest, Force};
use quobyte_volume::pure::connection::{Export, ImageName, InstanceId, VolumeReference};

use super::input::read_wire_value;
use super::present::{disconnect_json, summary};
use crate::cli::Image;
use crate::error::Error;
use crate::output::Answer;
use crate::progress;
use crate::settings::Settings;

/// Parses the volume that the command line names, by what Cinder says of it or by its image.
pub(super) fn parse_target(image: &Image) -> Result<VolumeReference, Error> {
    match image {
        Image { connection_info: Some(file), .. } => Ok(VolumeReference::from_wire(&read_wire_value(file)?)?),
        Image { export, name, .. } => Ok(VolumeReference::new(
            Export::parse(export.as_deref().unwrap_or_default())?,
            ImageName::parse(name.as_deref().unwrap_or_default())?,
        )),
    }
}

pub(super) fn run(
    settings: Settings,
    target: &VolumeReference,
    instance: InstanceId,
    force: u8,
) -> Result<Answer, Error> {
    let force = match force {
        0 => Force::No,
        1 => Force::IfAlone,
        _ => Force::Always,
    };
    let driver = settings.driver()?;
    let VolumeReference { export, name, volume_id } = target;
    let at = driver.mount_path(export);
    let request = DisconnectRequest {
        at: &at,
        export: Some(export),
        name,
        volume: Some(*volume_id),
        instance,
        described: Described::OutOfDate,
        force,
    };
    let disconnected =
        progress::with_spinner(format!("disconnecting {export}"), || driver.disconnect(&request))?;
    Ok(Answer { json: disconnect_json(&disconnected), text: summary(&disconnected) })
}
