//! What an operator may fix.

use std::str::FromStr;

use super::mode::{CacheModeOption, IoModeOption};
use crate::error::{Code, excerpt};

/// What the operator has fixed; by default nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IoOptions {
    /// Option `cache_mode`.
    pub cache: CacheModeOption,
    /// Option `io_mode`.
    pub io: IoModeOption,
    /// Option `physical_block_size`.
    pub physical_block_size: Option<PhysicalBlockSize>,
}

/// The unit that guests should align to, in bytes, where a volume's connection_info does not say: a power of two from
/// 512 to 2 MiB, as QEMU takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhysicalBlockSize(u32);

/// No disk has such sectors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("physical block size \"{size}\" is not a power of two from 512 to 2097152")]
pub struct PhysicalBlockSizeError {
    size: String,
}

impl PhysicalBlockSizeError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::InvalidConfig
    }
}

impl PhysicalBlockSize {
    /// The unit.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        self.0
    }
}

impl FromStr for PhysicalBlockSize {
    type Err = PhysicalBlockSizeError;

    fn from_str(text: &str) -> Result<Self, PhysicalBlockSizeError> {
        text.parse()
            .ok()
            .filter(|bytes: &u32| bytes.is_power_of_two() && (512..=2 << 20).contains(bytes))
            .map(Self)
            .ok_or_else(|| PhysicalBlockSizeError { size: excerpt(text) })
    }
}
