//! Daemons, the stand-in client's above all, and processes that may hang on it.

mod files;

use std::{
    fs,
    os::fd::OwnedFd,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::Instant,
};

use rustix::{
    fs::{CWD, FileType, Mode, chmod, mknodat},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal},
};

pub use files::Files;

use crate::{
    process::{self, LIMIT},
    wait,
};

/// A daemon, known by the process id it wrote.
#[derive(Debug)]
pub struct Daemon {
    pid: Pid,
    exit: OwnedFd,
}

impl Daemon {
    /// The daemon that writes its process id to the file at `path`. Waits for it where the file is a pipe.
    pub fn of(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("the daemon writes its process id");
        let pid = text.trim_end().parse().expect("a process id is a number");
        let pid = Pid::from_raw(pid).expect("a process id is not 0");
        let exit = pidfd_open(pid, PidfdFlags::empty()).expect("the daemon runs");
        Self { pid, exit }
    }

    /// Its process id.
    pub fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("the daemon runs");
    }

    /// Stops it, and waits until it reads no request and answers none. Panics when it ends instead.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        assert!(process::wait_until_stopped(self.pid), "the daemon {:?} has ended", self.pid);
    }

    /// Waits until it has ended. Panics when it does not.
    pub fn wait_for_end(&self) {
        assert!(wait::readable(&self.exit, LIMIT), "the daemon {:?} does not end", self.pid);
    }

    /// Ends it if it still runs, and does not wait for that.
    pub fn end(&self) {
        match pidfd_send_signal(&self.exit, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => panic!("end {:?}: {error}", self.pid),
        }
    }

    /// Ends it at once, as a crash does.
    pub fn crash(&self) {
        self.signal(Signal::KILL);
        self.wait_for_end();
    }
}

/// Makes a pipe with a name that everybody may write to, so that reading it waits for who writes.
pub fn make_pipe(path: &Path) {
    let mode = Mode::from_raw_mode(0o666);
    mknodat(CWD, path, FileType::Fifo, mode, 0).expect("make a pipe");
    chmod(path, mode).expect("let nova write");
}

/// A program of `nova`'s that may hang. Killed when dropped.
#[derive(Debug)]
pub struct BackgroundProcess {
    child: Child,
}

impl BackgroundProcess {
    /// Starts `program` and does not wait for it.
    pub fn start(program: &str, arguments: &[&Path]) -> Self {
        let child = Command::new("setpriv")
            .args(["--reuid=nova", "--regid=nova", "--init-groups", "--", program])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start a program");
        Self { child }
    }

    /// Sends it the signal that ends any process, unless the kernel holds it.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill a child of ours");
    }

    /// Waits until the kernel holds it so that no signal ends it. Panics when it never does, or ends.
    ///
    /// The kernel tells this state of a process to who looks, and to nobody else: so this looks, until a deadline.
    pub fn wait_until_uninterruptible(&self) {
        let deadline = Instant::now() + LIMIT;
        let directory = format!("/proc/{}", self.child.id());
        loop {
            let state = process::state(directory.as_ref());
            match state {
                Some('D') => return,
                Some('Z') | None => panic!("process {} has ended: {state:?}", self.child.id()),
                _ => assert!(Instant::now() < deadline, "process {} is not held: {state:?}", self.child.id()),
            }
            std::thread::yield_now();
        }
    }

    /// Waits until it has ended. Panics when it does not.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let pid = Pid::from_child(&self.child);
        let exit = pidfd_open(pid, PidfdFlags::empty()).expect("a child of ours has a pidfd");
        assert!(wait::readable(&exit, LIMIT), "process {pid:?} does not end");
        self.child.wait().expect("reap a child of ours")
    }
}

impl Drop for BackgroundProcess {
    fn drop(&mut self) {
        // Fails for one that has been waited for, which is as good.
        let _ = self.child.kill();
    }
}
