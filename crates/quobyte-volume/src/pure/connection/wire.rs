//! The way from a `connection_info` as it travels to the checked form.

use std::collections::BTreeMap;

use super::error::ConnectionError;
use super::wire_value::WireValue;
use super::{
    AccessMode, BlockSize, ConnectionInfo, Export, ImageFormat, ImageName, IoLimit, IoTune, VolumeId,
    VolumeReference,
};
use crate::error::excerpt;

impl ConnectionInfo {
    /// Parses the JSON object that Cinder's Quobyte driver emits and Nova stores.
    ///
    /// # Errors
    /// Those of [`WireValue::parse`] and of [`ConnectionInfo::from_wire`].
    pub fn parse(json: &[u8]) -> Result<Self, ConnectionError> {
        Self::from_wire(&WireValue::parse(json)?)
    }

    /// Reads what Cinder's Quobyte driver emits and Nova stores. Keys that are not read here are ignored, as Nova and
    /// Cinder add new ones.
    ///
    /// # Errors
    /// [`ConnectionError`], which says which field is at fault. The value of a field that is not read here is in none.
    pub fn from_wire(wire: &WireValue) -> Result<Self, ConnectionError> {
        let info = Fields::of(wire)?;
        let data = info.data()?;
        let volume_type = info.required_text("driver_volume_type")?;
        if volume_type != "quobyte" {
            return Err(field("driver_volume_type", volume_type, "it is not quobyte"));
        }
        if data.flag("data.encrypted")? == Some(true) {
            return Err(field("data.encrypted", "true", "Quobyte volumes cannot be encrypted by the host"));
        }
        let VolumeReference { export, name, volume_id } = VolumeReference::from_fields(&info, &data)?;
        // Nova takes a missing format for raw.
        let format = data.text("data.format")?.map_or(Ok(ImageFormat::Raw), str::parse)?;
        let serial = info.text("serial")?.filter(|serial| !serial.is_empty()).map(str::to_owned);
        Ok(Self {
            export,
            name,
            format,
            volume_id,
            serial,
            access_mode: access_mode(data.text("data.access_mode")?)?,
            discard: data.flag("data.discard")?.unwrap_or(false),
            multiattach: info.flag("multiattach")?.unwrap_or(false),
            io_tune: io_tune(data.object("data.qos_specs")?)?,
            block_size: block_size(&data)?,
        })
    }
}

impl VolumeReference {
    /// Parses a connection_info of a volume that is to be disconnected.
    ///
    /// # Errors
    /// Those of [`WireValue::parse`] and of [`VolumeReference::from_wire`].
    pub fn parse(json: &[u8]) -> Result<Self, ConnectionError> {
        Self::from_wire(&WireValue::parse(json)?)
    }

    /// Reads of a connection_info what names a volume, and nothing else: what would keep a volume from being connected
    /// does not keep it connected.
    ///
    /// # Errors
    /// [`ConnectionError`], which says which field is at fault.
    pub fn from_wire(wire: &WireValue) -> Result<Self, ConnectionError> {
        let info = Fields::of(wire)?;
        Self::from_fields(&info, &info.data()?)
    }

    fn from_fields(info: &Fields<'_>, data: &Fields<'_>) -> Result<Self, ConnectionError> {
        let export = Export::parse(data.required_text("data.export")?)?;
        let name = ImageName::parse(data.required_text("data.name")?)?;
        let serial = info.text("serial")?.filter(|serial| !serial.is_empty());
        let id = data.text("data.volume_id")?.filter(|id| !id.is_empty());
        let volume_id = match (serial, id) {
            (Some(serial), _) => volume_id("serial", serial)?,
            (None, Some(id)) => volume_id("data.volume_id", id)?,
            (None, None) => VolumeId::derive(&export, &name),
        };
        Ok(Self { export, name, volume_id })
    }
}

/// The fields of an object, each named as it stands in a connection_info.
struct Fields<'a>(&'a BTreeMap<String, WireValue>);

impl<'a> Fields<'a> {
    fn of(wire: &'a WireValue) -> Result<Self, ConnectionError> {
        match wire {
            WireValue::Object(fields) => Ok(Self(fields)),
            other => Err(wrong_type("itself", other, "an object")),
        }
    }

