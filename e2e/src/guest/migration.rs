//! Moving a running guest to another host.

use std::time::Duration;

use super::{Guest, LAB_URI, virsh};
use crate::{OtherHost, Program};

/// In MiB a second: slow enough for the guest to do something on its way, and no limit worth the name.
const SLOW: &str = "1";
const FAST: &str = "10000";

impl Guest {
    /// Has libvirt move the running domain and its definition to the other host, or back from there, as Nova does: live,
    /// without copying its disks, and only if libvirt finds that safe.
    pub fn migration(&self, other: &OtherHost) -> Program {
        virsh(&self.uri, "migrate")
            .args(["--live", "--persistent", "--undefinesource", "--migrateuri"])
            .arg(format!("unix://{}", other.migration_socket().display()))
            .args([&self.uuid, &self.destination(other)])
            // Nobody promises how long it takes; a test that hangs is ended by nextest soon after.
            .within(Duration::from_secs(240))
    }

    /// Does it, and does something else while the guest is on its way and still here. Takes commands afterwards as before.
    pub fn migrate(&mut self, other: &OtherHost, meanwhile: impl FnOnce(&mut Self)) {
        self.virsh("migrate-setspeed", &[SLOW]);
        let migration = self.migration(other).start();
        let arriving = self.commands.accept().expect("the other host's QEMU connects, too");
        meanwhile(self);
        self.lift_speed_limit();
        let finished = migration.finish();
        assert!(finished.status.success(), "{finished:?}");
        self.uri = self.destination(other);
        self.commands.resume(arriving);
    }

    /// Lifts the limit of a migration that may have ended meanwhile, with which the domain has left this host.
    fn lift_speed_limit(&self) {
        let output = virsh(&self.uri, "migrate-setspeed").args([&self.uuid, FAST]).run();
        if !output.status.success() {
            let running = virsh(&self.uri, "list").arg("--uuid").succeed();
            assert!(!running.lines().any(|uuid| uuid.trim() == self.uuid), "{output:?}");
        }
    }

    fn destination(&self, other: &OtherHost) -> String {
        if self.uri == LAB_URI { other.uri() } else { LAB_URI.to_owned() }
    }
}
