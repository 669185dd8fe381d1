//! What befalls a host: libvirt's hook is installed on it, and it is restarted.

use std::{fs, time::Instant};

use rustix::mount::{UnmountFlags, unmount};

use super::Site;
use crate::{Guest, Program, process::LIMIT};

impl Site {
    /// Has libvirt's hook connect the volumes of that guest, with the site's options.
    pub fn install_hook(&self, guest: &Guest) {
        let options: Vec<_> = self
            .options
            .iter()
            .map(|(name, value)| format!("{name} {}", value.to_str().expect("a path in UTF-8")))
            .collect();
        let lab = std::env::var("NOVA_QUOBYTE_LAB").expect("tests run in the lab");
        fs::write(format!("{lab}/hook/{}", guest.name()), options.join(" ")).expect("install the hook");
    }

    /// Waits until nothing is mounted below its base any more, as somebody else sees to: so this asks, until a deadline.
    pub fn wait_until_unmounted(&self) {
        let deadline = Instant::now() + LIMIT;
        while !self.mount_directories().is_empty() {
            assert!(Instant::now() < deadline, "still there: {:?}", self.mount_directories());
            std::thread::yield_now();
        }
    }

    /// What a restart of the host leaves while all guests are shut off: no client, no mount, and an empty state directory.
    pub fn restart_host(&self) {
        self.crash_clients();
        for directory in self.mount_directories() {
            let _ = unmount(self.base().join(directory), UnmountFlags::DETACH);
        }
        let state = self.state().to_str().expect("a path in UTF-8");
        Program::as_root("find").args([state, "-mindepth", "1", "-delete"]).succeed();
    }
}
