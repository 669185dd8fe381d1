//! The header's fixed fields, and what can be said of them alone.

use std::io;
use std::ops::RangeInclusive;

use super::super::source::ReadAt;
use super::super::violation::{InspectError, Rule, Violation};

const MAGIC: &[u8] = b"QFI\xfb";
/// Version 1 has the same magic and is another format, `qcow`.
const QCOW: u32 = 1;

/// All fields anybody has given a meaning to, up to the compression type and its padding.
const LEN: usize = 112;
const V2_LEN: u32 = 72;
const V3_MIN_LEN: u32 = 104;
const COMPRESSION_TYPE: u32 = 104;
const ZLIB: u8 = 0;
const ZSTD: u8 = 1;

const CLUSTER_BITS: RangeInclusive<u32> = 9..=21;
/// An extended L2 entry divides a cluster in 32, and each of those is a sector at least.
const EXTENDED_L2_MIN_CLUSTER_BITS: u32 = 14;
const MAX_REFCOUNT_ORDER: u32 = 6;

/// Bit 0 marks a file that was not closed, which QEMU repairs when it opens it.
const DIRTY: u64 = 1 << 0;
const CORRUPT: u64 = 1 << 1;
const DATA_FILE: u64 = 1 << 2;
const COMPRESSION: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;
const KNOWN: u64 = DIRTY | CORRUPT | DATA_FILE | COMPRESSION | EXTENDED_L2;

const AUTOCLEAR_BITMAPS: u64 = 1 << 0;
const AUTOCLEAR_RAW_DATA_FILE: u64 = 1 << 1;

/// The fields that something depends on; compatible features are by their definition nobody's concern.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) virtual_size: u64,
    pub(super) backing_offset: u64,
    pub(super) backing_length: u32,
    pub(super) l1_offset: u64,
    pub(super) l1_entries: u32,
    pub(super) refcount_offset: u64,
    pub(super) refcount_clusters: u32,
    pub(super) snapshots_offset: u64,
    pub(super) snapshots: u32,
    version: u32,
    cluster_bits: u32,
    crypt_method: u32,
    incompatible: u64,
    autoclear: u64,
    refcount_order: u32,
    header_length: u32,
    compression_type: u8,
}

impl Fields {
    /// The fields as they stand in the file; `None` for a file that is not qcow2 at all.
    pub(super) fn read(source: &dyn ReadAt, file_size: u64) -> Result<Option<Self>, InspectError> {
        let header = Bytes::read(source, file_size)?;
        if !header.0.starts_with(MAGIC) || header.be32(4) == QCOW {
            return Ok(None);
        }
        Violation::check(file_size >= LEN as u64, Rule::Truncated, &format_args!("{file_size} bytes"))?;
        let version = header.be32(4);
        // Behind a header of version 2 come its extensions, which look like features to whoever does not ask.
        let is_v2 = version == 2;
        let header_length = if is_v2 { V2_LEN } else { header.be32(100) };
        Ok(Some(Self {
            version,
            backing_offset: header.be64(8),
            backing_length: header.be32(16),
            cluster_bits: header.be32(20),
            virtual_size: header.be64(24),
            crypt_method: header.be32(32),
            l1_entries: header.be32(36),
            l1_offset: header.be64(40),
            refcount_offset: header.be64(48),
            refcount_clusters: header.be32(56),
            snapshots: header.be32(60),
            snapshots_offset: header.be64(64),
            incompatible: if is_v2 { 0 } else { header.be64(72) },
            autoclear: if is_v2 { 0 } else { header.be64(88) },
            refcount_order: if is_v2 { 4 } else { header.be32(96) },
            header_length,
            compression_type: if header_length > COMPRESSION_TYPE {
                header.0[COMPRESSION_TYPE as usize]
            } else {
                ZLIB
            },
        }))
    }

    /// Checks what needs nothing but the fields. Only then may the other methods of this type be called.
    pub(super) fn check(&self) -> Result<(), Violation> {
        let check = Violation::check;
        check(matches!(self.version, 2 | 3), Rule::Version, &self.version)?;
        let unknown = self.incompatible & !KNOWN;
        check(unknown == 0, Rule::IncompatibleFeature, &format_args!("bits {unknown:#x}"))?;
        check(!self.has(DATA_FILE), Rule::ExternalDataFile, &"feature bit 2")?;
        check(self.autoclear & AUTOCLEAR_RAW_DATA_FILE == 0, Rule::ExternalDataFile, &"autoclear bit 1")?;
        check(!self.has(CORRUPT), Rule::Corrupt, &"feature bit 1")?;
        let cluster_size = format_args!("2^{} bytes", self.cluster_bits);
        check(self.cluster_size_is_valid(), Rule::ClusterSize, &cluster_size)?;
        check(self.header_length_is_valid(), Rule::HeaderLength, &self.header_length)?;
        let declares_zlib = !self.has(COMPRESSION);
        let compression_is_known = match self.compression_type {
            ZLIB => declares_zlib,
            ZSTD => !declares_zlib,
            _ => false,
        };
        check(compression_is_known, Rule::CompressionType, &self.compression_type)?;
        let refcount_width = format_args!("2^{} bits", self.refcount_order);
        check(self.refcount_order <= MAX_REFCOUNT_ORDER, Rule::RefcountWidth, &refcount_width)?;
        check(self.crypt_method == 0, Rule::Encryption, &format_args!("method {}", self.crypt_method))
    }

    fn cluster_size_is_valid(&self) -> bool {
        CLUSTER_BITS.contains(&self.cluster_bits)
            && (!self.has(EXTENDED_L2) || self.cluster_bits >= EXTENDED_L2_MIN_CLUSTER_BITS)
    }

    fn header_length_is_valid(&self) -> bool {
        let smallest = if self.version == 2 { V2_LEN } else { V3_MIN_LEN };
        self.header_length >= smallest
            && self.header_length.is_multiple_of(8)
            && u64::from(self.header_length) <= self.cluster_size()
    }

    fn has(&self, feature: u64) -> bool {
        self.incompatible & feature != 0
    }

    /// Whether QEMU repairs the image before it opens it.
    pub(super) fn is_dirty(&self) -> bool {
        self.has(DIRTY)
    }

    /// A cluster's size in bytes.
    pub(super) fn cluster_size(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// The header's length in bytes.
    pub(super) fn header_length(&self) -> usize {
        self.header_length as usize
    }

    /// The length of an L2 entry in bytes.
    pub(super) fn l2_entry_size(&self) -> u64 {
        if self.has(EXTENDED_L2) { 16 } else { 8 }
    }

    /// Whether the bitmaps extension is to be believed; QEMU passes over it otherwise.
    pub(super) fn has_bitmaps(&self) -> bool {
        self.autoclear & AUTOCLEAR_BITMAPS != 0
    }
}

/// The file's first bytes; zero where a short file has none.
struct Bytes([u8; LEN]);

impl Bytes {
    fn read(source: &dyn ReadAt, file_size: u64) -> io::Result<Self> {
        let mut bytes = [0; LEN];
        let len = usize::try_from(file_size).map_or(LEN, |size| size.min(LEN));
        source.read_exact_at(&mut bytes[..len], 0)?;
        Ok(Self(bytes))
    }

    fn be32(&self, offset: usize) -> u32 {
        u32::from_be_bytes(self.array(offset))
    }

    fn be64(&self, offset: usize) -> u64 {
        u64::from_be_bytes(self.array(offset))
    }

    fn array<const N: usize>(&self, offset: usize) -> [u8; N] {
        std::array::from_fn(|i| self.0[offset + i])
    }
}
