//! Checks where the tables are that a header points to.

use super::super::violation::{Rule, Violation};
use super::extensions::Bitmaps;
use super::fields::Fields;

/// QEMU's limits, in bytes or entries.
const MAX_REFCOUNT_TABLE: u64 = 8 << 20;
const MAX_L1_TABLE: u64 = 32 << 20;
const MAX_SNAPSHOTS: u64 = 65_536;
const MAX_BITMAPS: u64 = 65_535;
const MAX_BITMAP_DIRECTORY: u64 = 1024 * MAX_BITMAPS;

pub(super) const L1_ENTRY_LEN: u64 = 8;
/// A snapshot's entry without its names and extra data.
pub(super) const SNAPSHOT_MIN_LEN: u64 = 40;

/// The units a file is divided in.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) cluster_size: u64,
    pub(super) file_size: u64,
}

/// A table somewhere in the file.
struct Table {
    rule: Rule,
    offset: u64,
    /// Its least length in bytes.
    len: u64,
    /// The most bytes QEMU takes.
    max_len: u64,
}

impl Layout {
    /// Checks every table, and whether the L1 table has room for the disk.
    pub(super) fn check(&self, fields: &Fields, bitmaps: Option<Bitmaps>) -> Result<(), Violation> {
        Violation::check(fields.refcount_clusters > 0, Rule::RefcountTable, &"none")?;
        self.check_table(&Table {
            rule: Rule::RefcountTable,
            offset: fields.refcount_offset,
            len: u64::from(fields.refcount_clusters) * self.cluster_size,
            max_len: MAX_REFCOUNT_TABLE,
        })?;
        self.check_table(&Table {
            rule: Rule::SnapshotTable,
            offset: fields.snapshots_offset,
            len: u64::from(fields.snapshots) * SNAPSHOT_MIN_LEN,
            max_len: MAX_SNAPSHOTS * SNAPSHOT_MIN_LEN,
        })?;
        self.check_table(&Table {
            rule: Rule::L1Table,
            offset: fields.l1_offset,
            len: u64::from(fields.l1_entries) * L1_ENTRY_LEN,
            max_len: MAX_L1_TABLE,
        })?;
        self.check_virtual_size(fields)?;
        match bitmaps {
            Some(bitmaps) if fields.has_bitmaps() => self.check_bitmaps(bitmaps),
            _ => Ok(()),
        }
    }

    fn check_table(&self, table: &Table) -> Result<(), Violation> {
        let end = table.offset.checked_add(table.len);
        let is_in_file = table.len == 0
            || (table.offset >= self.cluster_size && end.is_some_and(|end| end <= self.file_size));
        Violation::check(
            table.len <= table.max_len && table.offset.is_multiple_of(self.cluster_size) && is_in_file,
            table.rule,
            &format_args!("{} bytes at {:#x}", table.len, table.offset),
        )
    }

    fn check_virtual_size(&self, fields: &Fields) -> Result<(), Violation> {
        let clusters_per_l1_entry = self.cluster_size / fields.l2_entry_size();
        let room = u64::from(fields.l1_entries) * clusters_per_l1_entry * self.cluster_size;
        let size = fields.virtual_size;
        Violation::check(size <= room, Rule::VirtualSize, &format_args!("{size} bytes"))
    }

    fn check_bitmaps(&self, bitmaps: Bitmaps) -> Result<(), Violation> {
        let reserved = bitmaps.reserved;
        Violation::check(reserved == 0, Rule::BitmapDirectory, &format_args!("reserved {reserved:#x}"))?;
        let count = u64::from(bitmaps.count);
        let count_is_valid = (1..=MAX_BITMAPS).contains(&count);
        Violation::check(count_is_valid, Rule::BitmapDirectory, &format_args!("{count} bitmaps"))?;
        self.check_table(&Table {
            rule: Rule::BitmapDirectory,
            offset: bitmaps.directory_offset,
            len: bitmaps.directory_size,
            max_len: MAX_BITMAP_DIRECTORY,
        })
    }
}
