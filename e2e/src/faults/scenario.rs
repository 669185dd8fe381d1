//! One case: a connected share, what is wrong with it, and the operation.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{ALICE, BOB, Fault, Operation, Share, observed};
use crate::{Daemon, Finished, Guest, Lab, Program, Site, mount_at};

/// A share, and what is wrong with it.
pub(super) struct Scenario {
    pub(super) fault: Fault,
    /// Files held open; closed before the mount goes.
    pub(super) open: Vec<File>,
    /// The client of a mount over the share's own.
    pub(super) upper: Option<Daemon>,
    /// Alice's guest, where there is one.
    pub(super) guest: Option<Guest>,
    pub(super) share: Share,
}

/// What comes of `operation` while `fault` is in force: what the command answers, and what it leaves.
#[must_use]
pub fn outcome(fault: Fault, operation: Operation) -> String {
    let mut scenario = Scenario::connected(fault);
    scenario.inject();
    let client = scenario.share.newest_client_id();
    let finished = scenario.run(operation);
    let answer = observed::answer(operation, &finished, scenario.alice());
    let mount = match mount_at(scenario.share.mount_path()) {
        None => "–",
        Some(_) if scenario.share.newest_client_id() == client => "same",
        Some(_) => "new",
    };
    if mount == "–" && fault.fails_to_mount() {
        // One that is left could still mount.
        scenario.site().assert_no_client_is_left();
    }
    let records = observed::records(&scenario.records(), scenario.alice());
    format!("{answer} · {mount} · {records}")
}

impl Scenario {
    fn connected(fault: Fault) -> Self {
        let site = Site::new(&[]);
        if fault == Fault::DiskFull {
            mount_tiny_tmpfs(site.state());
        }
        let guest = fault.has_guest().then(|| Guest::define(site.scratch()));
        let share = match &guest {
            None => Share::on(site),
            Some(guest) => {
                let share = Share::on_for(site, guest.uuid());
                share.site().attach(guest, &share.site().info("one"), &[]).answer();
                share
            }
        };
        Self { fault, open: Vec::new(), upper: None, guest, share }
    }

    /// Who the share is connected for.
    pub(super) fn alice(&self) -> &str {
        self.guest.as_ref().map_or(ALICE, Guest::uuid)
    }

    pub(super) fn site(&self) -> &Site {
        self.share.site()
    }

    /// The records' directory.
    pub(super) fn records(&self) -> PathBuf {
        self.site().state().join("shares")
    }

    fn run(&self, operation: Operation) -> Finished {
        let program = self.site().with_options(self.command());
        // A deadline where waiting for it is what happens; elsewhere the default, which no busy machine reaches.
        let program = match self.fault {
            Fault::MountHangs => program.args(["--mount-timeout", "1"]),
            Fault::Stopped | Fault::MountsSilent => program.args(["--probe-timeout", "1"]),
            // Here somebody must have come to ask the client by then.
            Fault::Silent | Fault::SilentWithoutControl => program.args(["--probe-timeout", "3"]),
            _ => program,
        };
        let with = |program: Program, instance: &str, image: &str| {
            let program = program.args(["--instance", instance, "--connection-info", "-"]);
            program.input(self.site().info(image).to_string())
        };
        let program = match operation {
            Operation::Connect => with(program.arg("connect"), BOB, "two"),
            Operation::Disconnect => with(program.arg("disconnect"), self.alice(), "one"),
            Operation::Force => with(program.args(["disconnect", "--force"]), self.alice(), "one"),
            Operation::Status => program.arg("status"),
            Operation::Reconcile => program.arg("reconcile"),
        };
        program.run()
    }

    /// The command, on the host that the fault makes of this one.
    fn command(&self) -> Program {
        match self.fault {
            Fault::KilledBefore | Fault::KilledWhile => {
                let path = format!("{}:/usr/bin:/bin", self.share.file("programs").display());
                Program::as_nova(Lab::require().directory().join("bin/nova-quobyte")).env("PATH", path)
            }
            Fault::NoProc => in_mount_namespace("mount --make-rprivate /proc && mount -t tmpfs none /proc"),
            // Unmounting the share is to be seen outside.
            Fault::SilentWithoutControl => {
                in_mount_namespace("mount --make-rprivate /sys && umount /sys/fs/fuse/connections")
            }
            _ => Program::as_nova("nova-quobyte"),
        }
    }
}

/// The command as nova, in a mount namespace of its own in which `change` was made.
fn in_mount_namespace(change: &str) -> Program {
    let script = format!("{change} && exec setpriv --reuid=nova --regid=nova --init-groups -- \"$@\"");
    Program::as_root("unshare")
        .args(["--mount", "--propagation", "unchanged", "sh", "-c", &script, "sh", "nova-quobyte"])
        .env("HOME", Lab::require().nova_home())
}

impl Drop for Scenario {
    fn drop(&mut self) {
        self.upper.iter().for_each(Daemon::end);
        if mount_at(self.site().state()).is_some() {
            Program::as_root("umount").arg("--lazy").arg(self.site().state()).run();
        }
    }
}

/// Keeps what is in `directory` in a file system of a few pages from now on.
fn mount_tiny_tmpfs(directory: &Path) {
    let nova = fs::metadata(Lab::require().nova_home()).expect("nova has a home");
    let options = format!("size=64k,mode=700,uid={},gid={}", nova.uid(), nova.gid());
    Program::as_root("mount").args(["-t", "tmpfs", "-o", &options, "state"]).arg(directory).succeed();
}
