//! A user of whom nothing else runs: the kernel counts a user's processes, whichever test has started them.

use std::{fs::OpenOptions, io::Write};

use crate::{Lab, Program, Scratch};

/// An ordinary user of its own, in the groups that FUSE and libvirt ask for.
#[derive(Debug)]
pub struct LimitedUser {
    id: u32,
}

impl LimitedUser {
    /// Makes one, and gives it everything in the directory.
    #[must_use]
    pub fn new(scratch: &Scratch) -> Self {
        // The kernel counts across all labs of a machine.
        let uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid").expect("the kernel makes UUIDs");
        let random = u32::from_str_radix(&uuid[..6], 16).expect("a UUID begins with digits");
        let this = Self { id: 100_000_000 + random };
        // libfuse looks for the name of whoever unmounts.
        let users = OpenOptions::new().append(true).open("/etc/passwd");
        let home = Lab::require().directory();
        writeln!(
            users.expect("the lab has users"),
            "{}:x:{}:65534::{}:/bin/sh",
            this.name(),
            this.id,
            home.display()
        )
        .expect("add a user");
        let owner = format!("{}:nogroup", this.name());
        Program::as_root("chown").args(["--recursive", &owner]).arg(scratch.path()).succeed();
        this
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        format!("limited-{}", self.id)
    }

    /// The command as it runs it, with no argument yet, where that option of prlimit holds.
    #[must_use]
    pub fn command(&self, limit: Option<&str>) -> Program {
        let user = format!("--reuid={}", self.id);
        let program =
            Program::as_root("setpriv").args([&user, "--regid=nogroup", "--groups=fuse,libvirt", "--"]);
        let command = Lab::require().directory().join("bin/nova-quobyte");
        program.arg("prlimit").args(limit).arg(command)
    }
}
