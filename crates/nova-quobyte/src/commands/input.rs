//! What subcommands are to work on: images, by connection_info or as the command line names them, and guests.

use std::io::Read;
use std::path::Path;

use quobyte_volume::pure::connection::{
    ConnectionInfo, Export, ImageFormat, ImageName, InstanceId, MAX_CONNECTION_INFO_LEN, VolumeReference,
    WireValue,
};

use crate::cli::{Image, Volume};
use crate::error::Error;
use crate::settings::Settings;

/// The image to connect or to look at.
pub(super) fn parse_volume(volume: &Volume) -> Result<ConnectionInfo, Error> {
    let info = match volume {
        Volume { connection_info: Some(file), .. } => ConnectionInfo::from_wire(&read_wire_value(file)?)?,
        Volume { url, export, name, .. } => {
            let image = match url {
                Some(url) => VolumeReference::parse_url(url)?,
                None => in_parts(export.as_deref(), name.as_deref())?,
            };
            let format = volume.declared_format().unwrap_or_default().parse()?;
            ConnectionInfo::new(image.export, image.name, format)
        }
    };
    if info.format == ImageFormat::Raw && info.name.as_str().ends_with(".qcow2") {
        tracing::warn!(image = %info.name, "is declared raw, though its name says qcow2: the guest sees the file as it is");
    }
    Ok(info)
}

/// The image that was connected.
pub(super) fn parse_image(image: &Image) -> Result<VolumeReference, Error> {
    match image {
        Image { connection_info: Some(file), .. } => Ok(VolumeReference::from_wire(&read_wire_value(file)?)?),
        Image { url: Some(url), .. } => Ok(VolumeReference::parse_url(url)?),
        Image { export, name, .. } => in_parts(export.as_deref(), name.as_deref()),
    }
}

fn in_parts(export: Option<&str>, name: Option<&str>) -> Result<VolumeReference, Error> {
    let export = Export::parse(export.unwrap_or_default())?;
    Ok(VolumeReference::new(export, ImageName::parse(name.unwrap_or_default())?))
}

/// The guest of that UUID, whether or not libvirt knows one, or of that name.
pub(super) fn find_instance(settings: &Settings, guest: &str) -> Result<InstanceId, Error> {
    match guest.parse() {
        Ok(instance) => Ok(instance),
        Err(_) => Ok(settings.hypervisor()?.guest(guest)?.instance),
    }
}

/// Reads a connection_info from a file, or from standard input for `-`.
fn read_wire_value(path: &Path) -> Result<WireValue, Error> {
    // One byte more than is accepted tells what is too long from what is not.
    let limit = MAX_CONNECTION_INFO_LEN as u64 + 1;
    let mut json = Vec::new();
    let result = if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut json)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut json))
    };
    result.map_err(|source| Error::UnreadableConnection { path: path.to_owned(), source })?;
    Ok(WireValue::parse(&json)?)
}
