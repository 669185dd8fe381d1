//! What is counted, and that images are accepted at the bounds and refused one past them.

use image_corpus::{Content, Qcow2, at, extension};

use super::super::ImageHeader;
use super::super::repair::MAX_REPAIR;
use super::*;
use crate::pure::image::violation::InspectError;

const CLUSTER: u64 = 64 << 10;
/// The refcount table and the L1 table of the least image.
const LEAST_MEMORY: u64 = CLUSTER + 8;

fn parse(image: &Content) -> Result<OpenCost, Violation> {
    match ImageHeader::parse(image, image.len()) {
        Ok(header) => Ok(header.cost),
        Err(InspectError::Violation(violation)) => Err(violation),
        Err(error) => panic!("{error}"),
    }
}

fn cost(image: impl Into<Content>) -> (u64, u64) {
    let cost = parse(&image.into()).unwrap();
    (cost.memory, cost.reads)
}

/// The value of the violation of the one rule that is about costs.
fn refusal(image: impl Into<Content>) -> String {
    let violation = parse(&image.into()).unwrap_err();
    assert_eq!(violation.rule, Rule::OpenCost, "{violation}");
    violation.value
}

/// A bitmap's entry in the directory, with a name of 8 bytes.
fn bitmap(granularity_bits: u8, clusters: u32) -> Vec<u8> {
    let mut entry = vec![0; 8];
    entry.extend(clusters.to_be_bytes());
    entry.extend([0, 0, 0, 0, 1, granularity_bits, 0, 8, 0, 0, 0, 0]);
    entry.extend(*b"nightly0");
    entry
}

/// A disk of 512 MiB with these bitmaps, of which the extension lists so many.
fn with_bitmaps(bitmaps: &[Vec<u8>], count: usize) -> Content {
    let directory = bitmaps.concat();
    let image = Qcow2::v3().u64(at::SIZE, 512 << 20);
    let image = image.bitmaps(u32::try_from(count).unwrap(), directory.len() as u64, 4 << 20);
    Content::from(image).with(4 << 20, directory)
}

#[test]
fn every_table_is_counted() {
    assert_eq!(cost(Qcow2::v3()), (LEAST_MEMORY, 0));
    let file = |image: Qcow2| Content::from(image).cut(64 << 20);
    assert_eq!(cost(file(Qcow2::v3().u32(at::L1_SIZE, 4 << 20))), (CLUSTER + (32 << 20), 0));
    assert_eq!(cost(file(Qcow2::v3().u32(at::REFCOUNT_TABLE_CLUSTERS, 128))), (8 + (8 << 20), 0));
    let snapshots = Qcow2::v3().u32(at::NB_SNAPSHOTS, 300).u64(at::SNAPSHOTS_OFFSET, CLUSTER * 4);
    assert_eq!(cost(snapshots), (LEAST_MEMORY + 300 * SNAPSHOT_MAX_LEN, 1200));
    let extensions = Qcow2::v3().extension(extension::UNKNOWN, b"").extension(extension::UNKNOWN, b"12345");
    assert_eq!(cost(extensions), (LEAST_MEMORY, 4));
    // A bit for each 64 KiB of the disk, and one for each sector; and the extension.
    let bitmaps = with_bitmaps(&[bitmap(16, 1), bitmap(9, 2)], 2);
    assert_eq!(cost(bitmaps), (LEAST_MEMORY + (1 << 10) + 8 + (128 << 10) + 16, 2 + 2 + 3));
}

#[test]
fn costs_are_accepted_up_to_their_bounds() {
    let at_bound = OpenCost { memory: MAX_MEMORY, reads: MAX_READS };
    at_bound.check().unwrap();
    for more in [OpenCost { memory: 1, reads: 0 }, OpenCost { memory: 0, reads: 1 }] {
        assert_eq!(at_bound.plus(more).check().unwrap_err().rule, Rule::OpenCost);
    }
    let endless = OpenCost { memory: u64::MAX, reads: u64::MAX };
    endless.plus(endless).check().unwrap_err();
}

