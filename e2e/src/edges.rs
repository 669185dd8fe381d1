//! Surroundings that a caller may start the command in, none of which may decide what becomes of an operation.

use std::{
    io::PipeWriter,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    thread::JoinHandle,
};

use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::{Errno, write},
};
use strum::VariantArray;

use crate::{Lab, Program};

/// One thing that is unusual about the process that starts the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
pub enum Edge {
    /// Standard output is closed.
    OutputClosed,
    /// Standard error is closed.
    ErrorsClosed,
    /// All three standard streams are closed.
    StreamsClosed,
    /// Standard output cannot be written.
    OutputFull,
    /// Standard error cannot be written.
    ErrorsFull,
    /// Neither can be written.
    BothFull,
    /// Nobody will read standard output.
    OutputBroken,
    /// Nobody will read standard error.
    ErrorsBroken,
    /// The kernel reaps children by itself.
    ChildrenIgnored,
    /// Every signal that can be is ignored.
    SignalsIgnored,
    /// Every signal that can be is blocked.
    SignalsBlocked,
    /// Whatever is made is everybody's.
    OpenUmask,
    /// Whatever is made is no stranger's.
    GroupUmask,
    /// Whatever is made is nobody else's.
    PrivateUmask,
    /// Whatever is made is not even its owner's.
    ClosedUmask,
    /// No directory for temporary files, another language, no home.
    BareEnvironment,
    /// PATH lacks the system's programs.
    ShortPath,
    /// The working directory is gone.
    DirectoryGone,
    /// The wall clock jumps whenever somebody looks at it.
    ClockJumps,
    /// Very low priority, and the first choice of the OOM killer.
    Unimportant,
    /// As few open files as are permitted at first, and more if asked for.
    FewDescriptorsAtFirst,
    /// The same of the stack.
    SmallStackAtFirst,
}

impl Edge {
    /// All of them.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// Whether a query under it cannot deliver what it is for.
    #[must_use]
    pub fn loses_answers(self) -> bool {
        matches!(self, Self::OutputFull | Self::BothFull)
    }

    /// Whether the answer can be read.
    #[must_use]
    pub fn keeps_output(self) -> bool {
        use Edge::*;
        !matches!(self, OutputClosed | StreamsClosed | OutputFull | BothFull | OutputBroken)
    }

    /// The command as nova runs it there, with no argument yet.
    #[must_use]
    pub fn command(self, scratch: &Path) -> Program {
        use Edge::*;
        let command = Lab::require().directory().join("bin/nova-quobyte");
        let bin = Lab::require().directory().join("bin");
        let shell =
            |script: &str| Program::as_nova("sh").args(["-c", &format!("{script} exec \"$@\""), "sh"]);
        let redirected = |to: &str| Program::as_nova("sh").args(["-c", &format!("exec \"$@\" {to}"), "sh"]);
        let program = match self {
            OutputClosed => redirected(">&-"),
            ErrorsClosed => redirected("2>&-"),
            StreamsClosed => redirected("<&- >&- 2>&-"),
            OutputFull => redirected(">/dev/full"),
            ErrorsFull => redirected("2>/dev/full"),
            BothFull => redirected(">/dev/full 2>/dev/full"),
            OutputBroken => Program::as_nova("env").output(broken_pipe()),
            ErrorsBroken => Program::as_nova("env").errors(broken_pipe()),
            ChildrenIgnored => Program::as_nova("env").arg("--ignore-signal=CHLD"),
            SignalsIgnored => Program::as_nova("env").arg("--ignore-signal"),
            SignalsBlocked => Program::as_nova("env").arg("--block-signal"),
            OpenUmask => shell("umask 000;"),
            GroupUmask => shell("umask 027;"),
            PrivateUmask => shell("umask 077;"),
            ClosedUmask => shell("umask 777;"),
            BareEnvironment => Program::as_nova("env").args([
                "-u",
                "HOME",
                "TMPDIR=/nonexistent",
                "LC_ALL=de_DE.UTF-8",
                "LANGUAGE=de",
            ]),
            ShortPath => Program::as_nova("env").arg(format!("PATH={}", bin.display())),
            DirectoryGone => {
                let gone = format!("{}/gone-$$", scratch.display());
                shell(&format!("mkdir {gone} && cd {gone} && rmdir {gone};"))
            }
            ClockJumps => {
                Program::as_nova("env").arg(format!("LD_PRELOAD={}", jumping_clock(scratch).display()))
            }
            Unimportant => shell("echo 900 >/proc/self/oom_score_adj; renice -n 19 $$ >/dev/null;"),
            FewDescriptorsAtFirst => shell("ulimit -S -n 12;"),
            SmallStackAtFirst => shell("ulimit -S -s 64;"),
        };
        program.arg(command)
    }
}

/// A library whose wall clock jumps.
fn jumping_clock(directory: &Path) -> PathBuf {
    let [source, library] = ["jumping_clock.c", "jumping_clock.so"].map(|name| directory.join(name));
    if !library.exists() {
        std::fs::write(&source, include_str!("../../tests/lab/jumping_clock.c"))
            .expect("write the clock's source");
        Program::as_root("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).succeed();
    }
    library
}

/// The writing end of a pipe that nobody reads.
fn broken_pipe() -> OwnedFd {
    let (_, writer) = std::io::pipe().expect("make a pipe");
    writer.into()
}

/// A pipe that takes nothing more, and whose reader waits.
#[derive(Debug)]
pub struct FullPipe {
    reader: std::io::PipeReader,
    writer: PipeWriter,
}

impl FullPipe {
    /// Makes one and fills it.
    #[expect(clippy::new_without_default, reason = "it makes a pipe, which nobody expects of a default")]
    #[must_use]
    pub fn new() -> Self {
        let (reader, writer) = std::io::pipe().expect("make a pipe");
        let flags = fcntl_getfl(&writer).expect("a pipe has flags");
        fcntl_setfl(&writer, flags | OFlags::NONBLOCK).expect("fill a pipe without waiting");
        loop {
            match write(&writer, &[b'.'; 4096]) {
                Ok(_) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => panic!("fill a pipe: {error}"),
            }
        }
        fcntl_setfl(&writer, flags).expect("have writers wait");
        Self { reader, writer }
    }

    /// Has writers get EAGAIN instead of waiting.
    pub fn refuse_to_wait(&self) {
        let flags = fcntl_getfl(&self.writer).expect("a pipe has flags");
        fcntl_setfl(&self.writer, flags | OFlags::NONBLOCK).expect("have no writer wait");
    }

    /// The end to write to.
    #[must_use]
    pub fn writer(&self) -> OwnedFd {
        self.writer.try_clone().expect("share a pipe").into()
    }

    /// Reads all there is and all that comes, in the background, until every writer is done.
    pub fn drain(self) -> JoinHandle<String> {
        drop(self.writer);
        std::thread::spawn(move || std::io::read_to_string(self.reader).expect("read a pipe"))
    }
}
