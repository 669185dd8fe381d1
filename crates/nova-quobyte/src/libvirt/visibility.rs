//! Whether what is mounted here can be seen where the hypervisor runs.
//!
//! QEMU runs as another user, so the mount must allow other users. And each guest of a system libvirtd has a mount
//! namespace of its own, which receives a later mount only if the mount below it is shared.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use quobyte_volume::mount_path::MountPath;
use quobyte_volume::mount_table::{Mount, MountInfo};
use rustix::process::Pid;

use super::Hypervisor;
use crate::error::Error;

const ALLOW_OTHER: &str = "it was mounted without allow_other; write user_allow_other into /etc/fuse.conf, or run \
                           this as root, and try again once it is unmounted";
const NAMESPACE: &str = "it is not in the mount namespace of libvirt's daemon; put quobyte_mount_point_base below a \
                         directory that this process and the daemon share";
const PROPAGATION: &str = "it is mounted below a private mount, so running guests do not receive it; make that one \
                           shared (mount --make-rshared) and start the guest anew";

impl Hypervisor {
    /// Makes sure that the hypervisor can open files on `mount`, as far as that can be told before it tries.
    ///
    /// # Errors
    /// [`Error::NotVisible`] with what to do about it.
    pub(crate) fn check_sees(&self, at: &MountPath, mount: &Mount) -> Result<(), Error> {
        let not_visible = |remedy| Error::NotVisible { at: at.clone(), remedy, source: None };
        if self.is_system() && !mount.allows_other_users() {
            return Err(not_visible(ALLOW_OTHER));
        }
        match self.entry(at) {
            Some(Some((entry, _))) if entry.mount.device == mount.device => Ok(()),
            Some(_) => Err(not_visible(NAMESPACE)),
            // The daemon's table is out of reach; it will say itself if it cannot open the image.
            None => Ok(()),
        }
    }

    /// What libvirt's refusal to open an image on `at` really means, if the mount never reached the guest.
    pub(crate) fn explain(&self, refusal: Error, at: &MountPath) -> Error {
        let names_the_mount = refusal.to_string().contains(&at.as_path().display().to_string());
        let is_private = matches!(self.entry(at), Some(Some((_, parent_is_shared))) if !parent_is_shared);
        if names_the_mount && is_private {
            Error::NotVisible { at: at.clone(), remedy: PROPAGATION, source: Some(Box::new(refusal)) }
        } else {
            refusal
        }
    }

    fn is_system(&self) -> bool {
        self.uri.contains(":///system")
    }

    /// The mount on top at `at` in the daemon's own table, and whether the mount below it is shared. The outer `None`
    /// stands for a table that cannot be read.
    fn entry(&self, at: &MountPath) -> Option<Option<(MountInfo, bool)>> {
        let daemon = self.daemon()?;
        let table = std::fs::read(format!("/proc/{}/mountinfo", daemon.as_raw_nonzero())).ok()?;
        let table = MountInfo::parse(&table).ok()?;
        let entry = MountInfo::top(&table, &at.place());
        Some(entry.map(|entry| {
            let shared = table.iter().any(|below| below.id == entry.parent && below.shared);
            (entry.clone(), shared)
        }))
    }

    /// The process that listens on libvirt's socket.
    fn daemon(&self) -> Option<Pid> {
        let runtime = if self.is_system() {
            PathBuf::from("/run")
        } else {
            std::env::var_os("XDG_RUNTIME_DIR")?.into()
        };
        // libvirt's clients look for the daemon of QEMU alone first, then for the one that does everything.
        ["virtqemud-sock", "libvirt-sock"].into_iter().find_map(|socket| {
            let stream = UnixStream::connect(runtime.join("libvirt").join(socket)).ok()?;
            Some(rustix::net::sockopt::socket_peercred(&stream).ok()?.pid)
        })
    }
}
