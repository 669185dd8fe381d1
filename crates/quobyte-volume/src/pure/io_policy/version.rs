//! Versions of QEMU and libvirt, as libvirt counts them.

use std::fmt;

/// First QEMU with io_uring.
pub(super) const IO_URING_QEMU: Version = Version::new(5, 0, 0);

/// First libvirt that knows io_uring.
pub(super) const IO_URING_LIBVIRT: Version = Version::new(6, 3, 0);

/// A version of QEMU or of libvirt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
    release: u32,
}

impl Version {
    /// A version by its three numbers.
    #[must_use]
    pub const fn new(major: u32, minor: u32, release: u32) -> Self {
        Self { major, minor, release }
    }

    /// Takes apart what libvirt's `virConnectGetVersion` (QEMU's version) and `virConnectGetLibVersion` (its own)
    /// answer: 1,000,000 × major + 1,000 × minor + release.
    #[must_use]
    pub const fn from_libvirt(number: u32) -> Self {
        Self::new(number / 1_000_000, number / 1_000 % 1_000, number % 1_000)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.release)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libvirt_version_number_is_decoded() {
        assert_eq!(Version::from_libvirt(7_002_022).to_string(), "7.2.22");
        assert_eq!(Version::from_libvirt(2_000_000), Version::new(2, 0, 0));
        assert!(Version::from_libvirt(1_007_002) < Version::new(2, 0, 0));
        assert!(Version::from_libvirt(10_000_000) > Version::new(9, 2, 999));
    }
}
