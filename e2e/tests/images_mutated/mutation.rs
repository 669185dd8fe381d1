//! Changes to images that leave most of them nearly right.

use e2e::Rng;
use image_corpus::{Content, Specimen, at, extension};

/// The corpus's images have their tables in the first clusters, of 64 KiB.
const CLUSTER: u64 = 64 << 10;

/// The header's fields, each with its length in bytes.
const FIELDS: [(usize, usize); 17] = [
    (at::VERSION, 4),
    (at::BACKING_FILE_OFFSET, 8),
    (at::BACKING_FILE_SIZE, 4),
    (at::CLUSTER_BITS, 4),
    (at::SIZE, 8),
    (at::CRYPT_METHOD, 4),
    (at::L1_SIZE, 4),
    (at::L1_TABLE_OFFSET, 8),
    (at::REFCOUNT_TABLE_OFFSET, 8),
    (at::REFCOUNT_TABLE_CLUSTERS, 4),
    (at::NB_SNAPSHOTS, 4),
    (at::SNAPSHOTS_OFFSET, 8),
    (at::INCOMPATIBLE_FEATURES, 8),
    (at::COMPATIBLE_FEATURES, 8),
    (at::AUTOCLEAR_FEATURES, 8),
    (at::REFCOUNT_ORDER, 4),
    (at::HEADER_LENGTH, 4),
];

/// Names that lead out of the share, or to QEMU's protocols, if anybody follows them.
const NAMES: [&str; 10] = [
    "/etc/hostname",
    "../outside",
    "./base",
    "base",
    "json:{\"driver\":\"file\",\"filename\":\"/etc/hostname\"}",
    "nbd:unix:/run/outside",
    "file:/etc/hostname",
    "fat:/etc",
    "base/../../outside",
    "host_device:/dev/null",
];

/// One of these images with up to four changes, most of them in the file that is handed over.
pub(crate) fn mutate(rng: &mut Rng, parents: &[Specimen]) -> Specimen {
    let mut image = loop {
        let parent = &parents[pick(rng, parents.len())];
        // One that costs much to open takes as long as fifty others.
        let is_costly = parent.files[0].1.len() > 16 << 20;
        if !is_costly || rng.below(20) == 0 {
            break parent.clone();
        }
    };
    for _ in 0..rng.below(5) {
        let file = if rng.below(4) == 0 { pick(rng, image.files.len()) } else { 0 };
        let (_, content) = &mut image.files[file];
        *content = change(rng, content.clone());
    }
    image
}

fn pick(rng: &mut Rng, count: usize) -> usize {
    rng.below(count as u64) as usize
}

fn change(rng: &mut Rng, content: Content) -> Content {
    let len = content.len();
    match rng.below(11) {
        0 | 1 => {
            let (offset, field_len) = FIELDS[pick(rng, FIELDS.len())];
            let value = value(rng, len).to_be_bytes();
            put(content, offset as u64, &value[8 - field_len..])
        }
        // A feature, where most bits are known.
        2 => {
            let offset = [at::INCOMPATIBLE_FEATURES, at::COMPATIBLE_FEATURES, at::AUTOCLEAR_FEATURES];
            let bit = 1 << rng.below(8);
            put(content, offset[pick(rng, 3)] as u64 + 7, &[bit])
        }
        3 => {
            let offset = rng.below(0x400);
            let byte = rng.below(256) as u8;
            put(content, offset, &[byte])
        }
        // Entries of a table: refcounts, their table, L1, and what lies behind.
        4..=6 => {
            let offset = CLUSTER * (1 + rng.below(6)) + 8 * rng.below(4);
            let entry = value(rng, len) & !0x1ff | rng.below(4) << 62;
            let count = [1, 1, 1, 512, 8192][pick(rng, 5)];
            put(content, offset, &entry.to_be_bytes().repeat(count))
        }
        7 => {
            let kinds = [
                extension::BACKING_FORMAT,
                extension::FEATURE_NAMES,
                extension::BITMAPS,
                extension::ENCRYPTION,
                extension::DATA_FILE,
                extension::UNKNOWN,
                0,
            ];
            let offset = [104, 112, 128, 72][pick(rng, 4)];
            let kind = kinds[pick(rng, kinds.len())].to_be_bytes();
            let data_len = [0, 3, 5, 8, 24][pick(rng, 5)];
            put(content, offset, &[&kind[..], &u32::to_be_bytes(data_len)].concat())
        }
        // A backing file's name, with its length, where the corpus has it.
        8 => {
            let name = NAMES[pick(rng, NAMES.len())].as_bytes();
            let content = put(content, 0x200, name);
            let content = put(content, at::BACKING_FILE_OFFSET as u64, &0x200_u64.to_be_bytes());
            put(content, at::BACKING_FILE_SIZE as u64, &(name.len() as u32).to_be_bytes())
        }
        // A disk of another size, with an L1 table that has room for it.
        9 => {
            let bits = 20 + rng.below(32);
            let l1_entries = 1_u32 << bits.saturating_sub(29);
            let content = put(content, at::SIZE as u64, &(1_u64 << bits).to_be_bytes());
            put(content, at::L1_SIZE as u64, &l1_entries.to_be_bytes())
        }
        _ => {
            let shift = rng.below(4) * 512;
            content.cut((CLUSTER << rng.below(12)) + shift)
        }
    }
}

/// Within the file: a file that grows by a change would have another length to each program.
fn put(content: Content, offset: u64, bytes: &[u8]) -> Content {
    if offset + bytes.len() as u64 <= content.len() { content.with(offset, bytes) } else { content }
}

/// A number near a limit: zero, a power of two, the length of the file, a cluster, or any at all.
fn value(rng: &mut Rng, file_len: u64) -> u64 {
    let around = rng.below(3).wrapping_sub(1);
    match rng.below(6) {
        0 => 0,
        1 => (1_u64 << rng.below(64)).wrapping_add(around),
        2 => file_len.wrapping_add(around),
        3 => CLUSTER * rng.below(80),
        4 => rng.below(64),
        _ => rng.below(u64::MAX),
    }
}
