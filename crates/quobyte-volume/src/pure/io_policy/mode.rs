//! The words libvirt's `<driver>` element has for caching, I/O and discards, and what an operator may choose.

use std::fmt;
use std::str::FromStr;

use super::IoPolicyError;

/// How QEMU uses the host's page cache (`cache=`). libvirt's `unsafe` is missing on purpose: it drops the guest's
/// flushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cache {
    /// Past the host's cache; flushes are obeyed.
    None,
    /// Past the host's cache; every write is flushed.
    Directsync,
    /// Through the host's cache; flushes are obeyed.
    Writeback,
    /// Through the host's cache; every write is flushed.
    Writethrough,
}

impl Cache {
    /// Every mode.
    pub const ALL: [Self; 4] = [Self::None, Self::Directsync, Self::Writeback, Self::Writethrough];

    /// libvirt's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Directsync => "directsync",
            Self::Writeback => "writeback",
            Self::Writethrough => "writethrough",
        }
    }

    /// Whether the image is opened with `O_DIRECT`.
    #[must_use]
    pub const fn is_direct(self) -> bool {
        matches!(self, Self::None | Self::Directsync)
    }
}

impl fmt::Display for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Cache {
    type Err = IoPolicyError;

    fn from_str(text: &str) -> Result<Self, IoPolicyError> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or_else(|| IoPolicyError::CacheMode { mode: text.to_owned() })
    }
}

/// How QEMU submits I/O to the host (`io=`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IoMode {
    /// Linux AIO: asynchronous where the mount does asynchronous direct I/O, else it blocks the guest's event loop.
    Native,
    /// QEMU's pool of threads.
    Threads,
    /// An io_uring ring.
    IoUring,
}

impl IoMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Native, Self::Threads, Self::IoUring];

    /// libvirt's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Threads => "threads",
            Self::IoUring => "io_uring",
        }
    }
}

impl fmt::Display for IoMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for IoMode {
    type Err = IoPolicyError;

    fn from_str(text: &str) -> Result<Self, IoPolicyError> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or_else(|| IoPolicyError::IoMode { mode: text.to_owned() })
    }
}

/// What becomes of the guest's discards (`discard=`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Discard {
    /// They free space on the volume.
    Unmap,
}

impl Discard {
    /// libvirt's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unmap => "unmap",
        }
    }
}

/// A mode left to this driver, or fixed by the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Choice<T> {
    /// The policy decides; written `auto`.
    #[default]
    Auto,
    /// The operator has decided.
    Fixed(T),
}

/// The operator's `cache_mode`: `auto` or a [`Cache`].
pub type CacheModeOption = Choice<Cache>;

/// The operator's `io_mode`: `auto` or an [`IoMode`].
pub type IoModeOption = Choice<IoMode>;

impl<T: fmt::Display> fmt::Display for Choice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fixed(mode) => mode.fmt(f),
        }
    }
}

impl<T: FromStr> FromStr for Choice<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            mode => mode.parse().map(Self::Fixed),
        }
    }
}
