//! Who may pass the directory that shares are mounted below.
//!
//! Images are open to everybody by their mode, since QEMU runs as another user than the one that mounts, and the mount lets
//! other users in for the same reason. So the directory above is what keeps the host's other users out: it is passed by its
//! owner and by QEMU's user, whom an access control list names.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{XattrFlags, setxattr};

/// Lets nobody pass `base` but its owner and the user of that number.
pub(super) fn close(base: &Path, emulator_user: u32) -> io::Result<()> {
    Ok(setxattr(base, "system.posix_acl_access", &access_list(emulator_user), XattrFlags::empty())?)
}

/// Whether every user of the host may pass `base` and all that is above it, wherever links lead.
pub(super) fn is_open(base: &Path) -> bool {
    let may_pass = |permissions: Permissions| permissions.mode() & 0o001 != 0;
    let Ok(base) = base.canonicalize() else { return false };
    base.ancestors()
        .all(|directory| directory.metadata().is_ok_and(|metadata| may_pass(metadata.permissions())))
}

/// Whom a [`pass_command`] shuts out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutOut {
    /// Nobody.
    Nobody,
    /// Everybody but the owner and QEMU's user.
    Others,
}

/// What an operator types to let QEMU's user pass a directory. That user has the name that it has on Debian.
#[must_use]
pub fn pass_command(directory: &Path, shut_out: ShutOut) -> String {
    let others = match shut_out {
        ShutOut::Nobody => "",
        ShutOut::Others => ",o::-",
    };
    format!("setfacl -m u:libvirt-qemu:x{others} {}", directory.display())
}

/// The kernel's form of a list by which the owner may do everything, `user` may pass, and nobody else may do anything:
/// `posix_acl_xattr_header` and its entries, sorted, in little endian.
fn access_list(user: u32) -> Vec<u8> {
    const VERSION: u32 = 2;
    const NOBODY: u32 = u32::MAX;
    const PASS: u16 = 1;
    let entries: [(u16, u16, u32); 5] = [
        (0x01, 7, NOBODY),    // the owner
        (0x02, PASS, user),   // this user
        (0x04, 0, NOBODY),    // the owning group
        (0x10, PASS, NOBODY), // the most that a user who is named gets
        (0x20, 0, NOBODY),    // others
    ];
    let mut bytes = VERSION.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::fs::set_permissions;

    use super::*;

    #[test]
    fn closed_base_is_passed_by_owner_and_emulator() {
        let directory = tempfile::tempdir().unwrap();
        close(directory.path(), 64055).unwrap();
        // The mode shows what a named user may at most in place of the group's bits.
        assert_eq!(directory.path().metadata().unwrap().permissions().mode() & 0o777, 0o710);
        let mut list = [0; 64];
        let length = rustix::fs::getxattr(directory.path(), "system.posix_acl_access", &mut list).unwrap();
        assert_eq!(list[..length], access_list(64055));
    }

    #[test]
    fn base_is_open_if_all_above_is() {
        let directory = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
        let base = directory.path().join("mnt");
        super::super::mount_point::make(&base).unwrap();
        let set = |path: &Path, mode| set_permissions(path, Permissions::from_mode(mode)).unwrap();
        for (above, own, expected) in [(0o755, 0o755, true), (0o750, 0o755, false), (0o755, 0o710, false)] {
            set(directory.path(), above);
            set(&base, own);
            assert_eq!(is_open(&base), expected, "{above:o} {own:o}");
        }
        // Whoever may not follow the link goes to where it leads.
        set(&base, 0o755);
        let closed = tempfile::tempdir_in("/tmp").unwrap();
        std::os::unix::fs::symlink(&base, closed.path().join("link")).unwrap();
        assert!(is_open(&closed.path().join("link")));
    }
}
