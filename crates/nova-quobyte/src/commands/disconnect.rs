//! `disconnect`

use quobyte_volume::driver::{Described, DisconnectRequest, Force};
use quobyte_volume::pure::connection::{ConnectionInfo, Export, ImageName, InstanceId, VolumeId};

use super::input::read_connection_info;
use super::present::{disconnect_json, summary};
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
            Ok(DisconnectTarget::Volume(Box::new(read_connection_info(file)?)))
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
    let (name, volume) = match target {
        DisconnectTarget::Volume(info) => (&info.name, info.volume_id),
        DisconnectTarget::Image(_, name) => (name, VolumeId::derive(export, name)),
    };
    let request = DisconnectRequest {
        at: &at,
        export: Some(export),
        name,
        volume: Some(volume),
        instance,
        described: Described::OutOfDate,
        force,
    };
    let disconnected =
        progress::with_spinner(format!("disconnecting {export}"), || driver.disconnect(&request))?;
    Ok(Answer { json: disconnect_json(&disconnected), text: summary(&disconnected) })
}
