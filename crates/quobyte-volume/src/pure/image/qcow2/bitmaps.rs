//! The persistent dirty bitmaps that an image lists, which QEMU loads whole when it opens the image.

use super::super::source::ReadAt;
use super::super::violation::{InspectError, Rule, Violation};
use super::extensions::Bitmaps;

/// The longest directory that is read: more than a thousand bitmaps with the longest names.
pub(super) const MAX_DIRECTORY_LEN: u64 = 1 << 20;

/// An entry without its name and extra data.
const ENTRY_LEN: usize = 24;
/// QEMU's limits, as powers of two.
const GRANULARITY_BITS: std::ops::RangeInclusive<u8> = 9..=31;

/// A bitmap as its directory's entry tells it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bitmap {
    /// The bytes of the disk that one bit stands for, as a power of two.
    granularity_bits: u8,
    /// The clusters that hold it.
    pub(super) clusters: u32,
}

impl Bitmap {
    /// The bytes that it takes in memory for a disk of that size.
    pub(super) fn len(self, virtual_size: u64) -> u64 {
        virtual_size.div_ceil(1 << self.granularity_bits).div_ceil(8)
    }
}

/// Reads the directory, which lies in the file.
pub(super) fn read(source: &dyn ReadAt, bitmaps: Bitmaps) -> Result<Vec<Bitmap>, InspectError> {
    let len = bitmaps.directory_size;
    Violation::check(
        len <= MAX_DIRECTORY_LEN,
        Rule::OpenCost,
        &format_args!("a bitmap directory of {len} bytes, over {MAX_DIRECTORY_LEN}"),
    )?;
    let mut directory = vec![0; usize::try_from(len).expect("it has 1 MiB at most")];
    source.read_exact_at(&mut directory, bitmaps.directory_offset)?;
    let mut rest = &directory[..];
    let mut found = Vec::new();
    while !rest.is_empty() {
        let Some((bitmap, behind)) = next(rest) else {
            let place = directory.len() - rest.len();
            return Err(
                Violation::new(Rule::BitmapDirectory, &format_args!("no bitmap at byte {place}")).into()
            );
        };
        found.push(bitmap);
        rest = behind;
    }
    let count = found.len();
    let is_as_claimed = count == bitmaps.count as usize;
    let value = format_args!("{count} bitmaps, not {}", bitmaps.count);
    Violation::check(is_as_claimed, Rule::BitmapDirectory, &value)?;
    Ok(found)
}

/// The first entry, and what is behind its padding.
fn next(directory: &[u8]) -> Option<(Bitmap, &[u8])> {
    let entry = directory.first_chunk::<ENTRY_LEN>()?;
    let clusters = u32::from_be_bytes(entry[8..12].try_into().ok()?);
    let granularity_bits = entry[17];
    let name_len = u16::from_be_bytes(entry[18..20].try_into().ok()?);
    let extra_len = u32::from_be_bytes(entry[20..24].try_into().ok()?);
    let len = (ENTRY_LEN + usize::from(name_len)).checked_add(usize::try_from(extra_len).ok()?)?;
    let behind = directory.get(len.checked_next_multiple_of(8)?..)?;
    GRANULARITY_BITS.contains(&granularity_bits).then_some((Bitmap { granularity_bits, clusters }, behind))
}
