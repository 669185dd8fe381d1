//! `/proc/<pid>/mountinfo`, the table as text. Format: proc_pid_mountinfo(5).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::{Device, Mount};
use crate::error::excerpt;

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountInfo {
    /// This mount's id, free for another mount once this one is gone.
    pub id: u64,
    /// The id of the mount this one is mounted on.
    pub parent: u64,
    /// Where it is mounted, as seen from the root of the process whose table it is.
    pub mount_point: PathBuf,
    /// Whether mounts made below it also appear in the namespaces it is shared with.
    pub shared: bool,
    /// The mounted file system.
    pub mount: Mount,
}

impl MountInfo {
    /// Parses a whole table.
    ///
    /// # Errors
    /// The first line that is not of the documented form.
    pub fn parse(table: &[u8]) -> Result<Vec<Self>, MountInfoError> {
        table
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| {
                Self::parse_line(line).ok_or_else(|| MountInfoError(excerpt(&String::from_utf8_lossy(line))))
            })
            .collect()
    }

    /// The entry on top at `mount_point`: of those mounted there, the one that no other of them is mounted on.
    #[must_use]
    pub fn top<'a>(table: &'a [Self], mount_point: &Path) -> Option<&'a Self> {
        let at_path = || table.iter().filter(|entry| entry.mount_point == mount_point);
        at_path().rfind(|entry| !at_path().any(|other| other.parent == entry.id && other.id != entry.id))
    }

    fn parse_line(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|&byte| byte == b' ');
        let id = decimal(fields.next()?)?;
        let parent = decimal(fields.next()?)?;
        let (major, minor) = std::str::from_utf8(fields.next()?).ok()?.split_once(':')?;
        let device = Device { major: major.parse().ok()?, minor: minor.parse().ok()? };
        let _root = fields.next()?;
        let mount_point = OsString::from_vec(unescape(fields.next()?)).into();
        let _mount_options = fields.next()?;
        let mut shared = false;
        // Optional fields, of which later kernels may add more, end with a lone hyphen.
        loop {
            match fields.next()? {
                b"-" => break,
                field => shared |= field.starts_with(b"shared:"),
            }
        }
        let mut text = || Some(String::from_utf8_lossy(&unescape(fields.next()?)).into_owned());
        let (fs_type, source, options) = (text()?, text()?, text()?);
        // Every file system shows rw or ro first; statmount(2) leaves that out, and so does `Mount`.
        let options = options.split_once(',').map_or("", |(_, own)| own).to_owned();
        let mount = Mount { unique_id: None, device, fs_type, source, options };
        Some(Self { id, parent, mount_point, shared, mount })
    }
}

/// A line of the table that cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("mount table line is not of the documented form: \"{0}\"")]
pub struct MountInfoError(String);

fn decimal(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// Undoes the kernel's `\ooo` escapes of white space and backslashes, each once.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'\\')
            .then(|| tail.get(..3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = r"22 27 0:20 / /proc rw,nosuid shared:12 - proc proc rw
27 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
40 27 0:45 / /mnt/a rw,nosuid,nodev shared:20 master:3 propagate_from:2 - fuse.quobyte quobyte@r1|r2/vol rw,user_id=64100,group_id=64100,allow_other
41 40 0:46 / /mnt/a rw,nosuid,nodev - fuse.quobyte quobyte@r1|r2/vol2 rw,user_id=0,group_id=0
42 27 0:47 / /mnt/with\040space\011and\134slash rw - tmpfs back\134040slash rw
";

    fn table() -> Vec<MountInfo> {
        MountInfo::parse(TABLE.as_bytes()).unwrap()
    }

    #[test]
    fn captured_mountinfo_is_parsed() {
        let entry = &table()[2];
        assert_eq!((entry.id, entry.parent, entry.shared), (40, 27, true));
        assert_eq!(entry.mount.device, Device { major: 0, minor: 45 });
        assert_eq!(entry.mount.fs_type, "fuse.quobyte");
        assert_eq!(entry.mount.source, "quobyte@r1|r2/vol");
        assert!(entry.mount.allows_other_users());
        assert_eq!(entry.mount.owner(), Some(64100));
        assert_eq!(entry.mount.options, "user_id=64100,group_id=64100,allow_other");
    }

    #[test]
    fn mountinfo_escapes_are_decoded_once() {
        assert_eq!(table()[4].mount_point, Path::new("/mnt/with space\tand\\slash"));
        assert_eq!(table()[4].mount.source, "back\\040slash");
    }

    #[test]
    fn topmost_stacked_mount_is_found() {
        let mut table = table();
        assert_eq!(MountInfo::top(&table, Path::new("/mnt/a")).unwrap().id, 41);
        table.reverse();
        assert_eq!(MountInfo::top(&table, Path::new("/mnt/a")).unwrap().id, 41);
        assert_eq!(MountInfo::top(&table, Path::new("/mnt")), None);
        assert_eq!(MountInfo::top(&table, Path::new("/")).unwrap().id, 27);
    }

    #[test]
    fn malformed_mountinfo_line_is_an_error() {
        for line in
            ["x", "1 2 3 / / rw - ext4 a rw", "40 27 0:45 / /mnt/a rw shared:20", "40 27 0:45 / /a rw - ext4"]
        {
            assert!(MountInfo::parse(line.as_bytes()).is_err(), "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn mountinfo_parsing_never_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = MountInfo::parse(&bytes);
        }
    }
}
