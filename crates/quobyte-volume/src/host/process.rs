//! The one way this library runs a program: no shell, a deadline, and a bounded record of what it printed.
//!
//! A program that daemonises may leave its standard streams to the daemon. Were they pipes, the daemon would be
//! killed by SIGPIPE when we stop reading; were they files, it could fill them. So both streams go to a memory file
//! sealed at its size: what does not fit is refused to the writer, and nobody has to read along.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};

use crate::host::crash;
use crate::host::deadline::Deadline;

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

/// Runs `program` until it ends or `deadline` passes; then it and its process group are killed and reaped.
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
    let name = program.to_string_lossy().into_owned();
    let supervise_error = |source: io::Error| RunError::Supervise { program: name.clone(), source };
    let mut output_file = sealed_memory_file().map_err(supervise_error)?;
    let child = command(program)
        .args(arguments)
        .current_dir("/")
        .env("LC_ALL", "C")
        .envs(variable)
        .stdin(input)
        .stdout(output_file.try_clone().map_err(supervise_error)?)
        .stderr(output_file.try_clone().map_err(supervise_error)?)
        .process_group(0)
        .spawn()
        .map_err(|source| RunError::Start { program: name.clone(), source })?;
    crash::point("a program has been started");
    let status = wait_or_kill(child, deadline).map_err(supervise_error)?;
    crash::point("a program has ended");
    let output = read_back(&mut output_file).map_err(supervise_error)?;
    match status {
        Some(status) => Ok(ProgramOutcome { status, output }),
        None => Err(RunError::Timeout { program: name, output }),
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that starts programs")]
fn command(program: &OsStr) -> Command {
    Command::new(program)
}

/// Waits for the child; `None` when it had to be killed at the deadline.
fn wait_or_kill(mut child: Child, deadline: Deadline) -> io::Result<Option<ExitStatus>> {
    let pid = Pid::from_child(&child);
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
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
pub(crate) fn kill_and_wait(child: &Child) -> io::Result<()> {
    let Some(process) = Process::open(child.id())? else { return Ok(()) };
    process.kill()?;
    process.wait(Deadline::after(KILL_TIMEOUT))
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
mod tests {
    use std::time::Duration;

    use super::*;

    fn sh(script: &str, budget: Duration) -> Result<ProgramOutcome, RunError> {
        run(OsStr::new("/bin/sh"), ["-c", script], None, Stdio::null(), Deadline::after(budget))
    }

    #[test]
    fn status_and_both_streams_are_reported() {
        let outcome = sh("echo out; echo err >&2; exit 4", Duration::from_secs(30)).unwrap();
        assert_eq!(outcome.status.code(), Some(4));
        assert_eq!(outcome.output, "out\nerr");
        assert_eq!(output_suffix(&outcome.output), ": out; err");
    }

    #[test]
    fn missing_program_is_reported_as_not_found() {
        let error = run(
            OsStr::new("/nonexistent/mount.quobyte"),
            [""; 0],
            None,
            Stdio::null(),
            Deadline::after(Duration::from_secs(30)),
        );
        assert!(
            matches!(error, Err(RunError::Start { source, .. }) if source.kind() == io::ErrorKind::NotFound)
        );
    }

    #[test]
    fn deadline_kills_the_process_group() {
        let error = sh("echo $$; sleep 1000 & wait", Duration::from_millis(200)).unwrap_err();
        let RunError::Timeout { output, .. } = error else { panic!("{error}") };
        let group = Pid::from_raw(output.trim().parse().unwrap()).unwrap();
        // The group is gone as soon as its last member is reaped, which for the orphaned `sleep` is init's work.
        let gone = Deadline::after(Duration::from_secs(30));
        while rustix::process::test_kill_process_group(group).is_ok() {
            assert!(!gone.has_passed(), "the process group lives on");
            std::thread::yield_now();
        }
    }

    #[test]
    fn daemon_is_neither_awaited_nor_killed() {
        let outcome = sh("(sleep 1000; echo late) & echo $!", Duration::from_secs(30)).unwrap();
        let daemon = Pid::from_raw(outcome.output.parse().unwrap()).unwrap();
        assert!(rustix::process::test_kill_process(daemon).is_ok());
        rustix::process::kill_process(daemon, Signal::KILL).unwrap();
    }

    #[test]
    fn excess_output_is_dropped_without_sigpipe() {
        let outcome =
            sh("head -c 100000 /dev/zero | tr '\\0' x; echo 2>/dev/null; exit 3", Duration::from_secs(30));
        let outcome = outcome.unwrap();
        assert_eq!(outcome.status.code(), Some(3));
        assert!(outcome.output.len() as u64 <= MAX_OUTPUT_LEN && outcome.output.starts_with("xxxx"));
    }
}
