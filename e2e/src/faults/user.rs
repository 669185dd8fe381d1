//! Other users, who mount with the client alone.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, chown},
};

use super::Share;
use crate::{Daemon, Program, mount_at};

/// A user other than nova.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// The superuser.
    Root,
    /// An ordinary one, who may use FUSE.
    Nobody,
}

const NOBODY: [&str; 4] = ["--reuid=nobody", "--regid=nogroup", "--groups=fuse", "--"];

impl User {
    /// A program, run by the user.
    #[must_use]
    pub fn runs(self, program: &str) -> Program {
        match self {
            Self::Root => Program::as_root(program),
            Self::Nobody => Program::as_root("setpriv").args(NOBODY).arg(program),
        }
    }

    /// The user's number, as the kernel shows it.
    #[must_use]
    pub fn id(self) -> u32 {
        let id = self.runs("id").arg("--user").succeed();
        id.trim_end().parse().expect("a user's id is a number")
    }

    /// Mounts the share where nova would, for everybody to use. Nothing is mounted there yet. Returns the client.
    #[must_use]
    pub fn mounts(self, share: &Share) -> Daemon {
        self.mounts_with(self.runs("mount.quobyte"), share)
    }

    /// The same for nobody else to use: libfuse is not configured to permit more.
    #[must_use]
    pub fn mounts_privately(self, share: &Share) -> Daemon {
        // The mount is to be seen outside, the configuration is not.
        let script =
            "mount --make-private /etc/fuse.conf && mount --bind /dev/null /etc/fuse.conf && exec \"$@\"";
        let program = Program::as_root("unshare")
            .args(["--mount", "--propagation", "unchanged", "sh", "-c", script, "sh", "setpriv"])
            .args(NOBODY)
            .arg("mount.quobyte");
        self.mounts_with(program, share)
    }

    fn mounts_with(self, program: Program, share: &Share) -> Daemon {
        let site = share.site();
        fs::create_dir(share.mount_path()).expect("nothing is at the mount point");
        chown(share.mount_path(), Some(self.id()), None).expect("give the mount point away");
        let theirs = site.scratch().directory("theirs");
        fs::set_permissions(&theirs, Permissions::from_mode(0o777)).expect("let others write");
        let pid = theirs.join("pid");
        program
            .env("QUOBYTE_STANDIN_PID_FILE", &pid)
            .args(["--disable-xattrs", site.volume().export()])
            .arg(share.mount_path())
            .arg("-c")
            .arg(site.volume().config())
            .succeed();
        assert!(mount_at(share.mount_path()).is_some(), "the client reports a mount that is not there");
        Daemon::of(&pid)
    }
}
