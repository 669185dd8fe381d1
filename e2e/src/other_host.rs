//! A second host, for guests to migrate to.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
};

use rustix::process::Signal;

use crate::{Daemon, Program, Site};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/lab/other-host");

/// A host beside the lab's own with the same storage: `nova-quobyte` is set up there as it is at a site, at the same
/// paths, and reaches the same store. Its libvirt takes QEMU for one that cannot drop the host's cache of a file.
///
/// Its libvirtd ends when it is dropped; guests that are there then are not.
#[derive(Debug)]
pub struct OtherHost {
    directory: PathBuf,
    /// Ended in this order.
    daemons: [Daemon; 2],
}

impl OtherHost {
    /// Sets one up for the volume of `site`.
    pub fn for_site(site: &Site) -> Self {
        let directory = site.scratch().directory("other-host");
        for name in ["run", "mnt", "state"] {
            site.scratch().directory(&format!("other-host/{name}"));
        }
        let migration = site.scratch().directory("other-host/migration");
        fs::set_permissions(migration, Permissions::from_mode(0o777)).expect("let QEMU make a socket");
        Program::as_root("unshare")
            .args(["--mount", "--uts", "--", SCRIPT])
            .args([&directory, site.base(), site.state()])
            .succeed();
        let daemons = ["libvirtd", "virtlogd"];
        let daemons = daemons.map(|name| Daemon::of(&directory.join(format!("run/{name}.pid"))));
        Self { directory, daemons }
    }

    /// Where its libvirtd is reached from the lab.
    pub(crate) fn uri(&self) -> String {
        format!("qemu+unix:///system?socket={}", self.directory.join("run/libvirt-sock").display())
    }

    /// Where the QEMU that takes over a guest listens for the other.
    pub(crate) fn migration_socket(&self) -> PathBuf {
        self.directory.join("migration/socket")
    }

    /// `program` run on it as `nova`.
    pub fn as_nova(&self, program: &str) -> Program {
        let libvirtd = self.daemons[0].id().to_string();
        // With its root: that of a lab in a chroot is not its mount namespace's.
        Program::as_root("nsenter").args(["--target", &libvirtd, "--mount", "--uts", "--root", "--"]).args([
            "setpriv",
            "--reuid=nova",
            "--regid=nova",
            "--init-groups",
            "--",
            program,
        ])
    }
}

impl Drop for OtherHost {
    fn drop(&mut self) {
        for daemon in &self.daemons {
            daemon.signal(Signal::TERM);
            daemon.wait_for_end();
        }
    }
}
