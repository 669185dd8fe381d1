//! Files as short inputs: a file's length, how its first bytes go, and zeroes from there on.

use std::io;

use image_corpus::{Content, Specimen};
use quobyte_volume::pure::image::ReadAt;

/// Most of a file's first bytes that are kept. All headers of the corpus fit but one, and a cluster of zeroes costs
/// nothing.
const MAX_START: u64 = 1 << 12;

/// A file that starts with some bytes and is zero behind them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct File<'a> {
    pub(crate) len: u64,
    start: &'a [u8],
}

impl<'a> File<'a> {
    /// The file's length in eight bytes, then its start. Bytes behind the length are not the file's.
    pub(crate) fn decode(input: &'a [u8]) -> Option<Self> {
        let (len, start) = input.split_first_chunk()?;
        let len = u64::from_be_bytes(*len);
        let start = &start[..start.len().min(usize::try_from(len).unwrap_or(usize::MAX))];
        Some(Self { len, start })
    }

    /// The byte at a place within the file.
    pub(crate) fn byte(&self, offset: usize) -> u8 {
        self.start.get(offset).copied().unwrap_or(0)
    }
}

impl ReadAt for File<'_> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.start.len());
        let written = &self.start[start..];
        let (head, zeroes) = buffer.split_at_mut(written.len().min(buffer.len()));
        head.copy_from_slice(&written[..head.len()]);
        zeroes.fill(0);
        Ok(())
    }
}

/// Files by their names; the first is handed over.
pub(crate) fn decode_files(mut input: &[u8]) -> Vec<(&str, File<'_>)> {
    let mut files = Vec::new();
    while let Some((name, rest)) = length_prefixed(input) {
        let Some((file, rest)) = length_prefixed(rest) else { break };
        if let (Ok(name), Some(file)) = (std::str::from_utf8(name), File::decode(file)) {
            files.push((name, file));
        }
        input = rest;
    }
    files
}

/// Bytes behind their number, which has two bytes.
fn length_prefixed(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = input.split_first_chunk()?;
    rest.split_at_checked(u16::from_be_bytes(*len).into())
}

pub(crate) fn encode(content: &Content) -> Vec<u8> {
    let mut start = content
        .read(0, usize::try_from(content.len().min(MAX_START)).expect("it is short"))
        .expect("it is in the file");
    let used = start.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    start.truncate(used);
    [&content.len().to_be_bytes()[..], &start].concat()
}

pub(crate) fn encode_files(specimen: &Specimen) -> Vec<u8> {
    let length_prefixed = |bytes: &[u8]| {
        let len = u16::try_from(bytes.len()).expect("it is short");
        [&len.to_be_bytes()[..], bytes].concat()
    };
    let file = |(name, content): &(String, Content)| {
        [length_prefixed(name.as_bytes()), length_prefixed(&encode(content))].concat()
    };
    specimen.files.iter().flat_map(file).collect()
}
