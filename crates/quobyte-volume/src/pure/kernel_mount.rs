//! A mount as the kernel's mount table shows it. No I/O.

mod mountinfo;

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use self::mountinfo::{MountInfo, MountInfoError};
use super::connection::Export;

/// A mounted file system as the table shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The id that stays this mount's alone; `None` before Linux 6.8.
    pub unique_id: Option<u64>,
    /// The device number that every file directly on the mount has.
    pub device: Device,
    /// The type with its subtype: `fuse.quobyte`.
    pub fs_type: String,
    /// What was mounted: `quobyte@host|host2/volume`.
    pub source: String,
    /// The file system's own options, comma-separated; without `rw` and `ro`, which every one has.
    pub options: String,
}

impl Mount {
    /// Whether Quobyte's client made this mount. Older clients show plain `fuse` with a source of their own form.
    #[must_use]
    pub fn is_quobyte(&self) -> bool {
        self.fs_type == "fuse.quobyte" || (self.fs_type == "fuse" && self.source.starts_with("quobyte@"))
    }

    /// Whether this is a mount of `export` by Quobyte's client.
    #[must_use]
    pub fn is_of(&self, export: &Export) -> bool {
        self.is_quobyte() && self.source == export.mount_source()
    }

    /// Whether `other` is this very mount, and not a later one that looks alike.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self.unique_id, other.unique_id) {
            (Some(id), Some(other)) => id == other,
            _ => self.device == other.device && self.source == other.source,
        }
    }

    /// Whether users other than the one that mounted it may use it.
    #[must_use]
    pub fn allows_other_users(&self) -> bool {
        self.options.split(',').any(|option| option == "allow_other")
    }

    /// The user that mounted it.
    #[must_use]
    pub fn owner(&self) -> Option<u32> {
        self.options.split(',').find_map(|option| option.strip_prefix("user_id=")?.parse().ok())
    }
}

/// Whether the mount table's line about a mount of `export` at `path` is one that libfuse's helper reads whole: it takes lines
/// through getmntent(3), whose buffer in glibc has 4096 bytes.
pub(crate) fn fits_mount_table(path: &Path, export: &Export) -> bool {
    const MAX_LINE: usize = 4095;
    /// Ample for type and options, which end in `0 0` and a line break.
    const REST: usize = 256;
    // What would end a field, and a number sign, stands there as a backslash and three digits.
    let shown = |text: &[u8]| -> usize {
        text.iter().map(|byte| if matches!(byte, b' ' | b'\t' | b'\n' | b'\\' | b'#') { 4 } else { 1 }).sum()
    };
    let (source, path) = (export.mount_source(), path.as_os_str().as_bytes());
    shown(source.as_bytes()) + " ".len() + shown(path) + REST <= MAX_LINE
}

/// A file system's device number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Device {
    /// Major number; 0 for every file system without a disk of its own.
    pub major: u32,
    /// Minor number; for FUSE also the name of its control directory.
    pub minor: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quobyte_mount_is_known_by_type_or_source() {
        let mount = |fs_type: &str, source: &str| {
            let device = Device { major: 0, minor: 9 };
            let options = "user_id=64,group_id=0,default_permissions,allow_other".to_owned();
            Mount { unique_id: None, device, fs_type: fs_type.to_owned(), source: source.to_owned(), options }
        };
        assert!(mount("fuse.quobyte", "quobyte@h/v").is_quobyte());
        assert!(mount("fuse", "quobyte@h/v").is_quobyte());
        for (fs_type, source) in
            [("fuse", "h/v"), ("fuse.sshfs", "quobyte@h/v"), ("ext4", "quobyte@h/v"), ("fuse.quobytes", "x")]
        {
            assert!(!mount(fs_type, source).is_quobyte(), "{fs_type} {source}");
        }
        assert!(mount("fuse", "x").allows_other_users());
        assert_eq!(mount("fuse", "x").owner(), Some(64));
    }
}
