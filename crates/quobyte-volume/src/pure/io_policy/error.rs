//! Why there is no policy.

use super::mode::Cache;
use super::version::{IO_URING_LIBVIRT, IO_URING_QEMU, Version};
use crate::error::Code;
use crate::pure::connection::ImageFormat;

/// Why no policy can be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IoPolicyError {
    /// Linux AIO needs `O_DIRECT`, and QEMU refuses it without.
    #[error("io mode native needs cache mode none or directsync, not {cache}")]
    NativeCached {
        /// The cache mode asked for, or the one this host and mount get.
        cache: Cache,
    },
    /// The mount refuses `O_DIRECT`, so that QEMU could not open the image.
    #[error("cache mode {cache} needs O_DIRECT, which the mount refuses")]
    NoDirectIo {
        /// The cache mode asked for.
        cache: Cache,
    },
    /// The host's QEMU is from before io_uring.
    #[error("io mode io_uring needs QEMU {IO_URING_QEMU} or later, and there is {found}")]
    IoUringQemu {
        /// The host's.
        found: Version,
    },
    /// The host's libvirt is from before io_uring.
    #[error("io mode io_uring needs libvirt {IO_URING_LIBVIRT} or later, and there is {found}")]
    IoUringLibvirt {
        /// The host's.
        found: Version,
    },
    /// The host's QEMU was built without io_uring, or could not be asked.
    #[error("io mode io_uring needs a QEMU that says that it has io_uring, and {qemu_answer}")]
    IoUringUnproven {
        /// What it answered.
        qemu_answer: &'static str,
    },
    /// The image's format cannot be shared between guests.
    #[error("a multiattach volume must be raw, not {format}")]
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
    /// QEMU opens no raw image of such a length with `O_DIRECT` for writing.
    #[error(
        "cache mode {cache} needs a length that is a multiple of 4096 bytes, and the image has {length} bytes; lengthen it \
         while no guest has it: truncate --size %4096"
    )]
    OddLength {
        /// The cache mode asked for, or needed.
        cache: Cache,
        /// The image's.
        length: u64,
    },
    /// Without `O_DIRECT` other guests would see stale data.
    #[error("a multiattach volume needs O_DIRECT, which the mount refuses")]
    SharedWithoutDirectIo,
}

impl IoPolicyError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::SharedFormat { .. } => Code::InvalidConnection,
            Self::OddLength { .. } => Code::ImageRejected,
            Self::NativeCached { .. }
            | Self::NoDirectIo { .. }
            | Self::IoUringQemu { .. }
            | Self::IoUringLibvirt { .. }
            | Self::IoUringUnproven { .. }
            | Self::SharedCache { .. }
            | Self::SharedWithoutDirectIo => Code::InvalidConfig,
        }
    }
}
