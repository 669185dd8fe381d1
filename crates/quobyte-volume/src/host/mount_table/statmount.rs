//! One mount by its unique id, from statmount(2).

use std::io;
use std::ops::Range;

use crate::host::sys;
use crate::pure::kernel_mount::{Device, Mount};

// `STATMOUNT_*`, what is asked for; what the kernel does not know it leaves out of the mask it returns.
const SB_BASIC: u64 = 0x01;
const FS_TYPE: u64 = 0x20;
const MNT_OPTS: u64 = 0x80;
const FS_SUBTYPE: u64 = 0x100;
const SB_SOURCE: u64 = 0x200;
/// What must be answered for the mount to be known. The subtype is left out for a file system that has none.
const NEEDED: u64 = SB_BASIC | FS_TYPE | SB_SOURCE;

// `struct statmount`: where its fields lie, and where its strings begin.
const OPTIONS: usize = 4;
const MASK: Range<usize> = 8..16;
const MAJOR: usize = 16;
const MINOR: usize = 20;
const TYPE: usize = 36;
const SUBTYPE: usize = 120;
const SOURCE: usize = 124;
const STRINGS: usize = 512;

/// Room for the longest answer: a mount's options are at most a page.
const ANSWER_LEN: usize = 16 * 1024;

/// The mount with the given unique id; `None` where the kernel does not tell enough or the mount is out of reach, and
/// the caller must look another way.
pub(super) fn mount(unique_id: u64) -> io::Result<Option<Mount>> {
    let mut answer = vec![0; ANSWER_LEN];
    match sys::statmount(unique_id, NEEDED | FS_SUBTYPE | MNT_OPTS, &mut answer) {
        Ok(()) => Ok(parse(unique_id, &answer)),
        // Before 6.8, forbidden by a seccomp filter, or unmounted since it was looked up.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM | libc::ENOENT)) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn parse(unique_id: u64, answer: &[u8]) -> Option<Mount> {
    let mask = u64::from_ne_bytes(answer.get(MASK)?.try_into().ok()?);
    if mask & NEEDED != NEEDED {
        return None;
    }
    let mut fs_type = string(answer, TYPE)?;
    if mask & FS_SUBTYPE != 0 {
        fs_type = format!("{fs_type}.{}", string(answer, SUBTYPE)?);
    }
    Some(Mount {
        unique_id: Some(unique_id),
        device: Device { major: number(answer, MAJOR)?, minor: number(answer, MINOR)? },
        fs_type,
        source: string(answer, SOURCE)?,
        options: if mask & MNT_OPTS != 0 { string(answer, OPTIONS)? } else { String::new() },
    })
}

fn number(answer: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(answer.get(at..at + 4)?.try_into().ok()?))
}

/// The string whose offset stands at `at`.
fn string(answer: &[u8], at: usize) -> Option<String> {
    let start = STRINGS.checked_add(number(answer, at)? as usize)?;
    let text = answer.get(start..)?.split(|&byte| byte == 0).next()?;
    Some(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer as the kernel lays it out, with the given mask.
    fn answer(mask: u64) -> Vec<u8> {
        let mut answer = vec![0; STRINGS];
        answer[MASK].copy_from_slice(&mask.to_ne_bytes());
        answer[MINOR..MINOR + 4].copy_from_slice(&47u32.to_ne_bytes());
        for (at, text) in
            [(TYPE, "fuse"), (SUBTYPE, "quobyte"), (SOURCE, "quobyte@a|b/v"), (OPTIONS, "user_id=7")]
        {
            let offset = (answer.len() - STRINGS) as u32;
            answer[at..at + 4].copy_from_slice(&offset.to_ne_bytes());
            answer.extend(text.bytes().chain([0]));
        }
        answer
    }

    #[test]
    fn complete_statmount_reply_is_parsed() {
        let mount = parse(9, &answer(NEEDED | FS_SUBTYPE | MNT_OPTS)).unwrap();
        assert_eq!(mount.fs_type, "fuse.quobyte");
        assert_eq!(mount.source, "quobyte@a|b/v");
        assert_eq!(mount.device, Device { major: 0, minor: 47 });
        assert_eq!(mount.owner(), Some(7));
    }

    #[test]
    fn missing_subtype_yields_plain_fs_type() {
        assert_eq!(parse(9, &answer(NEEDED | MNT_OPTS)).unwrap().fs_type, "fuse");
    }

    #[test]
    fn statmount_reply_without_source_is_ignored() {
        assert_eq!(parse(9, &answer(NEEDED & !SB_SOURCE)), None);
    }

    #[test]
    fn truncated_statmount_reply_is_ignored() {
        let whole = answer(NEEDED | FS_SUBTYPE | MNT_OPTS);
        for length in 0..STRINGS {
            assert_eq!(parse(9, &whole[..length]), None, "{length}");
        }
    }
}
