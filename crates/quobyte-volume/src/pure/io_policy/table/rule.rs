//! What a rule is made of, and what it goes by.

use crate::pure::connection::ImageFormat;
use crate::pure::io_policy::error::IoPolicyError;
use crate::pure::io_policy::facts::{DirectIo, Facts, is_direct_io_length};
use crate::pure::io_policy::mode::{Cache, CacheModeOption, IoModeOption};
use crate::pure::io_policy::options::IoOptions;
use crate::pure::io_policy::version::Version;

/// First QEMU that learns the alignment `O_DIRECT` needs.
const ALIGNED_DIRECT_IO: Version = Version::new(2, 0, 0);
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
    /// What it comes from: the image alone, or the host and the mount, which are the same for all images.
    pub is_of_image: bool,
}

/// A row, and the functions that decide a `T` from a `C`.
pub(in crate::pure::io_policy) struct PolicyRule<C, T> {
    pub(in crate::pure::io_policy) row: Row,
    pub(super) applies: fn(&C) -> bool,
    pub(super) decides: fn(&C) -> Result<T, IoPolicyError>,
}

/// What both modes are decided from.
pub(in crate::pure::io_policy) struct PolicyInput {
    pub(in crate::pure::io_policy) format: ImageFormat,
    pub(in crate::pure::io_policy) multiattach: bool,
    pub(in crate::pure::io_policy) read_only: bool,
    pub(in crate::pure::io_policy) facts: Facts,
    pub(in crate::pure::io_policy) options: IoOptions,
}

impl PolicyInput {
    pub(super) fn has_old_qemu(&self) -> bool {
        self.facts.hypervisor.qemu_version.is_some_and(|version| version < ALIGNED_DIRECT_IO)
    }

    pub(super) fn direct_io(&self) -> Option<DirectIo> {
        self.facts.probe.map(|probe| probe.direct_io)
    }

    pub(super) fn refuses_direct_io(&self) -> bool {
        self.direct_io() == Some(DirectIo::Refused)
    }

    /// The length of the image, if QEMU cannot open it with `O_DIRECT` for that.
    pub(super) fn odd_image_length(&self) -> Option<u64> {
        self.odd_length().filter(|_| self.format == ImageFormat::Raw)
    }

    /// The same of the image or of the raw file below it, which is opened for writing when a snapshot is deleted.
    pub(super) fn odd_length(&self) -> Option<u64> {
        self.facts.raw_length.filter(|length| !self.read_only && !is_direct_io_length(*length))
    }

    /// The cache mode as far as it is known without a probe.
    pub(super) fn wanted_cache(&self) -> Cache {
        match self.options.cache {
            CacheModeOption::Fixed(cache) => cache,
            CacheModeOption::Auto if self.has_old_qemu() => Cache::Writethrough,
            CacheModeOption::Auto => Cache::None,
        }
    }
}

/// What the I/O mode is decided from: the same, and the cache mode that was decided.
pub(in crate::pure::io_policy) struct IoModeInput {
    pub(in crate::pure::io_policy) common: PolicyInput,
    pub(in crate::pure::io_policy) cache: Cache,
}

impl IoModeInput {
    pub(super) fn option(&self) -> IoModeOption {
        self.common.options.io
    }
}

/// The first row of `rules` that applies, and what it decides. The last row of each table always applies.
pub(in crate::pure::io_policy) fn first_match<C, T>(
    rules: &'static [PolicyRule<C, T>],
    input: &C,
) -> Result<(T, &'static Row), IoPolicyError> {
    let rule = rules.iter().find(|rule| (rule.applies)(input)).unwrap_or(&rules[rules.len() - 1]);
    Ok(((rule.decides)(input)?, &rule.row))
}
