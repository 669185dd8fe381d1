//! The file that a probe reads where the image cannot be read so: made for that, and nobody else's.
//!
//! Where the client makes files without a name, it has none. Else it has a random one until it is open, which is a matter
//! of two requests; a helper that is killed between them leaves it behind, empty. Nobody removes it then: whether a file
//! of such a name is ours only its maker knows.

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags, unlinkat};
use rustix::io::{Errno, Result};
use rustix::rand::{GetRandomFlags, getrandom};

use super::client_calls::open_beneath;
use crate::pure::connection::PROBE_FILE_PREFIX;

/// As many bytes as make a name that nobody else has.
const RANDOM_LEN: usize = 16;

/// A new, empty file on the share, open for `O_DIRECT`, that has no name by now.
///
/// # Errors
/// `EINVAL` where the mount refuses `O_DIRECT`.
pub(super) fn make(root: &OwnedFd) -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::DIRECT;
    // Clients that cannot do so say that with various errors; that of the other way tells what is the matter.
    open_beneath(root, ".".as_ref(), flags | OFlags::TMPFILE, MODE)
        .or_else(|_| make_by_name(root, &random_name()?))
}

const MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// The same by a name, which must be free.
fn make_by_name(root: &OwnedFd, name: &str) -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::DIRECT | OFlags::CREATE | OFlags::EXCL;
    match open_beneath(root, name.as_ref(), flags, MODE) {
        Ok(file) => {
            unlinkat(root, name, AtFlags::empty())?;
            Ok(file)
        }
        // A mount that refuses `O_DIRECT` may have made it all the same.
        Err(Errno::INVAL) => match unlinkat(root, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Err(Errno::INVAL),
            Err(errno) => Err(errno),
        },
        Err(errno) => Err(errno),
    }
}

fn random_name() -> Result<String> {
    let mut random = [0; RANDOM_LEN];
    // The kernel gives so few bytes at once.
    getrandom(&mut random, GetRandomFlags::empty())?;
    Ok(format!("{PROBE_FILE_PREFIX}-{:032x}", u128::from_ne_bytes(random)))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::Path;

    use super::super::client_calls::open_root;
    use super::*;
    use crate::pure::connection::ImageName;

    fn names_in(directory: &Path) -> usize {
        fs::read_dir(directory).unwrap().count()
    }

    #[test]
    fn scratch_file_has_no_name_once_made() {
        let directory = tempfile::tempdir().unwrap();
        let root = open_root(directory.path()).unwrap();
        for made in [make(&root), make_by_name(&root, &random_name().unwrap())] {
            assert_eq!(File::from(made.unwrap()).metadata().unwrap().len(), 0);
            assert_eq!(names_in(directory.path()), 0);
        }
    }

    #[test]
    fn taken_name_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let root = open_root(directory.path()).unwrap();
        let taken = directory.path().join("taken");
        File::create(&taken).unwrap().set_len(13).unwrap();
        assert_eq!(make_by_name(&root, "taken").unwrap_err(), Errno::EXIST);
        assert_eq!(fs::metadata(&taken).unwrap().len(), 13);
    }

    #[test]
    fn random_names_differ_and_are_no_images() {
        let [one, other] = [random_name().unwrap(), random_name().unwrap()];
        assert_ne!(one, other);
        ImageName::parse(&one).unwrap().check_for_guest().unwrap_err();
    }
}