    fn data(&self) -> Result<Self, ConnectionError> {
        self.object("data")?.map(Self).ok_or(wrong_type("data", &WireValue::Null, "an object"))
    }

    fn get(&self, name: &str) -> &'a WireValue {
        let key = name.rsplit('.').next().unwrap_or(name);
        self.0.get(key).unwrap_or(&WireValue::Null)
    }

    fn text(&self, name: &'static str) -> Result<Option<&'a str>, ConnectionError> {
        match self.get(name) {
            WireValue::Null => Ok(None),
            WireValue::Text(text) => Ok(Some(text)),
            other => Err(wrong_type(name, other, "text")),
        }
    }

    fn required_text(&self, name: &'static str) -> Result<&'a str, ConnectionError> {
        self.text(name)?.ok_or(wrong_type(name, &WireValue::Null, "text"))
    }

    fn flag(&self, name: &'static str) -> Result<Option<bool>, ConnectionError> {
        match self.get(name) {
            WireValue::Null => Ok(None),
            WireValue::Bool(value) => Ok(Some(*value)),
            other => Err(wrong_type(name, other, "true or false")),
        }
    }

    fn object(&self, name: &'static str) -> Result<Option<&'a BTreeMap<String, WireValue>>, ConnectionError> {
        match self.get(name) {
            WireValue::Null => Ok(None),
            WireValue::Object(fields) => Ok(Some(fields)),
            other => Err(wrong_type(name, other, "an object")),
        }
    }

    /// A sector size in bytes. QEMU takes powers of two from 512 bytes to 2 MiB.
    fn sector(&self, name: &'static str) -> Result<Option<u32>, ConnectionError> {
        let value = self.get(name);
        if *value == WireValue::Null {
            return Ok(None);
        }
        count(name, value)?
            .ok()
            .filter(|bytes| bytes.is_power_of_two() && (512..=2 << 20).contains(bytes))
            .and_then(|bytes| u32::try_from(bytes).ok())
            .map(Some)
            .ok_or_else(|| field(name, &shown(value), "it is not a power of two from 512 to 2097152"))
    }
}

fn wrong_type(field: &'static str, found: &WireValue, expected: &'static str) -> ConnectionError {
    ConnectionError::Type { field, found: found.kind(), expected }
}

fn field(field: &'static str, value: &str, reason: &'static str) -> ConnectionError {
    ConnectionError::Field { field, value: excerpt(value), reason }
}

/// A whole number, as a number or as text, since Cinder sends some as text; or else that it is none.
fn count(name: &'static str, value: &WireValue) -> Result<Result<u64, ()>, ConnectionError> {
    match value {
        WireValue::Number(number) => Ok(number.ok_or(())),
        WireValue::Text(text) => Ok(text.parse().map_err(|_| ())),
        other => Err(wrong_type(name, other, "a number")),
    }
}

/// What stands where a number should, for a message: text is shown if it is a number at all.
fn shown(value: &WireValue) -> String {
    match value {
        WireValue::Number(Some(number)) => number.to_string(),
        WireValue::Text(text) if text.parse::<f64>().is_ok() => text.clone(),
        other => other.kind().to_owned(),
    }
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
fn io_tune(specs: Option<&BTreeMap<String, WireValue>>) -> Result<IoTune, ConnectionError> {
    const QOS_SPECS: &str = "data.qos_specs";
    let specs = specs.into_iter().flatten();
    let limits = specs.filter_map(|(name, value)| Some((name.parse::<IoLimit>().ok()?, value)));
    let limits = limits.map(|(limit, value)| {
        let reason = "a limit is not a whole number of zero or more";
        count(QOS_SPECS, value)?
            .map(|count| (limit, count))
            .map_err(|()| field(QOS_SPECS, &shown(value), reason))
    });
    IoTune::new(limits.collect::<Result<Vec<_>, _>>()?)
}

/// QEMU opens no disk whose smallest unit is larger than the one to align to.
fn block_size(data: &Fields<'_>) -> Result<BlockSize, ConnectionError> {
    const LOGICAL: &str = "data.logical_block_size";
    let logical = data.sector(LOGICAL)?;
    let physical = data.sector("data.physical_block_size")?;
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
