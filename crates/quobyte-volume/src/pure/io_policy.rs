//! Which cache and I/O mode a guest's disk gets: what is known of host and mount goes in, the policy and its reasons
//! come out. No I/O.
//!
//! The aim is the fastest mode that keeps the guest's data over a loss of power, given a guest that flushes. What a
//! version cannot tell is measured: whether `O_DIRECT` works on the mount, and whether who submits direct I/O has to wait
//! for it. An operator may fix either mode; what cannot work is refused rather than changed. [`cache_rows`] and
//! [`io_rows`] are the rules.

mod error;
mod facts;
mod mode;
mod nova;
mod options;
mod table;
mod version;

pub use self::error::IoPolicyError;
pub(crate) use self::facts::direct_io_length;
pub use self::facts::{AioSlots, DirectIo, Facts, HypervisorFacts, Probe};
pub use self::mode::{Cache, CacheModeOption, Choice, Discard, IoMode, IoModeOption, ModeError};
pub use self::nova::nova_cache_mode;
use self::nova::nova_rows;
pub use self::options::{IoOptions, PhysicalBlockSize, PhysicalBlockSizeError};
use self::table::{CACHE_RULES, IO_RULES, IoModeInput, PolicyInput, first_match};
pub use self::table::{Cost, Row, cache_rows, io_rows};
pub use self::version::Version;
use crate::pure::connection::{AccessMode, BlockSize, ConnectionInfo};

/// How QEMU is to read and write one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IoPolicy {
    /// Use of the host's page cache.
    pub cache: Cache,
    /// How I/O is submitted; `None` leaves it to QEMU.
    pub io: Option<IoMode>,
    /// What becomes of discards; `None` leaves it to QEMU, which ignores them.
    pub discard: Option<Discard>,
    /// Sector sizes shown to the guest.
    pub block_size: BlockSize,
    /// Whether other guests have the image, too.
    pub shareable: bool,
}

/// A policy, and the rows it follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What was decided.
    pub policy: IoPolicy,
    /// The row that decided the cache mode.
    pub cache_row: &'static Row,
    /// The row that decided the I/O mode.
    pub io_row: &'static Row,
}

impl Decision {
    /// Refuses, while nothing but the hypervisor is known, what is refused whatever else turns out.
    ///
    /// # Errors
    /// Those of [`Decision::make`].
    pub fn check_before_mount(
        info: &ConnectionInfo,
        host: &HypervisorFacts,
        options: &IoOptions,
    ) -> Result<(), IoPolicyError> {
        Self::make(info, &Facts::from(*host), options).map(drop)
    }

    /// Decides for one volume on one host and mount.
    ///
    /// # Errors
    /// [`IoPolicyError`] where the options contradict each other, the host, the mount or a shared image.
    pub fn make(info: &ConnectionInfo, facts: &Facts, options: &IoOptions) -> Result<Self, IoPolicyError> {
        let input = PolicyInput {
            format: info.format,
            multiattach: info.multiattach,
            read_only: info.access_mode == AccessMode::ReadOnly,
            facts: *facts,
            options: *options,
        };
        let (cache, cache_row) = first_match(CACHE_RULES, &input)?;
        let (io, io_row) = first_match(IO_RULES, &IoModeInput { common: input, cache })?;
        let configured = options.physical_block_size.map(PhysicalBlockSize::bytes);
        let policy = IoPolicy {
            cache,
            io,
            discard: info.discard.then_some(Discard::Unmap),
            block_size: BlockSize {
                logical: info.block_size.logical,
                physical: info.block_size.physical.or(configured),
            },
            shareable: info.multiattach,
        };
        Ok(Self { policy, cache_row, io_row })
    }

    /// The decision once Nova has put `cache` in its place. Disks of several guests keep theirs, which is none.
    #[must_use]
    pub fn with_nova_cache(mut self, cache: Option<Cache>) -> Self {
        let Some(cache) = cache.filter(|_| !self.policy.shareable) else { return self };
        let (cache_row, io) = nova_rows(cache, self.policy.io);
        (self.policy.cache, self.cache_row) = (cache, cache_row);
        if let Some((io, io_row)) = io {
            (self.policy.io, self.io_row) = (Some(io), io_row);
        }
        self
    }

    /// The rows that cost performance or safety, each with what it costs.
    pub fn costs(&self) -> impl Iterator<Item = (&'static Row, Cost)> {
        [self.cache_row, self.io_row].into_iter().filter_map(|row| Some((row, row.cost?)))
    }
}

#[cfg(test)]
mod tests;
