//! Tables that are not in the file, or where something else is, and sizes that no table could hold.

use crate::{Content, Qcow2, Specimen, at, extension};

pub(super) fn all() -> Vec<Specimen> {
    [refcounts(), l1(), snapshots(), bitmaps(), sizes(), second_formats()].concat()
}

/// The same in a file with room for whatever it claims.
fn large_file(image: Qcow2) -> Content {
    Content::from(image).cut(128 << 20)
}

fn refcounts() -> Vec<Specimen> {
    let refused = |name, image| Specimen::refused(name, "refcount_table", image);
    let table = |offset| Qcow2::v3().u64(at::REFCOUNT_TABLE_OFFSET, offset);
    let clusters = |count| Qcow2::v3().u32(at::REFCOUNT_TABLE_CLUSTERS, count);
    vec![
        refused("no_refcount_table", clusters(0)),
        Specimen::refused("refcount_table_of_more_than_8_mib", "refcount_table", large_file(clusters(129))),
        refused("refcount_table_of_256_tib", clusters(u32::MAX)),
        refused("refcount_table_between_clusters", table(0x1_0200)),
        refused("refcount_table_in_the_header", table(0)),
        refused("refcount_table_behind_the_end", table(4 << 20)),
        refused("refcount_table_at_the_end_of_all_numbers", table(u64::MAX - 0xffff)),
    ]
}

fn l1() -> Vec<Specimen> {
    let refused = |name, image| Specimen::refused(name, "l1_table", image);
    let table = |offset| Qcow2::v3().u64(at::L1_TABLE_OFFSET, offset);
    let entries = |count| Qcow2::v3().u32(at::L1_SIZE, count);
    vec![
        Specimen::refused("l1_table_of_more_than_32_mib", "l1_table", large_file(entries((4 << 20) + 1))),
        refused("l1_table_of_32_gib", entries(u32::MAX)),
        refused("l1_table_longer_than_the_file", entries(4 << 20)),
        refused("l1_table_between_clusters", table(0x3_0008)),
        refused("l1_table_in_the_header", table(0)),
        refused("l1_table_behind_the_end", table(1 << 40)),
        refused("l1_table_at_the_end_of_all_numbers", table(u64::MAX - 0xffff)),
    ]
}

fn snapshots() -> Vec<Specimen> {
    let refused = |name, image| Specimen::refused(name, "snapshot_table", image);
    let table = |count, offset| Qcow2::v3().u32(at::NB_SNAPSHOTS, count).u64(at::SNAPSHOTS_OFFSET, offset);
    vec![
        refused("4_billion_snapshots", table(u32::MAX, 0x4_0000)),
        refused("65537_snapshots", table(65_537, 0x4_0000)),
        refused("snapshots_between_clusters", table(1, 0x4_0001)),
        refused("snapshots_in_the_header", table(1, 0)),
        refused("snapshots_behind_the_end", table(1, 1 << 40)),
        refused("snapshots_across_the_end", table(2000, 0x3f_0000)),
    ]
}

fn bitmaps() -> Vec<Specimen> {
    let refused = |name, image| Specimen::refused(name, "bitmap_directory", image);
    let bitmaps = |count, size, offset| Qcow2::v3().bitmaps(count, size, offset);
    vec![
        refused("bitmaps_with_a_reserved_field", {
            let mut data = [0, 0, 0, 1, 0, 0, 0, 1].to_vec();
            data.extend(32_u64.to_be_bytes());
            data.extend(0x4_0000_u64.to_be_bytes());
            Qcow2::v3().extension(extension::BITMAPS, &data).bit(at::AUTOCLEAR_FEATURES, 0)
        }),
        refused("no_bitmaps", bitmaps(0, 32, 0x4_0000)),
        refused("65536_bitmaps", bitmaps(65_536, 32, 0x4_0000)),
        Specimen::refused(
            "bitmap_directory_of_64_mib",
            "bitmap_directory",
            large_file(bitmaps(1, 64 << 20, 0x4_0000)),
        ),
        refused("bitmap_directory_of_16_eib", bitmaps(1, u64::MAX, 0x4_0000)),
        refused("bitmap_directory_between_clusters", bitmaps(1, 32, 0x4_0010)),
        refused("bitmap_directory_in_the_header", bitmaps(1, 32, 0)),
        refused("bitmap_directory_behind_the_end", bitmaps(1, 32, 1 << 40)),
    ]
}

fn sizes() -> Vec<Specimen> {
    let refused = |name, image| Specimen::refused(name, "virtual_size", image);
    let size = |size| Qcow2::v3().u64(at::SIZE, size);
    vec![
        refused("disk_of_4_eib", size(1 << 62)),
        refused("disk_of_16_eib", size(u64::MAX)),
        refused("disk_one_sector_larger_than_its_l1_table", size((512 << 20) + 512)),
        refused("disk_without_an_l1_table", Qcow2::v3().u32(at::L1_SIZE, 0)),
        refused("disk_with_an_l1_table_for_half_of_it", size(512 << 20).feature(4)),
    ]
}

fn second_formats() -> Vec<Specimen> {
    let refused = |name, image| Specimen::refused(name, "second_format", image);
    vec![
        refused("iso9660_as_well", Qcow2::v3().put(0x8001, b"CD001")),
        refused("gpt_as_well", Qcow2::v3().put(0x200, b"EFI PART")),
        refused("mbr_as_well", Qcow2::v3().put(0x1fe, b"\x55\xaa")),
        // The upper half of the place of a snapshot table that nobody looks for while there are no snapshots.
        refused("vdi_as_well", Qcow2::v3().put(at::SNAPSHOTS_OFFSET, b"\x7f\x10\xda\xbe")),
    ]
}
