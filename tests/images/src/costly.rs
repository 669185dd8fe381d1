//! Images that cost QEMU much to open: those that an operator may have, and those that nobody has by chance.

use crate::{Content, Qcow2, Specimen, VOLUME, Verdict, at, extension};

const TIB: u64 = 1 << 40;
const CLUSTER: u64 = 64 << 10;
/// What an entry of an L1 table stands for, in bytes of the disk.
const PER_L1_ENTRY: u64 = 512 << 20;
/// Where such an image has its L1 table; the file has room for one of 32 MiB.
const L1_TABLE: u64 = 3 * CLUSTER;
const BITMAP_DIRECTORY: u64 = 48 << 20;
const BITMAP_TABLE: u64 = 56 << 20;
const SNAPSHOTS: u64 = 50 << 20;
const FILE_LEN: u64 = 64 << 20;

/// Those that must never reach a guest.
pub(crate) fn hostile() -> Vec<Specimen> {
    let refused = |name, image| Specimen::refused(name, "open_cost", image);
    vec![
        refused("17_bitmaps_of_a_disk_of_16_tib", bitmaps(17, 16, 16 * TIB)),
        refused("6_bitmaps_of_512_mib", bitmaps(6, 9, 2 * TIB)),
        refused("20000_bitmaps", bitmaps(20_000, 16, 1 << 30)),
        refused("4096_snapshots", snapshots(disk(1 << 30), 4096, 2)),
        refused("dirty_disk_of_512_tib", disk(512 * TIB).with_bit(0)),
        refused("dirty_disk_one_cluster_too_large", disk(512 << 30).with_bit(0)),
        refused("dirty_file_of_1_tib", disk(1 << 30).with_bit(0).cut(TIB)),
        refused("dirty_with_snapshots_of_16_tib", snapshots(disk(1 << 30).with_bit(0), 1, 32_768)),
        chain("17_layers_with_l1_tables_of_32_mib", Verdict::Refused("open_cost"), 17, || {
            disk_of(Qcow2::v3(), 2048 * TIB)
        }),
        chain("3_layers_with_8000_extensions", Verdict::Refused("open_cost"), 3, || extensions(8000)),
    ]
}

/// Those that an operator may have, and so much less that a guest may have them.
pub(crate) fn legitimate() -> Vec<Specimen> {
    let accepted =
        |name, content| Specimen::of_files(name, Verdict::Accepted { layers: 1 }, [(VOLUME, content)]);
    vec![
        accepted("15_bitmaps_of_a_disk_of_16_tib", bitmaps(15, 16, 16 * TIB)),
        accepted("1000_bitmaps_of_a_disk_of_100_gib", bitmaps(1000, 16, 100 << 30)),
        accepted("2000_snapshots", snapshots(disk(1 << 30), 2000, 2)),
        accepted("dirty_disk_of_510_gib", disk(510 << 30).with_bit(0)),
        accepted("dirty_with_300_snapshots", snapshots(disk(1 << 30).with_bit(0), 300, 1)),
        accepted("disk_of_2_pib", disk(2048 * TIB)),
        chain("15_layers_with_l1_tables_of_32_mib", Verdict::Accepted { layers: 15 }, 15, || {
            disk_of(Qcow2::v3(), 2048 * TIB)
        }),
    ]
}

fn disk(size: u64) -> Content {
    Content::from(disk_of(Qcow2::v3(), size)).cut(FILE_LEN)
}

/// The same image with a disk of that size.
fn disk_of(image: Qcow2, size: u64) -> Qcow2 {
    let l1_entries = u32::try_from(size.div_ceil(PER_L1_ENTRY)).expect("no table is that long");
    image.u64(at::SIZE, size).u32(at::L1_SIZE, l1_entries).u64(at::L1_TABLE_OFFSET, L1_TABLE)
}

impl Content {
    /// The same, with one more incompatible feature than none.
    fn with_bit(self, bit: u32) -> Self {
        self.with(at::INCOMPATIBLE_FEATURES as u64, (1_u64 << bit).to_be_bytes())
    }
}

/// So many bitmaps of that granularity. The first 32 MiB of each are ones: zeroes take no memory.
fn bitmaps(count: u32, granularity_bits: u8, size: u64) -> Content {
    let clusters = size.div_ceil(1 << granularity_bits).div_ceil(8).div_ceil(CLUSTER);
    let clusters = u32::try_from(clusters).expect("no bitmap is that long");
    let mut directory = Vec::new();
    for number in 0..count {
        let name = format!("{number:08}");
        directory.extend(BITMAP_TABLE.to_be_bytes());
        directory.extend(clusters.to_be_bytes());
        // Neither in use nor kept up to date by itself; of the one type there is.
        directory.extend([0, 0, 0, 0, 1, granularity_bits, 0, name.len() as u8]);
        directory.extend([0; 4]);
        directory.extend(name.bytes());
    }
    let image = Qcow2::v3().bitmaps(count, directory.len() as u64, BITMAP_DIRECTORY);
    let ones = 1_u64.to_be_bytes().repeat(512);
    Content::from(disk_of(image, size))
        .cut(FILE_LEN)
        .with(BITMAP_DIRECTORY, directory)
        .with(BITMAP_TABLE, ones)
}

/// The same image with so many snapshots, each with an L1 table of that length.
fn snapshots(image: Content, count: u32, l1_entries: u32) -> Content {
    let mut table = Vec::new();
    for number in 0..count {
        let id = format!("{number:08}");
        let extra: Vec<_> = [0_u64.to_be_bytes(), (1_u64 << 20).to_be_bytes()].concat();
        table.extend(L1_TABLE.to_be_bytes());
        table.extend(l1_entries.to_be_bytes());
        table.extend([0, id.len() as u8, 0, 0]);
        table.extend([0; 20]);
        table.extend((extra.len() as u32).to_be_bytes());
        table.extend(extra);
        table.extend(id.bytes());
    }
    image
        .with(at::NB_SNAPSHOTS as u64, count.to_be_bytes())
        .with(at::SNAPSHOTS_OFFSET as u64, SNAPSHOTS.to_be_bytes())
        .with(SNAPSHOTS, table)
}

/// An image with so many extensions that nobody knows, of no bytes each.
fn extensions(count: usize) -> Qcow2 {
    (0..count).fold(Qcow2::v3(), |image, _| image.extension(extension::UNKNOWN, b""))
}

/// So many such files, each on the next.
fn chain(name: &'static str, verdict: Verdict, layers: usize, image: impl Fn() -> Qcow2) -> Specimen {
    let path = |layer| if layer == 0 { VOLUME.to_owned() } else { format!("{VOLUME}.{layer}") };
    let files = (0..layers).map(|layer| {
        let is_last = layer + 1 == layers;
        let image = if is_last { image() } else { on(image(), &path(layer + 1)) };
        (path(layer), Content::from(image).cut(FILE_LEN))
    });
    Specimen { name, format: "qcow2", files: files.collect(), verdict }
}

/// The same on a backing file, whose name is at the end of the cluster, behind all extensions.
fn on(image: Qcow2, name: &str) -> Qcow2 {
    let offset = CLUSTER as usize - name.len();
    image
        .extension(extension::BACKING_FORMAT, b"qcow2")
        .u64(at::BACKING_FILE_OFFSET, offset as u64)
        .u32(at::BACKING_FILE_SIZE, name.len() as u32)
        .put(offset, name.as_bytes())
}
