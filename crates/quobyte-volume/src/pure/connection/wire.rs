//! `connection_info` as it travels, and the way from there to the checked form.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::error::{ConnectionError, excerpt};
use super::{AccessMode, BlockSize, Export, ImageFormat, ImageName, IoLimit, IoTune, VolumeId};

/// The fields this driver reads. Whatever else a peer sends has no place here, so it cannot be obeyed.
#[derive(Deserialize)]
struct ConnectionInfo {
    driver_volume_type: String,
    serial: Option<String>,
    multiattach: Option<bool>,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    export: String,
    name: String,
    format: Option<String>,
    volume_id: Option<String>,
    access_mode: Option<String>,
    discard: Option<bool>,
    encrypted: Option<bool>,
    qos_specs: Option<BTreeMap<String, serde_json::Value>>,
    logical_block_size: Option<Count>,
    physical_block_size: Option<Count>,
}

/// A whole number; Cinder sends some as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Count {
    Number(u64),
    Text(String),
}

impl Count {
    fn value(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
        }
    }
}

impl super::ConnectionInfo {
    /// Parses the JSON object that Cinder's Quobyte driver emits and Nova stores.
    ///
    /// Keys nobody here knows are ignored, as Nova and Cinder add new ones; a key given twice is refused, since two
    /// readers might take different ones.
    ///
    /// # Errors
    /// [`ConnectionError`], which says which field is at fault.
    pub fn parse(json: &[u8]) -> Result<Self, ConnectionError> {
        serde_json::from_slice::<ConnectionInfo>(json)?.try_into()
    }
}

impl TryFrom<ConnectionInfo> for super::ConnectionInfo {
    type Error = ConnectionError;

    fn try_from(wire: ConnectionInfo) -> Result<Self, ConnectionError> {
        let data = wire.data;
        if wire.driver_volume_type != "quobyte" {
            return Err(field("driver_volume_type", &wire.driver_volume_type, "it is not quobyte"));
        }
        if data.encrypted == Some(true) {
            return Err(field("data.encrypted", "true", "Quobyte volumes cannot be encrypted by the host"));
        }
        let export = Export::parse(&data.export)?;
        let name = ImageName::parse(&data.name)?;
        // Nova takes a missing format for raw.
        let format = data.format.as_deref().map_or(Ok(ImageFormat::Raw), str::parse)?;
        let serial = wire.serial.filter(|serial| !serial.is_empty());
        let id = data.volume_id.filter(|id| !id.is_empty());
        let volume_id = match (&serial, &id) {
            (Some(serial), _) => volume_id("serial", serial)?,
            (None, Some(id)) => volume_id("data.volume_id", id)?,
            (None, None) => VolumeId::derive(&export, &name),
        };
        Ok(Self {
            export,
            name,
            format,
            volume_id,
            serial,
            access_mode: access_mode(data.access_mode.as_deref())?,
            discard: data.discard.unwrap_or(false),
            multiattach: wire.multiattach.unwrap_or(false),
            io_tune: io_tune(data.qos_specs.unwrap_or_default())?,
            block_size: block_size(data.logical_block_size, data.physical_block_size)?,
        })
    }
}

fn field(field: &'static str, value: &str, reason: &'static str) -> ConnectionError {
    ConnectionError::Field { field, value: excerpt(value), reason }
}

fn volume_id(name: &'static str, text: &str) -> Result<VolumeId, ConnectionError> {
    text.parse().map_err(|_| field(name, text, "it is not a UUID"))
}

fn access_mode(text: Option<&str>) -> Result<AccessMode, ConnectionError> {
    match text {
        None | Some("" | "rw") => Ok(AccessMode::ReadWrite),
        Some("ro") => Ok(AccessMode::ReadOnly),
        Some(other) => Err(field("data.access_mode", other, "it is neither rw nor ro")),
    }
}

/// Specs that are no limits of ours (Cinder's back-end and vendor specs) are not for this driver.
fn io_tune(specs: BTreeMap<String, serde_json::Value>) -> Result<IoTune, ConnectionError> {
    let limits: Vec<_> = specs
        .into_iter()
        .filter_map(|(name, value)| name.parse().ok().map(|limit: IoLimit| (limit, value)))
        .map(|(limit, value)| {
            let count = match &value {
                serde_json::Value::Number(number) => number.as_u64(),
                serde_json::Value::String(text) => text.parse().ok(),
                _ => None,
            };
            let reason = "a limit is not a whole number of zero or more";
            count
                .map(|count| (limit, count))
                .ok_or_else(|| field("data.qos_specs", &value.to_string(), reason))
        })
        .collect::<Result<_, _>>()?;
    IoTune::new(limits)
}

/// QEMU opens no disk whose smallest unit is larger than the one to align to.
fn block_size(logical: Option<Count>, physical: Option<Count>) -> Result<BlockSize, ConnectionError> {
    const LOGICAL: &str = "data.logical_block_size";
    let logical = sector(LOGICAL, logical)?;
    let physical = sector("data.physical_block_size", physical)?;
    match logical {
        Some(bytes) if bytes > physical.unwrap_or(QEMU_SECTOR) => {
            let reason = "it is larger than the physical block size, which is 512 if not given";
            Err(field(LOGICAL, &bytes.to_string(), reason))
        }
        _ => Ok(BlockSize { logical, physical }),
    }
}

/// What QEMU takes for either size if not told, in bytes.
const QEMU_SECTOR: u32 = 512;

/// QEMU takes powers of two from 512 bytes to 2 MiB.
fn sector(name: &'static str, size: Option<Count>) -> Result<Option<u32>, ConnectionError> {
    let Some(size) = size else { return Ok(None) };
    size.value()
        .filter(|bytes| bytes.is_power_of_two() && (512..=2 << 20).contains(bytes))
        .and_then(|bytes| u32::try_from(bytes).ok())
        .map(Some)
        .ok_or_else(|| {
            let shown = match &size {
                Count::Number(number) => number.to_string(),
                Count::Text(text) => text.clone(),
            };
            field(name, &shown, "it is not a power of two from 512 to 2097152")
        })
}
