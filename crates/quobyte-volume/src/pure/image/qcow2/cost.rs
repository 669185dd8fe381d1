//! What opening an image costs QEMU, which loads the tables below whole. docs/IMAGES.md has the bounds, what was measured
//! at them, and who needs how much.

use super::bitmaps::Bitmap;
use super::fields::Fields;
use super::tables::{L1_ENTRY_LEN, Layout};
use crate::pure::image::violation::{Rule, Violation};

/// The most memory that the tables of a chain may take together, in bytes.
pub(crate) const MAX_MEMORY: u64 = 512 << 20;

/// The most reads that a chain's snapshots, extensions and bitmaps may take together: each is a round trip to the client.
pub(crate) const MAX_READS: u64 = 16_384;

/// A snapshot's entry with the longest names and the most extra data that QEMU takes.
const SNAPSHOT_MAX_LEN: u64 = 40 + 1024 + 2 * 0xffff;
/// Its fixed fields, its extra data, and its two names.
const SNAPSHOT_READS: u64 = 4;
/// Its head, and its data.
const EXTENSION_READS: u64 = 2;

/// What opening one image, or a chain of them, takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct OpenCost {
    memory: u64,
    reads: u64,
}

impl OpenCost {
    pub(super) fn new(fields: &Fields, layout: &Layout, extensions: u64, bitmaps: &[Bitmap]) -> Self {
        let snapshots = u64::from(fields.snapshots);
        let tables = Self {
            memory: u64::from(fields.l1_entries) * L1_ENTRY_LEN
                + u64::from(fields.refcount_clusters) * layout.cluster_size
                + snapshots * SNAPSHOT_MAX_LEN,
            reads: snapshots * SNAPSHOT_READS + extensions * EXTENSION_READS,
        };
        let of_bitmap = |bitmap: &Bitmap| Self {
            memory: bitmap.len(fields.virtual_size).saturating_add(u64::from(bitmap.clusters) * 8),
            // Its table, and each of its clusters.
            reads: 1 + u64::from(bitmap.clusters),
        };
        bitmaps.iter().map(of_bitmap).fold(tables, Self::plus)
    }

    /// The cost of both.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            memory: self.memory.saturating_add(other.memory),
            reads: self.reads.saturating_add(other.reads),
        }
    }

    /// Checks that this is no more than a chain may cost.
    pub(crate) fn check(self) -> Result<(), Violation> {
        let memory =
            format_args!("tables of {} MiB with those above, over {}", self.memory >> 20, MAX_MEMORY >> 20);
        Violation::check(self.memory <= MAX_MEMORY, Rule::OpenCost, &memory)?;
        let reads = format_args!("{} reads with those above, over {MAX_READS}", self.reads);
        Violation::check(self.reads <= MAX_READS, Rule::OpenCost, &reads)
    }
}

#[cfg(test)]
mod tests;
