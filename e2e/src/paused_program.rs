//! Programs that wait for a test before they begin, so that what comes meanwhile is no matter of chance.

use std::{
    env,
    fs::{self, File, Permissions},
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    time::Duration,
};

use rustix::fs::{Mode, OFlags, open};

use crate::{Scratch, make_pipe, wait};

/// Ample for a call to come as far as the program that is paused.
const LIMIT: Duration = Duration::from_secs(60);

/// A program found in PATH before the one of that name, which it becomes once it is resumed.
#[derive(Debug)]
pub struct PausedProgram {
    directory: PathBuf,
    path: String,
}

impl PausedProgram {
    /// Pauses `program` for whoever has [`PausedProgram::path`] as PATH.
    #[must_use]
    pub fn new(scratch: &Scratch, program: &str) -> Self {
        let path = env::var("PATH").expect("the lab has a PATH");
        let directory = scratch.directory("held");
        let (started, go) = (directory.join("begun"), directory.join("go"));
        make_pipe(&started);
        make_pipe(&go);
        let script = format!(
            "#!/bin/sh\necho >{} && read _ <{} && PATH={path} exec {program} \"$@\"\n",
            started.display(),
            go.display()
        );
        let script = scratch.file(&format!("held/{program}"), script);
        fs::set_permissions(script, Permissions::from_mode(0o755)).expect("make a script executable");
        Self { path: format!("{}:{path}", directory.display()), directory }
    }

    /// The PATH that has it.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Waits until somebody has started it. Panics when nobody does.
    pub fn wait_until_started(&self) {
        // Opened without waiting for whoever writes, so that the wait has a deadline.
        let started = open(self.directory.join("begun"), OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
        let mut started = File::from(started.expect("open a pipe"));
        assert!(wait::readable(&started, LIMIT), "nobody starts what {} holds", self.directory.display());
        started.read_exact(&mut [0]).expect("a program that begins says so");
    }

    /// Lets the program that was waited for go on.
    pub fn resume(&self) {
        let go = File::options().write(true).open(self.directory.join("go"));
        go.expect("open a pipe that is read").write_all(b"\n").expect("let a program go on");
    }
}
