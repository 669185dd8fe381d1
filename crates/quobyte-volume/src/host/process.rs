//! The one way this library runs a program: no shell, a deadline, and a bounded record of what it printed.
//!
//! A program that daemonises may leave its standard streams to the daemon. Were they pipes, the daemon would be
//! killed by SIGPIPE when we stop reading; were they files, it could fill them. So both streams go to a memory file
//! sealed at its size: what does not fit is refused to the writer, and nobody has to read along.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::{Access, MemfdFlags, SealFlags, access, fcntl_add_seals, ftruncate, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};

use tracing::Level;

use crate::host::crash;
use crate::host::deadline::Deadline;
use crate::host::sys::process_setup;

/// The longest output of a program that is kept, in bytes.
const MAX_OUTPUT_LEN: u64 = 16 * 1024;

/// How a program ended, and the beginning of what it printed on both streams.
#[derive(Debug)]
pub(crate) struct ProgramOutcome {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
}

/// Why there is no outcome.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("{program} cannot be started")]
    Start { program: String, source: io::Error },
    #[error("{program} did not end by its deadline{}", output_suffix(.output))]
    Timeout { program: String, output: String },
    #[error("{program} cannot be followed")]
    Supervise { program: String, source: io::Error },
}

/// Runs `program` until it ends or `deadline` passes; then it and its process group are killed and reaped. It is looked
/// for as [`find_program`] does.
///
/// The program starts in `/`, so that it pins no mount, and with messages in English. `variable` is a variable added to
/// its environment, `input` its standard input: nothing, or a file that is to be open for as long as the program runs,
/// whatever becomes of us.
pub(crate) fn run<S: AsRef<OsStr>>(
    program: &OsStr,
    arguments: impl IntoIterator<Item = S>,
    variable: Option<(&str, &str)>,
    input: Stdio,
    deadline: Deadline,
) -> Result<ProgramOutcome, RunError> {
    run_with(program, arguments, variable, input, None, deadline)
}

/// Runs `program` as [`run`] does, without input, and returns beside its outcome what it printed on standard output. The
/// outcome has only the rest.
pub(crate) fn ask<S: AsRef<OsStr>>(
    program: &OsStr,
    arguments: impl IntoIterator<Item = S>,
    variable: Option<(&str, &str)>,
    deadline: Deadline,
) -> Result<(ProgramOutcome, String), RunError> {
    let supervise_error =
        |source| RunError::Supervise { program: program.to_string_lossy().into_owned(), source };
    let mut answer = sealed_memory_file().map_err(supervise_error)?;
    let outcome = run_with(program, arguments, variable, Stdio::null(), Some(&answer), deadline)?;
    let answer = read_back(&mut answer).map_err(supervise_error)?;
    Ok((outcome, answer))
}

fn run_with<S: AsRef<OsStr>>(
    program: &OsStr,
    arguments: impl IntoIterator<Item = S>,
    variable: Option<(&str, &str)>,
    input: Stdio,
    standard_output: Option<&File>,
    deadline: Deadline,
) -> Result<ProgramOutcome, RunError> {
    let name = program.to_string_lossy().into_owned();
    let supervise_error = |source: io::Error| RunError::Supervise { program: name.clone(), source };
    let mut output_file = sealed_memory_file().map_err(supervise_error)?;
    // Becomes the descriptor that follows the program: where there is none left, the program is not started.
    let reserved = output_file.try_clone().map_err(supervise_error)?;
    let mut command = command(&find_program(program)).map_err(supervise_error)?;
    command
        .args(arguments)
        .current_dir("/")
        .env("LC_ALL", "C")
        .envs(variable)
        .stdin(input)
        .stdout(standard_output.unwrap_or(&output_file).try_clone().map_err(supervise_error)?)
        .stderr(output_file.try_clone().map_err(supervise_error)?)
        .process_group(0);
    let begun = Instant::now();
    // Nothing of ours runs between fork and exec: then a large process need not be copied for it.
    let child = command.spawn().map_err(|source| RunError::Start { program: name.clone(), source })?;
    crash::point("a program has been started");
    drop(reserved);
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty());
    let status = wait_or_kill(child, pidfd.map_err(io::Error::from), deadline).map_err(supervise_error)?;
    crash::point("a program has ended");
    let output = read_back(&mut output_file).map_err(supervise_error)?;
    if tracing::enabled!(Level::DEBUG) {
        let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
        let (program, arguments) = (command.get_program().to_string_lossy(), arguments.join(" "));
        let ended = status.map_or_else(|| "killed at its deadline".to_owned(), |status| status.to_string());
        tracing::debug!(%program, arguments, ended, took = ?begun.elapsed(), "ran a program");
    }
    match status {
        Some(status) => Ok(ProgramOutcome { status, output }),
        None => Err(RunError::Timeout { program: name, output }),
    }
}

/// A program that this process can learn the end of.
#[expect(clippy::disallowed_methods, reason = "this is the one place that starts programs")]
pub(crate) fn command(program: &Path) -> io::Result<Command> {
    process_setup::keep_child_status()?;
    Ok(Command::new(program))
}

/// Where a system's programs are. A caller's PATH may lack them, or be missing.
pub(crate) const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where programs are looked for: this process's PATH, then the system's.
pub(crate) fn search_path() -> OsString {
    let mut path = std::env::var_os("PATH").filter(|path| !path.is_empty()).unwrap_or_default();
    if !path.is_empty() {
        path.push(":");
    }
    path.push(SYSTEM_PATH);
    path
}

