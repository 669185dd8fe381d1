//! The header of a qcow2 image: everything QEMU believes before it looks at the guest's data.
//!
//! QEMU's description of the format (`docs/interop/qcow2`) says what a field means, its driver (`block/qcow2.c`) what it
//! makes of one that breaks the description. Where the two differ the stricter wins. At most the first cluster is read,
//! 2 MiB, and the directory of bitmaps, 1 MiB, however the file lies; of an image that is to be repaired its snapshots,
//! too, as many as a repair may meet.

mod bitmaps;
mod cost;
mod extensions;
mod fields;
mod repair;
mod tables;

use std::ops::Range;

pub(super) use self::cost::OpenCost;
use self::extensions::Extensions;
use self::fields::Fields;
use self::tables::Layout;
use super::other_formats;
use super::path::RelativePath;
use super::source::ReadAt;
use super::violation::{InspectError, Rule, Violation};
use crate::pure::connection::ImageFormat;

/// What a header that keeps every rule says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageHeader {
    /// The size of the disk that the guest sees, in bytes. For the caller to compare with the volume's.
    pub virtual_size: u64,
    /// The file below, if there is one.
    pub backing: Option<Backing>,
    /// What QEMU takes to open it, without what is below.
    pub(super) cost: OpenCost,
}

/// The backing file that an image names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backing {
    /// Where it is, seen from the image's own directory.
    pub name: RelativePath,
    /// What it is declared to be.
    pub format: ImageFormat,
}

impl ImageHeader {
    /// Reads and checks the header of an image that is declared as qcow2 and is `file_size` bytes long.
    ///
    /// # Errors
    /// [`InspectError::Violation`] names the first rule that the header breaks, [`InspectError::Read`] passes on what
    /// the source answered.
    pub fn parse(source: &dyn ReadAt, file_size: u64) -> Result<Self, InspectError> {
        let Some(fields) = Fields::read(source, file_size)? else {
            let format = other_formats::describe(source, file_size)?;
            return Err(Violation::new(Rule::NotQcow2, &format).into());
        };
        fields.check()?;
        let cluster = first_cluster(source, file_size, fields.cluster_size())?;
        if let Some(format) = other_formats::second_format(&cluster) {
            return Err(Violation::new(Rule::SecondFormat, &format).into());
        }
        let name = backing_name(&fields)?;
        let end_of_extensions = name.as_ref().map_or(cluster.len(), |name| name.start);
        let extensions = Extensions::parse(&cluster[fields.header_length()..end_of_extensions])?;
        let layout = Layout { cluster_size: fields.cluster_size(), file_size };
        layout.check(&fields, extensions.bitmaps)?;
        let bitmaps = match extensions.bitmaps {
            Some(bitmaps) if fields.has_bitmaps() => bitmaps::read(source, bitmaps)?,
            _ => Vec::new(),
        };
        let cost = OpenCost::new(&fields, &layout, extensions.count, &bitmaps);
        cost.check()?;
        repair::check(source, &fields, &layout, &bitmaps)?;
        Ok(Self {
            cost,
            virtual_size: fields.virtual_size,
            backing: name.map(|name| backing(&cluster[name], extensions.backing_format)).transpose()?,
        })
    }
}

fn first_cluster(source: &dyn ReadAt, file_size: u64, cluster_size: u64) -> Result<Vec<u8>, InspectError> {
    Violation::check(file_size >= cluster_size, Rule::Truncated, &format_args!("{file_size} bytes"))?;
    let mut cluster = vec![0; usize::try_from(cluster_size).expect("a checked cluster has 2 MiB at most")];
    source.read_exact_at(&mut cluster, 0)?;
    Ok(cluster)
}

/// The bytes of the first cluster that name the backing file.
fn backing_name(fields: &Fields) -> Result<Option<Range<usize>>, Violation> {
    if fields.backing_offset == 0 {
        return Ok(None);
    }
    let end = fields.backing_offset.saturating_add(fields.backing_length.into());
    let is_after_header = fields.backing_offset >= fields.header_length() as u64;
    Violation::check(
        is_after_header && end <= fields.cluster_size(),
        Rule::BackingName,
        &format_args!("{} bytes at {:#x}", fields.backing_length, fields.backing_offset),
    )?;
    let in_cluster = |offset| usize::try_from(offset).expect("it lies within 2 MiB");
    Ok(Some(in_cluster(fields.backing_offset)..in_cluster(end)))
}

fn backing(name: &[u8], format: Option<&[u8]>) -> Result<Backing, Violation> {
    let Ok(text) = str::from_utf8(name) else {
        return Err(Violation::new(Rule::BackingName, &String::from_utf8_lossy(name)));
    };
    let name = RelativePath::parse(text)?;
    let Some(format) = format else {
        return Err(Violation::new(Rule::BackingFormat, &"none"));
    };
    let format = String::from_utf8_lossy(format);
    let format: ImageFormat = format.parse().map_err(|_| Violation::new(Rule::BackingFormat, &format))?;
    Ok(Backing { name, format })
}

#[cfg(test)]
mod tests;
