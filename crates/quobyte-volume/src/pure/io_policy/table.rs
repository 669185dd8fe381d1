//! The rules, row by row: in each table the first row that applies decides. docs/IO_POLICY.md shows the same rows.

mod cache;
mod io;

pub(super) use self::cache::CACHE_RULES;
pub(super) use self::io::IO_RULES;
use super::{Cache, CacheModeOption, DirectIo, Facts, IoModeOption, IoOptions, IoPolicyError, Version};
use crate::pure::connection::ImageFormat;

/// First QEMU that learns the alignment `O_DIRECT` needs.
const ALIGNED_DIRECT_IO: Version = Version::new(2, 0, 0);
/// First QEMU with io_uring.
pub(super) const IO_URING_QEMU: Version = Version::new(5, 0, 0);
/// First libvirt that knows io_uring.
pub(super) const IO_URING_LIBVIRT: Version = Version::new(6, 3, 0);

/// One row of the rules, as it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Its name, which never changes its meaning.
    pub name: &'static str,
    /// When it applies.
    pub when: &'static str,
    /// What it decides.
    pub then: &'static str,
    /// Why.
    pub why: &'static str,
    /// What such a decision costs; `None` where it is the best there is.
    pub cost: Option<Cost>,
}

/// What a decision costs, and how to be rid of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Performance or safety that is lost.
    pub loss: &'static str,
    /// What an operator can do about it.
    pub remedy: &'static str,
}

/// A row, and the functions that decide a `T` from a `C`.
pub(super) struct PolicyRule<C, T> {
    pub(super) row: Row,
    applies: fn(&C) -> bool,
    decides: fn(&C) -> Result<T, IoPolicyError>,
}

/// What both modes are decided from.
pub(super) struct PolicyInput {
    pub(super) format: ImageFormat,
    pub(super) multiattach: bool,
    pub(super) facts: Facts,
    pub(super) options: IoOptions,
}

impl PolicyInput {
    fn has_old_qemu(&self) -> bool {
        self.facts.host.qemu_version.is_some_and(|version| version < ALIGNED_DIRECT_IO)
    }

    fn direct_io(&self) -> Option<DirectIo> {
        self.facts.probe.map(|probe| probe.direct_io)
    }

    fn refuses_direct_io(&self) -> bool {
        self.direct_io() == Some(DirectIo::Refused)
    }

    /// The cache mode as far as it is known without a probe.
    fn wanted_cache(&self) -> Cache {
        match self.options.cache {
            CacheModeOption::Fixed(cache) => cache,
            CacheModeOption::Auto if self.has_old_qemu() => Cache::Writethrough,
            CacheModeOption::Auto => Cache::None,
        }
    }
}

/// What the I/O mode is decided from: the same, and the cache mode that was decided.
pub(super) struct IoModeInput {
    pub(super) common: PolicyInput,
    pub(super) cache: Cache,
}

impl IoModeInput {
    fn option(&self) -> IoModeOption {
        self.common.options.io
    }
}

/// The first row of `rules` that applies, and what it decides. The last row of each table always applies.
pub(super) fn first_match<C, T>(
    rules: &'static [PolicyRule<C, T>],
    input: &C,
) -> Result<(T, &'static Row), IoPolicyError> {
    let rule = rules.iter().find(|rule| (rule.applies)(input)).unwrap_or(&rules[rules.len() - 1]);
    Ok(((rule.decides)(input)?, &rule.row))
}

/// The rows that decide the cache mode, in the order they are tried.
pub fn cache_rows() -> impl Iterator<Item = &'static Row> {
    CACHE_RULES.iter().map(|rule| &rule.row)
}

/// The rows that decide the I/O mode once the cache mode is known, in the order they are tried.
pub fn io_rows() -> impl Iterator<Item = &'static Row> {
    IO_RULES.iter().map(|rule| &rule.row)
}
