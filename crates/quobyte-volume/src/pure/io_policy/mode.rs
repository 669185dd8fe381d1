//! The words libvirt's `<driver>` element has for caching, I/O and discards, and what an operator may choose.

use std::fmt;
use std::str::FromStr;

use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::error::{Code, excerpt};

/// No mode of that name may be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModeError {
    /// A cache mode.
    #[error("cache mode \"{mode}\" is none of auto, none, directsync, writeback, writethrough")]
    Cache {
        /// What was given, cleaned and cut.
        mode: String,
    },
    /// An I/O mode.
    #[error("io mode \"{mode}\" is none of auto, native, threads, io_uring")]
    Io {
        /// What was given, cleaned and cut.
        mode: String,
    },
}

impl ModeError {
    fn cache(mode: &str) -> Self {
        Self::Cache { mode: excerpt(mode) }
    }

    fn io(mode: &str) -> Self {
        Self::Io { mode: excerpt(mode) }
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::InvalidConfig
    }
}

/// How QEMU uses the host's page cache (`cache=`). The last two are Nova's alone: no option of ours has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Cache {
    /// Past the host's cache; flushes are obeyed.
    None,
    /// Past the host's cache; every write is flushed.
    Directsync,
    /// Through the host's cache; flushes are obeyed.
    Writeback,
    /// Through the host's cache; every write is flushed.
    Writethrough,
    /// What QEMU does if not told: as [`Cache::Writeback`].
    Default,
    /// Through the host's cache; flushes are dropped.
    Unsafe,
}

impl Cache {
    /// libvirt's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The modes that an option of ours may fix.
    pub const OURS: [Self; 4] = [Self::None, Self::Directsync, Self::Writeback, Self::Writethrough];

    /// Whether the image is opened with `O_DIRECT`.
    #[must_use]
    pub const fn is_direct(self) -> bool {
        matches!(self, Self::None | Self::Directsync)
    }
}

impl FromStr for Cache {
    type Err = ModeError;

    fn from_str(mode: &str) -> Result<Self, ModeError> {
        Self::OURS.into_iter().find(|ours| ours.as_str() == mode).ok_or_else(|| ModeError::cache(mode))
    }
}

/// How QEMU submits I/O to the host (`io=`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
#[strum(parse_err_ty = ModeError, parse_err_fn = ModeError::io)]
pub enum IoMode {
    /// Linux AIO: asynchronous where the mount does asynchronous direct I/O, else it blocks the guest's event loop.
    Native,
    /// QEMU's pool of threads.
    Threads,
    /// An io_uring ring.
    IoUring,
}

impl IoMode {
    /// libvirt's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What becomes of the guest's discards (`discard=`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Discard {
    /// They free space on the volume.
    Unmap,
}

impl Discard {
    /// libvirt's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
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
