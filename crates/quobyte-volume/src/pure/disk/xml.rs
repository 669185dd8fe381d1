//! A [`Disk`] as XML.

use std::io;

use quick_xml::Writer;
use quick_xml::events::BytesText;

use super::{Bus, Disk};
use crate::pure::connection::ImageFormat;

type XmlWriter = Writer<Vec<u8>>;

impl Disk {
    /// The `<disk>` element, indented by two spaces, without a line end.
    #[must_use]
    pub fn to_xml(&self) -> String {
        let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
        writer
            .create_element("disk")
            .with_attributes([("type", "file"), ("device", "disk")])
            .write_inner_content(|writer| content(writer, self))
            .expect("a vector takes every write");
        String::from_utf8(writer.into_inner()).expect("only strings were written")
    }
}

/// In the order Nova writes the parts; the files below the image, which Nova leaves to libvirt, come behind the source.
fn content(writer: &mut XmlWriter, disk: &Disk) -> io::Result<()> {
    driver(writer, disk)?;
    let alias = format!("ua-{}", disk.volume_id);
    empty(writer, "alias", [("name", alias.as_str())])?;
    empty(writer, "source", [("file", disk.source.as_str())])?;
    backing_store(writer, &disk.backing_files)?;
    let (dev, bus) = (disk.target.dev.as_str(), disk.target.bus.as_str());
    empty(writer, "target", [("dev", dev), ("bus", bus)])?;
    text(writer, "serial", &disk.serial)?;
    if !disk.io_tune.is_empty() {
        writer.create_element("iotune").write_inner_content(|writer| {
            disk.io_tune
                .iter()
                .try_for_each(|(limit, value)| text(writer, limit.as_str(), &value.to_string()))
        })?;
    }
    block_size(writer, disk)?;
    if disk.read_only {
        empty(writer, "readonly", [])?;
    }
    if disk.policy.shareable {
        empty(writer, "shareable", [])?;
    }
    address(writer, disk)
}

fn driver(writer: &mut XmlWriter, disk: &Disk) -> io::Result<()> {
    let policy = &disk.policy;
    let fixed = [("name", "qemu"), ("type", disk.format.as_str()), ("cache", policy.cache.as_str())];
    let discard = policy.discard.map(|discard| ("discard", discard.as_str()));
    let io = policy.io.map(|mode| ("io", mode.as_str()));
    empty(writer, "driver", fixed.into_iter().chain(discard).chain(io))
}

fn block_size(writer: &mut XmlWriter, disk: &Disk) -> io::Result<()> {
    let sizes = [
        ("logical_block_size", disk.policy.block_size.logical),
        ("physical_block_size", disk.policy.block_size.physical),
    ];
    let sizes: Vec<_> =
        sizes.into_iter().filter_map(|(name, bytes)| Some((name, bytes?.to_string()))).collect();
    if sizes.is_empty() {
        return Ok(());
    }
    empty(writer, "blockio", sizes.iter().map(|(name, bytes)| (*name, bytes.as_str())))
}

/// Each layer inside the one above it; the innermost, empty element says that nothing is below.
fn backing_store(writer: &mut XmlWriter, layers: &[(String, ImageFormat)]) -> io::Result<()> {
    let Some(((path, format), below)) = layers.split_first() else {
        return empty(writer, "backingStore", []);
    };
    writer.create_element("backingStore").with_attribute(("type", "file")).write_inner_content(|writer| {
        empty(writer, "format", [("type", format.as_str())])?;
        empty(writer, "source", [("file", path.as_str())])?;
        backing_store(writer, below)
    })?;
    Ok(())
}

/// Only where the caller counts the disks of the controller itself, as Nova does to put 256 on one.
fn address(writer: &mut XmlWriter, disk: &Disk) -> io::Result<()> {
    match (disk.target.bus, disk.target.unit) {
        (Bus::Scsi, Some(unit)) => {
            let unit = unit.to_string();
            let place = [("type", "drive"), ("controller", "0"), ("unit", unit.as_str())];
            empty(writer, "address", place)
        }
        _ => Ok(()),
    }
}

fn empty<'a>(
    writer: &mut XmlWriter,
    name: &str,
    attributes: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> io::Result<()> {
    writer.create_element(name).with_attributes(attributes).write_empty()?;
    Ok(())
}

fn text(writer: &mut XmlWriter, name: &str, content: &str) -> io::Result<()> {
    writer.create_element(name).write_text_content(BytesText::new(content))?;
    Ok(())
}
