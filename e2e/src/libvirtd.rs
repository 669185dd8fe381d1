//! libvirt's daemons: the lab's own, and one of a user's session.

use std::{fs, path::PathBuf};

use rustix::process::Signal;

use crate::{Daemon, Lab, Program, Scratch};

const PID_FILE: &str = "/run/libvirtd.pid";

/// Ends the lab's libvirtd and starts it anew, as an upgrade of its package does; guests go on. Every test of a lab
/// shares it, so only a test that runs alone may do so.
pub fn restart_libvirtd() {
    let libvirtd = Daemon::of(PID_FILE.as_ref());
    libvirtd.signal(Signal::TERM);
    libvirtd.wait_for_end();
    start(Program::as_root(Lab::require().directory().join("libvirtd")), PID_FILE);
    // The socket is there by now; the answer comes once the drivers are up.
    Program::as_root("virsh").args(["--quiet", "--connect", "qemu:///system", "uri"]).succeed();
}

fn start(libvirtd: Program, pid_file: &str) {
    libvirtd.args(["--daemon", "--pid-file", pid_file]).succeed();
}

/// The libvirtd of a session of `nova`'s, which knows nothing of the guests of the system's. Ended when dropped.
#[derive(Debug)]
pub struct SessionLibvirtd {
    runtime: PathBuf,
    daemon: Daemon,
}

impl SessionLibvirtd {
    /// Starts one.
    pub fn start(scratch: &Scratch) -> Self {
        let runtime = scratch.directory("session");
        let pid_file = runtime.join("libvirtd.pid");
        let libvirtd = Program::as_nova(Lab::require().directory().join("libvirtd"));
        start(libvirtd.env("XDG_RUNTIME_DIR", &runtime), &pid_file.to_string_lossy());
        Self { daemon: Daemon::of(&pid_file), runtime }
    }

    /// Has a program of `nova`'s ask this libvirt instead of the system's.
    pub fn for_program(&self, program: Program) -> Program {
        program.env("XDG_RUNTIME_DIR", &self.runtime).env("LIBVIRT_DEFAULT_URI", "qemu:///session")
    }
}

impl Drop for SessionLibvirtd {
    fn drop(&mut self) {
        self.daemon.end();
        self.daemon.wait_for_end();
        // Its files are beside the others of the session, which ends with the scratch directory.
        let _ = fs::remove_dir_all(&self.runtime);
    }
}
