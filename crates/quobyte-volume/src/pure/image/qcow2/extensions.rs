//! The extensions between the header and the backing file's name.

use super::super::violation::{Rule, Violation};

const END: u32 = 0;
const BACKING_FORMAT: u32 = 0xe279_2aca;
const BITMAPS: u32 = 0x2385_2875;
const ENCRYPTION: u32 = 0x0537_be77;
const DATA_FILE: u32 = 0x4441_5441;

const BITMAPS_LEN: usize = 24;
/// An extension's type and length.
const HEAD_LEN: usize = 8;

/// What is of interest in the extensions of one image.
#[derive(Debug, Default)]
pub(super) struct Extensions<'a> {
    pub(super) backing_format: Option<&'a [u8]>,
    pub(super) bitmaps: Option<Bitmaps>,
    /// How many there are.
    pub(super) count: u64,
}

/// Where the image's persistent dirty bitmaps are listed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bitmaps {
    pub(super) count: u32,
    pub(super) reserved: u32,
    pub(super) directory_size: u64,
    pub(super) directory_offset: u64,
}

impl<'a> Extensions<'a> {
    /// Walks through the area between the header's end and the backing name, or the end of the first cluster.
    ///
    /// Types nobody here knows are passed over, as the format wants it. An area without room for a single extension
    /// is one without extensions, as QEMU wrote it before there were any.
    pub(super) fn parse(mut area: &'a [u8]) -> Result<Self, Violation> {
        let mut found = Self::default();
        if area.len() < HEAD_LEN {
            return Ok(found);
        }
        loop {
            let Some((kind, data, rest)) = next(area) else {
                return Err(malformed(format!("cut off {} bytes before its end", area.len())));
            };
            match kind {
                END if data.is_empty() => return Ok(found),
                END => return Err(malformed(format!("an end mark of {} bytes", data.len()))),
                BACKING_FORMAT if found.backing_format.is_some() => {
                    return Err(Violation::new(Rule::BackingFormat, &"two"));
                }
                BACKING_FORMAT => found.backing_format = Some(data),
                BITMAPS => found.bitmaps = Some(Bitmaps::parse(data)?),
                ENCRYPTION => return Err(Violation::new(Rule::Encryption, &"encryption header")),
                DATA_FILE => {
                    let name = String::from_utf8_lossy(data);
                    return Err(Violation::new(Rule::ExternalDataFile, &format_args!("data file {name}")));
                }
                _ => {}
            }
            found.count += 1;
            area = rest;
        }
    }
}

impl Bitmaps {
    fn parse(data: &[u8]) -> Result<Self, Violation> {
        let data: &[u8; BITMAPS_LEN] =
            data.try_into().map_err(|_| malformed(format!("bitmaps of {} bytes", data.len())))?;
        let field = |offset: usize| u64::from_be_bytes(std::array::from_fn(|i| data[offset + i]));
        Ok(Self {
            count: (field(0) >> 32) as u32,
            reserved: field(0) as u32,
            directory_size: field(8),
            directory_offset: field(16),
        })
    }
}

/// The first extension's type and data, and what is behind its padding.
fn next(area: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let (kind, rest) = area.split_first_chunk()?;
    let (len, rest) = rest.split_first_chunk()?;
    let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
    let data = rest.get(..len)?;
    let rest = rest.get(len.checked_next_multiple_of(8)?..)?;
    Some((u32::from_be_bytes(*kind), data, rest))
}

fn malformed(value: String) -> Violation {
    Violation::new(Rule::HeaderExtension, &value)
}
