//! Whether what is mounted here can be seen where the hypervisor runs.
//!
//! QEMU runs as another user, so the mount must allow other users. And each guest of a system libvirtd has a mount
//! namespace of its own, which receives a later mount only if the mount below it is shared.

use std::fs::File;
use std::path::{Path, PathBuf};

use quobyte_volume::pure::kernel_mount::{Mount, MountInfo};
use quobyte_volume::pure::mount_path::MountPath;
use rustix::process::{Flock, FlockType, Pid, fcntl_getlk};

use super::Hypervisor;
use crate::error::{Error, is_denied};

const ALLOW_OTHER: &str = "it was mounted without allow_other; write user_allow_other into /etc/fuse.conf, and try \
                           again once it is unmounted";
const NAMESPACE: &str = "it is not in the mount namespace of libvirt's daemon; put quobyte_mount_point_base below a \
                         directory that this process and the daemon share";
const PROPAGATION: &str = "it is mounted below a private mount, so running guests do not receive it; make that one \
                           shared (mount --make-rshared) and start the guest anew";

impl Hypervisor {
    /// Makes sure that the hypervisor can open files on `mount`, as far as that can be told before it tries.
    ///
    /// # Errors
    /// [`Error::MountNotVisible`] with what to do about it.
    pub(crate) fn check_mount_visible(&self, at: &MountPath, mount: &Mount) -> Result<(), Error> {
        let not_visible = |remedy| Error::MountNotVisible { at: at.clone(), remedy, source: None };
        if self.is_system() && !mount.allows_other_users() {
            return Err(not_visible(ALLOW_OTHER));
        }
        match self.daemon_mount(at) {
            Some(Some((entry, _))) if entry.mount.device == mount.device => Ok(()),
            Some(_) => Err(not_visible(NAMESPACE)),
            // The daemon's table is out of reach; it will say itself if it cannot open the image.
            None => Ok(()),
        }
    }

    /// What libvirt's refusal to open `image` on `at` really means: that the mount never reached the guest, or that it
    /// did and QEMU may not open the image.
    pub(crate) fn explain_open_failure(&self, refusal: Error, at: &MountPath, image: &Path) -> Error {
        let text = refusal.to_string();
        let mentions_mount = text.contains(&at.as_path().display().to_string());
        let is_private =
            matches!(self.daemon_mount(at), Some(Some((_, parent_is_shared))) if !parent_is_shared);
        if mentions_mount && is_private {
            Error::MountNotVisible { at: at.clone(), remedy: PROPAGATION, source: Some(Box::new(refusal)) }
        } else if mentions_mount && is_denied(&text) {
            Error::ImageNotAccessible { image: image.to_owned(), source: Box::new(refusal) }
        } else {
            refusal
        }
    }

    pub(super) fn is_system(&self) -> bool {
        self.uri.contains(":///system")
    }

    /// The mount on top at `at` in the daemon's own table, and whether the mount below it is shared. The outer `None`
    /// stands for a table that cannot be read.
    fn daemon_mount(&self, at: &MountPath) -> Option<Option<(MountInfo, bool)>> {
        let daemon = self.daemon_pid()?;
        let table = std::fs::read(format!("/proc/{}/mountinfo", daemon.as_raw_nonzero())).ok()?;
        let table = MountInfo::parse(&table).ok()?;
        let entry = MountInfo::top(&table, &at.resolved());
        Some(entry.map(|entry| {
            let shared = table.iter().any(|below| below.id == entry.parent && below.shared);
            (entry.clone(), shared)
        }))
    }

    /// libvirt's daemon: the one that does QEMU alone, else the one that does everything.
    fn daemon_pid(&self) -> Option<Pid> {
        let runtime = if self.is_system() {
            PathBuf::from("/run")
        } else {
            PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR")?).join("libvirt")
        };
        ["virtqemud.pid", "libvirtd.pid"].into_iter().find_map(|name| pid_file_owner(&runtime.join(name)))
    }
}

/// The process that holds the lock on a pid file, as each daemon of libvirt's does while it runs. The peer of its socket
/// may be who made the socket for it: systemd.
fn pid_file_owner(pid_file: &Path) -> Option<Pid> {
    let file = File::open(pid_file).ok()?;
    fcntl_getlk(&file, &Flock::from(FlockType::WriteLock)).ok()??.pid
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "another process has to hold the lock")]
    fn daemon_is_found_by_pid_file_lock() {
        let mut pid_file = tempfile::NamedTempFile::new().unwrap();
        pid_file.write_all(b"1\n").unwrap();
        assert_eq!(pid_file_owner(pid_file.path()), None, "left by a daemon that has ended");

        let script = "import fcntl, sys; file = open(sys.argv[1], 'r+'); fcntl.lockf(file, fcntl.LOCK_EX); \
                      print(end='.', flush=True); sys.stdin.read()";
        let mut daemon = Command::new("python3")
            .args(["-c", script])
            .arg(pid_file.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        daemon.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        assert_eq!(pid_file_owner(pid_file.path()), Some(Pid::from_child(&daemon)));
        drop(daemon.stdin.take());
        daemon.wait().unwrap();
        assert_eq!(pid_file_owner(pid_file.path()), None);
    }
}
