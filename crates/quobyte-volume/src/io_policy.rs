//! Which cache and I/O mode a guest's disk gets: what is known of the host goes in, the policy comes out. No I/O.
//!
//! The aim is the fastest mode that keeps the guest's data over a loss of power, given a guest that flushes:
//!
//! | QEMU | cache | io |
//! |---|---|---|
//! | before 2.0.0 | `writethrough` | not said |
//! | 2.0.0 and later, or unknown | `none` | `native` |
//!
//! Before 2.0.0 QEMU did not learn which alignment `O_DIRECT` needs, so `none` fails on volumes that need more than
//! 512 bytes; the threshold is Quobyte's. An operator may fix either mode; what cannot work is refused rather than
//! changed. An image that several guests share is never cached on a host, as the others would read stale data.

mod mode;
mod qemu_version;

pub use self::mode::{Cache, CacheModeOption, Choice, Discard, IoMode, IoModeOption};
pub use self::qemu_version::QemuVersion;
use crate::connection::{ConnectionInfo, ImageFormat};
use crate::error::Code;

/// First QEMU that learns the alignment `O_DIRECT` needs.
const ALIGNED_DIRECT_IO: QemuVersion = QemuVersion::new(2, 0, 0);

/// First QEMU with io_uring.
const IO_URING: QemuVersion = QemuVersion::new(5, 0, 0);

/// What is known of the host that runs the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct HostFacts {
    /// The QEMU that will open the image; `None` counts as a modern one.
    pub qemu_version: Option<QemuVersion>,
}

impl HostFacts {
    /// A host of which only QEMU's version is known, or not even that.
    #[must_use]
    pub const fn new(qemu_version: Option<QemuVersion>) -> Self {
        Self { qemu_version }
    }

    fn qemu_is_before(&self, first: QemuVersion) -> bool {
        self.qemu_version.is_some_and(|version| version < first)
    }
}

/// What the operator has fixed; by default nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IoOptions {
    /// Option `cache_mode`.
    pub cache: CacheModeOption,
    /// Option `io_mode`.
    pub io: IoModeOption,
}

/// How QEMU is to read and write one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IoPolicy {
    /// Use of the host's page cache.
    pub cache: Cache,
    /// How I/O is submitted; `None` leaves it to QEMU.
    pub io: Option<IoMode>,
    /// What becomes of discards; `None` leaves it to QEMU, which ignores them.
    pub discard: Option<Discard>,
}

impl IoPolicy {
    /// Decides for one volume on one host.
    ///
    /// # Errors
    /// [`IoPolicyError`] where the options contradict each other, the host or a shared image.
    pub fn decide(
        info: &ConnectionInfo,
        host: &HostFacts,
        options: &IoOptions,
    ) -> Result<Self, IoPolicyError> {
        let cache = match options.cache {
            Choice::Fixed(cache) => cache,
            Choice::Auto if host.qemu_is_before(ALIGNED_DIRECT_IO) => Cache::Writethrough,
            Choice::Auto => Cache::None,
        };
        if info.multiattach {
            check_shared(info.format, cache)?;
        }
        Ok(Self {
            cache,
            io: io_mode(cache, host, options.io)?,
            discard: info.discard.then_some(Discard::Unmap),
        })
    }
}

/// QEMU keeps a qcow2 image's tables in memory, so two guests destroy it; libvirt's rule for a shareable disk is raw
/// and uncached.
fn check_shared(format: ImageFormat, cache: Cache) -> Result<(), IoPolicyError> {
    match (format, cache) {
        (ImageFormat::Qcow2, _) => Err(IoPolicyError::SharedFormat { format }),
        (ImageFormat::Raw, Cache::None) => Ok(()),
        (ImageFormat::Raw, cache) => Err(IoPolicyError::SharedCache { cache }),
    }
}

fn io_mode(cache: Cache, host: &HostFacts, option: IoModeOption) -> Result<Option<IoMode>, IoPolicyError> {
    match option {
        Choice::Auto if host.qemu_is_before(ALIGNED_DIRECT_IO) => Ok(None),
        Choice::Auto if cache.is_direct() => Ok(Some(IoMode::Native)),
        Choice::Auto => Ok(Some(IoMode::Threads)),
        Choice::Fixed(IoMode::Native) if !cache.is_direct() => Err(IoPolicyError::NativeCached { cache }),
        Choice::Fixed(IoMode::IoUring) if host.qemu_is_before(IO_URING) => Err(IoPolicyError::NoIoUring),
        Choice::Fixed(mode) => Ok(Some(mode)),
    }
}

/// Why no policy can be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IoPolicyError {
    /// No cache mode of that name may be chosen.
    #[error("cache mode {mode:?} is none of auto, none, directsync, writeback, writethrough")]
    CacheMode {
        /// What was given.
        mode: String,
    },
    /// No I/O mode of that name may be chosen.
    #[error("io mode {mode:?} is none of auto, native, threads, io_uring")]
    IoMode {
        /// What was given.
        mode: String,
    },
    /// Linux AIO needs `O_DIRECT`, and QEMU refuses it without.
    #[error("io mode native needs cache mode none or directsync, not {cache}")]
    NativeCached {
        /// The cache mode asked for, or the one this host's QEMU gets.
        cache: Cache,
    },
    /// The host's QEMU has no io_uring.
    #[error("io mode io_uring needs QEMU {IO_URING} or later")]
    NoIoUring,
    /// The image's format cannot be shared between guests.
    #[error("a multiattach volume must be raw, not {}", format.as_str())]
    SharedFormat {
        /// The declared format.
        format: ImageFormat,
    },
    /// The cache mode would show other guests stale data.
    #[error("a multiattach volume needs cache mode none, not {cache}")]
    SharedCache {
        /// The cache mode asked for, or the one this host's QEMU gets.
        cache: Cache,
    },
}

impl IoPolicyError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::SharedFormat { .. } => Code::InvalidConnection,
            Self::CacheMode { .. }
            | Self::IoMode { .. }
            | Self::NativeCached { .. }
            | Self::NoIoUring
            | Self::SharedCache { .. } => Code::InvalidConfig,
        }
    }
}

#[cfg(test)]
mod tests;
