//! What a file is that was declared as qcow2 and is not, so that an operator can be told.
//!
//! Nothing is ever opened as what is found here: formats are declared, and this is for messages, and for refusing a
//! qcow2 image that other programs could take for something else.

use std::io;

use super::source::ReadAt;

/// A format that a file can be recognised as by a few bytes at a fixed place.
struct Signature {
    offset: usize,
    bytes: &'static [u8],
    format: &'static str,
}

const fn signature(offset: usize, bytes: &'static [u8], format: &'static str) -> Signature {
    Signature { offset, bytes, format }
}

/// The more telling first: a GPT disk starts as an MBR disk does.
const SIGNATURES: [Signature; 14] = [
    signature(0, b"QFI\xfb", "qcow"),
    signature(0, b"QED\0", "qed"),
    signature(0, b"KDMV", "vmdk"),
    signature(0, b"COWD", "vmdk"),
    signature(0, b"# Disk DescriptorFile", "vmdk"),
    signature(0, VHD_COOKIE, "vhd"),
    signature(0, b"vhdxfile", "vhdx"),
    signature(0, b"LUKS\xba\xbe", "luks"),
    signature(0, b"WithoutFreeSpace", "parallels"),
    signature(0, b"WithouFreSpacExt", "parallels"),
    signature(0x40, b"\x7f\x10\xda\xbe", "vdi"),
    signature(0x200, b"EFI PART", "gpt"),
    signature(0x1fe, b"\x55\xaa", "mbr"),
    signature(0x8001, b"CD001", "iso9660"),
];

/// A VHD of fixed size has no header, only a footer in its last sector.
const VHD_COOKIE: &[u8] = b"conectix";
const VHD_FOOTER_LEN: u64 = 512;

/// As many bytes of a file's start as signatures are looked for in.
const PREFIX_LEN: u64 = 0x8006;

/// The format that a file which is not qcow2 looks like.
pub(super) fn describe(source: &dyn ReadAt, file_size: u64) -> io::Result<&'static str> {
    if file_size == 0 {
        return Ok("empty");
    }
    let prefix = read(source, 0, file_size.min(PREFIX_LEN))?;
    if let Some(found) = SIGNATURES.iter().find(|signature| signature.is_in(&prefix)) {
        return Ok(found.format);
    }
    let is_vhd = match file_size.checked_sub(VHD_FOOTER_LEN) {
        Some(footer) => read(source, footer, VHD_FOOTER_LEN)?.starts_with(VHD_COOKIE),
        None => false,
    };
    Ok(if is_vhd { "vhd" } else { "raw or unknown" })
}

/// The format other than qcow2 that an image with this first cluster could be taken for.
///
/// QEMU keeps nothing behind the header, its extensions and the backing name in the first cluster, so a real image
/// never has such a signature there. Farther on is what the guest writes, which is none of our business.
pub(super) fn second_format(first_cluster: &[u8]) -> Option<&'static str> {
    SIGNATURES
        .iter()
        .find(|signature| signature.offset > 0 && signature.is_in(first_cluster))
        .map(|signature| signature.format)
}

impl Signature {
    fn is_in(&self, bytes: &[u8]) -> bool {
        bytes.get(self.offset..).is_some_and(|rest| rest.starts_with(self.bytes))
    }
}

fn read(source: &dyn ReadAt, offset: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    source.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}
