//! Makes qcow2 images, right ones and wrong ones, field by field.

use crate::Content;

/// Where the header's fields are.
#[expect(missing_docs, reason = "they are named as in QEMU's description of the format")]
pub mod at {
    pub const VERSION: usize = 4;
    pub const BACKING_FILE_OFFSET: usize = 8;
    pub const BACKING_FILE_SIZE: usize = 16;
    pub const CLUSTER_BITS: usize = 20;
    pub const SIZE: usize = 24;
    pub const CRYPT_METHOD: usize = 32;
    pub const L1_SIZE: usize = 36;
    pub const L1_TABLE_OFFSET: usize = 40;
    pub const REFCOUNT_TABLE_OFFSET: usize = 48;
    pub const REFCOUNT_TABLE_CLUSTERS: usize = 56;
    pub const NB_SNAPSHOTS: usize = 60;
    pub const SNAPSHOTS_OFFSET: usize = 64;
    pub const INCOMPATIBLE_FEATURES: usize = 72;
    pub const COMPATIBLE_FEATURES: usize = 80;
    pub const AUTOCLEAR_FEATURES: usize = 88;
    pub const REFCOUNT_ORDER: usize = 96;
    pub const HEADER_LENGTH: usize = 100;
    pub const COMPRESSION_TYPE: usize = 104;
}

/// The types of header extensions.
#[expect(missing_docs, reason = "they are named as in QEMU's description of the format")]
pub mod extension {
    pub const BACKING_FORMAT: u32 = 0xe279_2aca;
    pub const FEATURE_NAMES: u32 = 0x6803_f857;
    pub const BITMAPS: u32 = 0x2385_2875;
    pub const ENCRYPTION: u32 = 0x0537_be77;
    pub const DATA_FILE: u32 = 0x4441_5441;
    pub const UNKNOWN: u32 = 0x7465_7374;
}

/// An image under construction. It starts as an empty disk of 1 MiB in a file of 4 MiB that QEMU opens.
#[derive(Debug, Clone)]
pub struct Qcow2 {
    bytes: Vec<u8>,
    end_of_extensions: usize,
}

const FILE_LEN: u64 = 4 << 20;
const CLUSTER: usize = 64 << 10;
const REFCOUNT_TABLE: usize = CLUSTER;
const REFCOUNT_BLOCK: usize = 2 * CLUSTER;
const L1_TABLE: usize = 3 * CLUSTER;
const BACKING_NAME: usize = 0x200;

impl Qcow2 {
    /// An image of version 3 with the shortest header.
    #[must_use]
    pub fn v3() -> Self {
        Self::new(104).u32(at::VERSION, 3).u32(at::REFCOUNT_ORDER, 4).u32(at::HEADER_LENGTH, 104)
    }

    /// An image of version 2.
    #[must_use]
    pub fn v2() -> Self {
        Self::new(72).u32(at::VERSION, 2)
    }

    fn new(header_length: usize) -> Self {
        let empty = Self { bytes: vec![0; 4 * CLUSTER], end_of_extensions: header_length };
        let one_each = [1_u16.to_be_bytes(); 4].concat();
        empty
            .put(0, b"QFI\xfb")
            .u32(at::CLUSTER_BITS, 16)
            .u64(at::SIZE, 1 << 20)
            .u32(at::L1_SIZE, 1)
            .u64(at::L1_TABLE_OFFSET, L1_TABLE as u64)
            .u64(at::REFCOUNT_TABLE_OFFSET, REFCOUNT_TABLE as u64)
            .u32(at::REFCOUNT_TABLE_CLUSTERS, 1)
            .u64(REFCOUNT_TABLE, REFCOUNT_BLOCK as u64)
            .put(REFCOUNT_BLOCK, &one_each)
    }

    /// Puts bytes at a place in the first four clusters.
    #[must_use]
    pub fn put(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Sets a field of 32 bits.
    #[must_use]
    pub fn u32(self, offset: usize, value: u32) -> Self {
        self.put(offset, &value.to_be_bytes())
    }

    /// Sets a field of 64 bits.
    #[must_use]
    pub fn u64(self, offset: usize, value: u64) -> Self {
        self.put(offset, &value.to_be_bytes())
    }

    /// Sets one incompatible feature besides those that are set.
    #[must_use]
    pub fn feature(self, bit: usize) -> Self {
        self.bit(at::INCOMPATIBLE_FEATURES, bit)
    }

    /// Sets one bit of a field of 64 bits.
    #[must_use]
    pub fn bit(mut self, offset: usize, bit: usize) -> Self {
        self.bytes[offset + 7 - bit / 8] |= 1 << (bit % 8);
        self
    }

    /// Sets the header's length, and where its extensions start.
    #[must_use]
    pub fn header_length(mut self, len: u32) -> Self {
        self.end_of_extensions = len as usize;
        self.u32(at::HEADER_LENGTH, len)
    }

    /// Appends a header extension.
    #[must_use]
    pub fn extension(self, kind: u32, data: &[u8]) -> Self {
        let len = u32::try_from(data.len()).expect("an extension is short");
        self.extension_claiming(kind, len, data)
    }

    /// Appends a header extension that says it is `len` bytes long.
    #[must_use]
    pub fn extension_claiming(mut self, kind: u32, len: u32, data: &[u8]) -> Self {
        let start = self.end_of_extensions;
        self.end_of_extensions = (start + 8 + data.len()).next_multiple_of(8);
        self.u32(start, kind).u32(start + 4, len).put(start + 8, data)
    }

    /// Names a backing file and its format.
    #[must_use]
    pub fn on(self, name: impl AsRef<[u8]>, format: &str) -> Self {
        self.extension(extension::BACKING_FORMAT, format.as_bytes()).on_unknown_format(name)
    }

    /// Names a backing file and not its format.
    #[must_use]
    pub fn on_unknown_format(self, name: impl AsRef<[u8]>) -> Self {
        let name = name.as_ref();
        let len = u32::try_from(name.len()).expect("a name is short");
        self.u64(at::BACKING_FILE_OFFSET, BACKING_NAME as u64)
            .u32(at::BACKING_FILE_SIZE, len)
            .put(BACKING_NAME, name)
    }

    /// An extension that lists bitmaps, and the feature that says it is to be believed.
    #[must_use]
    pub fn bitmaps(self, count: u32, directory_size: u64, directory_offset: u64) -> Self {
        let mut data = count.to_be_bytes().to_vec();
        data.extend([0; 4]);
        data.extend(directory_size.to_be_bytes());
        data.extend(directory_offset.to_be_bytes());
        self.extension(extension::BITMAPS, &data).bit(at::AUTOCLEAR_FEATURES, 0)
    }
}

impl From<Qcow2> for Content {
    fn from(image: Qcow2) -> Self {
        Self::zeroes(FILE_LEN).with(0, image.bytes)
    }
}
