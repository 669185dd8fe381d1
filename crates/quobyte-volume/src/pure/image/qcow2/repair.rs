//! What repairing an image costs QEMU, which does so before it opens one that was not closed (the dirty bit): it goes
//! through all tables, and tells of each entry that is wrong.

use super::bitmaps::Bitmap;
use super::fields::Fields;
use super::tables::{Layout, SNAPSHOT_MIN_LEN};
use crate::pure::image::source::ReadAt;
use crate::pure::image::violation::{InspectError, Rule, Violation};

/// The most clusters of the file, and entries of tables that stand for a cluster, that a repair may have to go through.
pub(crate) const MAX_REPAIR: u64 = 1 << 23;

/// The most of a snapshot table that is read at once.
const WINDOW: u64 = 4 << 10;

/// Checks what opening an image takes that is marked as dirty, and nothing of any other.
pub(super) fn check(
    source: &dyn ReadAt,
    fields: &Fields,
    layout: &Layout,
    bitmaps: &[Bitmap],
) -> Result<(), InspectError> {
    if !fields.is_dirty() {
        return Ok(());
    }
    let clusters_per_l1_entry = layout.cluster_size / fields.l2_entry_size();
    let l2_entries = |l1_entries: u64| l1_entries.saturating_mul(clusters_per_l1_entry);
    let refcount_entries = u64::from(fields.refcount_clusters) * layout.cluster_size / 8;
    let bitmap_clusters = bitmaps.iter().map(|bitmap| u64::from(bitmap.clusters)).sum::<u64>();
    let mut steps = layout.file_size.div_ceil(layout.cluster_size) + refcount_entries + bitmap_clusters;
    steps = steps.saturating_add(l2_entries(fields.l1_entries.into()));
    check_steps(steps)?;
    let mut snapshots = SnapshotTable::new(source, fields, layout);
    for _ in 0..fields.snapshots {
        steps = steps.saturating_add(l2_entries(snapshots.next_l1_entries()?));
        check_steps(steps)?;
    }
    Ok(())
}

fn check_steps(steps: u64) -> Result<(), Violation> {
    let value = format_args!("a repair of {steps} clusters, over {MAX_REPAIR}");
    Violation::check(steps <= MAX_REPAIR, Rule::OpenCost, &value)
}

const ENTRY_LEN: usize = SNAPSHOT_MIN_LEN as usize;

/// The table of an image's snapshots, read entry by entry.
struct SnapshotTable<'a> {
    source: &'a dyn ReadAt,
    file_size: u64,
    /// Where the next entry is in the file.
    offset: u64,
    /// A part of the file, and where it starts there.
    window: (u64, Vec<u8>),
}

impl<'a> SnapshotTable<'a> {
    fn new(source: &'a dyn ReadAt, fields: &Fields, layout: &Layout) -> Self {
        Self {
            source,
            file_size: layout.file_size,
            offset: fields.snapshots_offset,
            window: (fields.snapshots_offset, Vec::new()),
        }
    }

    /// The length of the next snapshot's L1 table.
    fn next_l1_entries(&mut self) -> Result<u64, InspectError> {
        let entry = *self.read_entry()?;
        let field = |offset: usize, len: usize| {
            entry[offset..offset + len].iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
        };
        // Its names and its extra data.
        let rest = field(12, 2) + field(14, 2) + field(36, 4);
        self.offset += (SNAPSHOT_MIN_LEN + rest).next_multiple_of(8);
        Ok(field(8, 4))
    }

    fn read_entry(&mut self) -> Result<&[u8; ENTRY_LEN], InspectError> {
        let end = self.offset + SNAPSHOT_MIN_LEN;
        let value = format_args!("an entry at {:#x}", self.offset);
        Violation::check(end <= self.file_size, Rule::SnapshotTable, &value)?;
        let (start, window) = &mut self.window;
        if end > *start + window.len() as u64 {
            *start = self.offset;
            let len = (self.file_size - *start).min(WINDOW);
            window.resize(usize::try_from(len).expect("a window is short"), 0);
            self.source.read_exact_at(window, *start)?;
        }
        let from = usize::try_from(self.offset - *start).expect("it is in the window");
        Ok(window[from..].first_chunk().expect("the window holds the entry"))
    }
}
