//! Options whose values are paths, and what such a path must be so that no later operation fails by it. No I/O.

use std::path::Path;

use strum::{Display, IntoStaticStr};

/// Longest path that the kernel takes, in bytes.
const PATH_MAX: usize = 4095;

/// Longest name in a path, in bytes.
const NAME_MAX: usize = 255;

/// An option whose value is a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantArray))]
#[strum(serialize_all = "snake_case")]
pub enum PathOption {
    /// Where shares are mounted: a directory below it, with images directly in that.
    QuobyteMountPointBase,
    /// The client's configuration.
    QuobyteClientCfg,
    /// The directory of records and locks, which are files in directories of it.
    StateDir,
    /// The program `quobyte-share-helper`.
    Helper,
}

impl PathOption {
    /// The option's name in configuration files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The longest value, in bytes, and what is said of a longer one.
    const fn bound(self) -> (usize, &'static str) {
        const DIGEST: usize = "/0123456789abcdef0123456789abcdef".len();
        const STATE_PART: usize = "/released/".len();
        match self {
            Self::QuobyteMountPointBase => (
                PATH_MAX - DIGEST - "/".len() - NAME_MAX,
                "is longer than 3806 bytes, with which the path of an image below it is longer than the kernel takes",
            ),
            Self::StateDir => (
                PATH_MAX - STATE_PART - NAME_MAX,
                "is longer than 3830 bytes, with which the path of a file in it is longer than the kernel takes",
            ),
            Self::QuobyteClientCfg | Self::Helper => {
                (PATH_MAX, "is longer than 4095 bytes, which is more than the kernel takes")
            }
        }
    }

    /// What is wrong with a value. Records and requests are JSON, which can hold nothing but UTF-8.
    #[must_use]
    pub fn fault(self, path: &Path) -> Option<&'static str> {
        let (max, too_long) = self.bound();
        match path.to_str() {
            None => Some("is not UTF-8"),
            Some(path) if path.contains(char::is_control) => Some("contains a control character"),
            // Where this runs would decide what it means.
            Some(_) if !path.is_absolute() => Some("is not absolute"),
            Some(path) if path.len() > max => Some(too_long),
            Some(path) if path.split('/').any(|part| part.len() > NAME_MAX) => {
                Some("has a part of more than 255 bytes, which is more than the kernel takes")
            }
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray as _;

    use super::*;

    /// A path of so many bytes.
    fn path(length: usize) -> String {
        let mut path = "/a".repeat(length / 2);
        path.push_str(&"a".repeat(length % 2));
        path
    }

    #[test]
    fn longest_value_is_the_one_that_is_named() {
        for &option in PathOption::VARIANTS {
            let (max, too_long) = option.bound();
            assert!(too_long.contains(&format!(" {max} bytes")), "{option}: {too_long}");
            assert_eq!(option.fault(Path::new(&path(max))), None, "{option}");
            assert_eq!(option.fault(Path::new(&path(max + 1))), Some(too_long), "{option}");
        }
    }

    #[test]
    fn part_of_more_than_255_bytes_is_a_fault() {
        for (length, is_fault) in [(255, false), (256, true), (300, true)] {
            for value in [
                format!("/{}", "a".repeat(length)),
                format!("/mnt/{}/b", "\u{e9}".repeat(length / 2) + &"a".repeat(length % 2)),
            ] {
                let fault = PathOption::QuobyteMountPointBase.fault(Path::new(&value));
                assert_eq!(fault.is_some_and(|fault| fault.contains("255")), is_fault, "{value}");
            }
        }
    }
}
