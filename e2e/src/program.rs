//! Running programs as root or as the lab's ordinary user.

use std::{
    ffi::OsStr,
    fs::File,
    io::{Read, Seek, Write},
    os::fd::OwnedFd,
    process::{Child, Command, ExitStatus},
    time::Duration,
};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tempfile::tempfile;

use crate::{Lab, process, wait};

/// A program to run, with a deadline.
#[derive(Debug)]
pub struct Program {
    command: Command,
    input: File,
    output: Option<OwnedFd>,
    errors: Option<OwnedFd>,
    limit: Duration,
}

/// A program that runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
    command: String,
    limit: Duration,
    stdout: File,
    stderr: File,
}

/// What a program left: its exit status and everything it wrote.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Program {
    /// `program`, found in the lab's PATH, run as the user of this process.
    pub fn as_root(program: impl AsRef<OsStr>) -> Self {
        Self {
            command: Command::new(program),
            input: File::open("/dev/null").expect("open /dev/null"),
            output: None,
            errors: None,
            limit: Duration::from_secs(60),
        }
    }

    /// `program` run as the ordinary user `nova`, who is in the groups that FUSE and libvirt ask for.
    pub fn as_nova(program: impl AsRef<OsStr>) -> Self {
        let mut this = Self::as_root("setpriv");
        this.command.args(["--reuid=nova", "--regid=nova", "--init-groups", "--"]).arg(program);
        this.env("HOME", Lab::require().nova_home())
    }

    /// Adds arguments.
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Adds one argument.
    pub fn arg(self, argument: impl AsRef<OsStr>) -> Self {
        self.args([argument])
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets what it reads from its standard input, which is empty unless told.
    pub fn input(mut self, contents: impl AsRef<[u8]>) -> Self {
        let mut input = temporary_file();
        input.write_all(contents.as_ref()).and_then(|()| input.rewind()).expect("write a program's input");
        self.input = input;
        self
    }

    /// Sets where its standard output goes. What it writes there is not among what it left.
    pub fn output(self, output: impl Into<OwnedFd>) -> Self {
        Self { output: Some(output.into()), ..self }
    }

    /// The same for standard error.
    pub fn errors(self, errors: impl Into<OwnedFd>) -> Self {
        Self { errors: Some(errors.into()), ..self }
    }

    /// Sets its deadline, one minute unless told.
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it to its end. Panics when it cannot be started or its deadline passes, in which case it is killed.
    pub fn run(self) -> Finished {
        self.start().finish()
    }

    /// Starts it and does not wait for it. Panics when it cannot be started.
    ///
    /// Output goes through files: a daemon that it leaves behind may hold a pipe open for ever.
    pub fn start(mut self) -> Running {
        let (stdout, stderr) = (temporary_file(), temporary_file());
        let command = &mut self.command;
        command.stdin(self.input);
        let shared = |file: &File| file.try_clone().expect("share a file").into();
        command.stdout(self.output.unwrap_or_else(|| shared(&stdout)));
        command.stderr(self.errors.unwrap_or_else(|| shared(&stderr)));
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Running { child, command: format!("{command:?}"), limit: self.limit, stdout, stderr }
    }

    /// Runs it to its end and returns its standard output. Panics when it fails.
    pub fn succeed(self) -> String {
        let description = format!("{:?}", self.command);
        let finished = self.run();
        assert!(finished.status.success(), "{description}\n{finished:?}");
        finished.stdout
    }
}

impl Running {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&self) -> bool {
        !wait::readable(self.exit(), Duration::ZERO)
    }

    /// Kills it at once. As good if it has ended.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill a child of ours");
    }

    /// Waits until it has stopped itself. Panics when it ends instead.
    pub fn wait_until_stopped(&self) {
        let pid = Pid::from_child(&self.child);
        assert!(process::wait_until_stopped(pid), "{} has ended", self.command);
    }

    /// Waits for its end, and kills it once `limit` has passed.
    pub fn finish_within(mut self, limit: Duration) -> Finished {
        if !wait::readable(self.exit(), limit) {
            self.kill();
        }
        self.finish()
    }

    /// Waits for its end. Panics when its deadline passes, counted from now, in which case it is killed.
    pub fn finish(mut self) -> Finished {
        let in_time = wait::readable(self.exit(), self.limit);
        if !in_time {
            self.kill();
        }
        let status = self.child.wait().expect("reap a child of ours");
        let finished = Finished { status, stdout: contents(self.stdout), stderr: contents(self.stderr) };
        assert!(in_time, "not done within {:?}: {}\n{finished:?}", self.limit, self.command);
        finished
    }

    /// Readable once it has ended.
    fn exit(&self) -> OwnedFd {
        pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty()).expect("a child of ours has a pidfd")
    }
}

fn temporary_file() -> File {
    tempfile().expect("make a temporary file in the lab")
}

fn contents(mut file: File) -> String {
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).expect("read a program's output");
    String::from_utf8_lossy(&bytes).into_owned()
}