/// The program of that name in [`search_path`]; the name itself where there is none.
pub(crate) fn find_program(name: &OsStr) -> PathBuf {
    let search_path = search_path();
    let candidates = std::env::split_paths(&search_path).map(|directory| directory.join(name));
    let is_program = |path: &PathBuf| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    candidates.into_iter().find(is_program).unwrap_or_else(|| name.into())
}

/// Waits for the child by its pidfd; `None` when it had to be killed at the deadline. Where there is no pidfd it is killed
/// at once: nothing would hold it to the deadline.
fn wait_or_kill(
    mut child: Child,
    pidfd: io::Result<OwnedFd>,
    deadline: Deadline,
) -> io::Result<Option<ExitStatus>> {
    let pid = Pid::from_child(&child);
    let pidfd = match pidfd {
        Ok(pidfd) => pidfd,
        Err(error) => {
            let _ = kill_process_group(pid, Signal::KILL);
            reap_by(&mut child, Deadline::after(KILL_TIMEOUT))?;
            return Err(error);
        }
    };
    if wait_for_exit(&pidfd, deadline)? {
        return child.wait().map(Some);
    }
    // The child may have ended meanwhile; its group may still have members, so the group is killed either way.
    let _ = kill_process_group(pid, Signal::KILL);
    if wait_for_exit(&pidfd, Deadline::after(KILL_TIMEOUT))? {
        child.wait()?;
    }
    Ok(None)
}

/// How long a killed process may take to end. One in a system call that cannot be interrupted takes longer, and is not
/// waited for.
const KILL_TIMEOUT: Duration = Duration::from_secs(1);

/// Waits until a process has exited; `false` at the deadline.
fn wait_for_exit(pidfd: &OwnedFd, deadline: Deadline) -> io::Result<bool> {
    loop {
        let left = Timespec::try_from(deadline.remaining()).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&left)) {
            Ok(count) => return Ok(count > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits for the end of a killed child without a descriptor that tells of it: so this looks, until a deadline.
fn reap_by(child: &mut Child, deadline: Deadline) -> io::Result<()> {
    let pause = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    while child.try_wait()?.is_none() && !deadline.has_passed() {
        let _ = poll(&mut [], Some(&pause));
    }
    Ok(())
}

/// A process, held by a pidfd: it need not be our child, and no later process with its pid is taken for it.
#[derive(Debug)]
pub(crate) struct Process(OwnedFd);

impl Process {
    /// The process of that number; `None` where there is none.
    pub(crate) fn open(pid: u32) -> io::Result<Option<Self>> {
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        match pidfd_open(pid, PidfdFlags::empty()) {
            // EINVAL is what kernels before 6.15 say of a process that is just being reaped. It can mean nothing else:
            // there are no flags, and the number is a child's or from /proc.
            Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL) => Ok(None),
            pidfd => Ok(Some(Self(pidfd?))),
        }
    }

    /// Kills it, which frees it from everything but a system call that cannot be interrupted. Killing a process that
    /// has ended succeeds.
    pub(crate) fn kill(&self) -> io::Result<()> {
        match pidfd_send_signal(&self.0, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until it has exited; an error of kind `TimedOut` at the deadline.
    pub(crate) fn wait(&self, deadline: Deadline) -> io::Result<()> {
        if wait_for_exit(&self.0, deadline)? { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
    }
}

/// When the process was started, in the kernel's ticks since the boot; `None` once it has ended.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may contain anything; the state is the third field, the start time the 22nd.
    let end_of_name = stat.iter().rposition(|&byte| byte == b')')?;
    let fields = std::str::from_utf8(stat.get(end_of_name + 1..)?).ok()?;
    let mut fields = fields.split_ascii_whitespace();
    let has_ended = matches!(fields.next()?, "Z" | "X" | "x");
    let start_time = fields.nth(18)?.parse().ok()?;
    (!has_ended).then_some(start_time)
}

/// Kills a child that has not been waited for, and waits up to [`KILL_TIMEOUT`] for its end.
pub(crate) fn kill_and_wait(child: &mut Child) -> io::Result<()> {
    child.kill()?;
    match wait_for_child(child, Deadline::after(KILL_TIMEOUT)) {
        Err(error) if error.kind() != io::ErrorKind::TimedOut => {
            reap_by(child, Deadline::after(KILL_TIMEOUT))
        }
        result => result,
    }
}

/// Waits until a child that has not been reaped has ended.
pub(crate) fn wait_for_child(child: &Child, deadline: Deadline) -> io::Result<()> {
    Process::open(child.id())?.map_or(Ok(()), |process| process.wait(deadline))
}

fn sealed_memory_file() -> io::Result<File> {
    let file = memfd_create("output", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&file, MAX_OUTPUT_LEN)?;
    fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK)?;
    Ok(file.into())
}

/// The writers share our file offset, so it tells how much they wrote.
fn read_back(file: &mut File) -> io::Result<String> {
    let written = file.stream_position()?;
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    file.take(written).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// A program's output as a clause of a message: on one line, and nothing where nothing was printed.
pub(crate) fn output_suffix(output: &str) -> String {
    if output.is_empty() {
        return String::new();
    }
    let lines: Vec<_> = output.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    format!(": {}", lines.join("; ").chars().filter(|c| !c.is_control()).collect::<String>())
}

#[cfg(test)]
mod tests;