#[test]
fn bitmaps_are_accepted_up_to_their_bounds() {
    // Two reads for the extension, one for the table.
    let clusters = u32::try_from(MAX_READS - 3).unwrap();
    assert_eq!(cost(with_bitmaps(&[bitmap(16, clusters)], 1)).1, MAX_READS);
    assert_eq!(
        refusal(with_bitmaps(&[bitmap(16, clusters + 1)], 1)),
        "16385 reads with those above, over 16384"
    );
    // As large a directory as is read, made so by a bitmap's extra data.
    let long = |len: u32| {
        let mut entry = bitmap(16, 1);
        entry[20..24].copy_from_slice(&(len - 32).to_be_bytes());
        entry.resize(len as usize, 0);
        with_bitmaps(&[entry], 1)
    };
    cost(long(1 << 20));
    assert_eq!(refusal(long((1 << 20) + 8)), "a bitmap directory of 1048584 bytes, over 1048576");
}

#[test]
fn malformed_bitmap_directory_is_refused() {
    for (name, bitmaps, count) in [
        ("fewer than listed", vec![bitmap(16, 1)], 2),
        ("more than listed", vec![bitmap(16, 1), bitmap(16, 1)], 1),
        ("too fine", vec![bitmap(8, 1)], 1),
        ("too coarse", vec![bitmap(32, 1)], 1),
        ("coarser than any shift", vec![bitmap(255, 1)], 1),
        ("cut off", vec![bitmap(16, 1)[..24].to_vec()], 1),
        ("cut off in its head", vec![vec![0; 16]], 1),
        ("extra data without end", vec![[&bitmap(16, 1)[..20], &[0xff; 12]].concat()], 1),
    ] {
        let violation = parse(&with_bitmaps(&bitmaps, count)).unwrap_err();
        assert_eq!(violation.rule, Rule::BitmapDirectory, "{name}");
    }
}

/// A dirty image with so much to repair, by the length of its file alone. Its tables have a cluster each.
fn to_repair(steps: u64) -> Content {
    Content::from(Qcow2::v3().feature(0)).cut((steps - 2 * CLUSTER / 8) * CLUSTER)
}

#[test]
fn repair_is_accepted_up_to_its_bound() {
    parse(&to_repair(MAX_REPAIR)).unwrap();
    assert_eq!(refusal(to_repair(MAX_REPAIR + 1)), "a repair of 8388609 clusters, over 8388608");
    // What is not dirty is not repaired.
    let clean = to_repair(MAX_REPAIR + 1).with(at::INCOMPATIBLE_FEATURES as u64, [0; 8]);
    parse(&clean).unwrap();
    // An extended L2 entry has twice the length.
    let extended =
        to_repair(MAX_REPAIR + CLUSTER / 16).with(at::INCOMPATIBLE_FEATURES as u64 + 7, [0b1_0001]);
    parse(&extended).unwrap();
    let last = extended.len();
    refusal(extended.cut(last + CLUSTER));
}

/// The same with two snapshots, the second of which has so many entries in its L1 table.
fn with_snapshots(image: &Content, l1_entries: u32, name_len: u16) -> Content {
    let entry = |l1_entries: u32| {
        let mut entry = vec![0; 40];
        entry[8..12].copy_from_slice(&l1_entries.to_be_bytes());
        entry[14..16].copy_from_slice(&name_len.to_be_bytes());
        entry[39] = 16;
        entry.resize((40 + usize::from(name_len) + 16).next_multiple_of(8), 0);
        entry
    };
    let table = [entry(0), entry(l1_entries)].concat();
    let image = image.clone().with(at::NB_SNAPSHOTS as u64, 2_u32.to_be_bytes());
    image.with(at::SNAPSHOTS_OFFSET as u64, (2_u64 << 20).to_be_bytes()).with(2 << 20, table)
}

#[test]
fn snapshots_count_for_a_repair() {
    let image = to_repair(MAX_REPAIR - 8192);
    for name_len in [0, 1, 5000, u16::MAX] {
        parse(&with_snapshots(&image, 1, name_len)).unwrap();
        refusal(with_snapshots(&image, 2, name_len));
        refusal(with_snapshots(&image, u32::MAX, name_len));
    }
}

#[test]
fn cut_off_snapshot_table_is_refused() {
    let image = Content::from(Qcow2::v3().feature(0));
    let end = image.len();
    let table = end - CLUSTER;
    let image = image.with(at::SNAPSHOTS_OFFSET as u64, table.to_be_bytes());
    let mut entry = vec![0; 40];
    entry[36..40].copy_from_slice(&(u32::MAX - 100).to_be_bytes());
    let image = image.with(at::NB_SNAPSHOTS as u64, 2_u32.to_be_bytes()).with(table, entry);
    assert_eq!(parse(&image).unwrap_err().rule, Rule::SnapshotTable);
}
