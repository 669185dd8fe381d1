//! What a process inherits from whoever started it and must not be decided by: signals, umask, limits, descriptors.

#![expect(unsafe_code, reason = "raw system calls")]

use std::io;
use std::mem::zeroed;
use std::path::Path;
use std::ptr::{null, null_mut};

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

/// Signals are numbered from 1 to this.
const LAST_SIGNAL: libc::c_int = 64;

/// The first descriptor that is no standard stream.
const FIRST_OTHER_DESCRIPTOR: libc::c_uint = 3;

/// What the OOM killer is told of a client: all of its guests' disks end with it, so it comes late.
const CLIENT_OOM_SCORE: i32 = -900;

/// The kernel's default. A user without privileges may go back to it from above, unless a privileged process has set a
/// higher one: nothing below that is permitted then.
const NEUTRAL_OOM_SCORE: i32 = 0;

/// The resources of which a client gets as much as it may have. Its caller's soft limits are for the caller.
const CLIENT_LIMITS: [Resource; 7] = [
    Resource::Nofile,
    Resource::Fsize,
    Resource::As,
    Resource::Data,
    Resource::Nproc,
    Resource::Cpu,
    Resource::Stack,
];

/// As many descriptors as a client's unit permits. A program that closes all it might have takes long with more.
const MAX_DESCRIPTORS: u64 = 524_288;

/// Linux's usual stack, in bytes. Without a limit the kernel would lay out a program's memory in another way.
const MAX_STACK: u64 = 8 << 20;

/// Has the kernel keep the status of children until they are waited for. A process that was started with SIGCHLD
/// ignored cannot learn how its children end.
pub(crate) fn keep_child_status() -> io::Result<()> {
    // SAFETY: a `sigaction` of zeros is a valid value, and both calls read or write one such value that lives across
    // the call. Only an ignored SIGCHLD is changed, to what it is by default.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        check(libc::sigaction(libc::SIGCHLD, null(), &raw mut action))?;
        if action.sa_sigaction == libc::SIG_IGN || action.sa_flags & libc::SA_NOCLDWAIT != 0 {
            action.sa_sigaction =
                if action.sa_sigaction == libc::SIG_IGN { libc::SIG_DFL } else { action.sa_sigaction };
            action.sa_flags &= !libc::SA_NOCLDWAIT;
            check(libc::sigaction(libc::SIGCHLD, &raw const action, null_mut()))?;
        }
    }
    Ok(())
}

/// Unblocks all signals for this thread and those that it starts.
pub(crate) fn unblock_signals() {
    // SAFETY: an empty set is initialised before it is read, and lives across the calls.
    unsafe {
        let mut none: libc::sigset_t = zeroed();
        libc::sigemptyset(&raw mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, null_mut());
    }
}

/// Has a write past the caller's limit for files fail with EFBIG, and not end the process.
pub(crate) fn survive_file_size_limit() {
    // SAFETY: to ignore a signal runs no code of ours when it arrives.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Leaves Ctrl-C and Ctrl-\ of this process's terminal to the other processes that run on it. Programs that are started from
/// now on ignore them as well.
pub(crate) fn ignore_terminal_keys() {
    for signal in [libc::SIGINT, libc::SIGQUIT] {
        // SAFETY: to ignore a signal runs no code of ours when it arrives.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// Keeps the descriptors that were inherited beside the standard streams from the programs that this process starts.
/// A client would hold them, a lock of the caller's among them, for as long as it serves.
pub(crate) fn keep_descriptors_from_children() {
    // SAFETY: it sets a flag on descriptors and closes none: the numbers are a range and that flag. A kernel that lacks it
    // refuses.
    unsafe {
        libc::syscall(
            libc::SYS_close_range,
            FIRST_OTHER_DESCRIPTOR,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC as libc::c_int,
        );
    }
}

/// Opens those of the standard streams that are closed. Otherwise the next file that is opened takes their place, and
/// gets what any library prints.
pub(crate) fn open_standard_streams() {
    for stream in 0..3 {
        // SAFETY: both calls take a number or a constant string. What is opened takes the lowest free number, which is
        // the stream's, and is closed by nobody.
        unsafe {
            if libc::fcntl(stream, libc::F_GETFD) == -1 {
                libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
            }
        }
    }
}

/// Has all threads allocate from one arena. The C library reserves 64 MiB of address space for each further one, which a
/// process with a limit for it lacks elsewhere.
pub(crate) fn share_one_arena() {
    // SAFETY: it sets a number of the allocator's.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1)
    };
}

/// Leaves this process nothing of its caller's but the user, for a client that it starts: default signals, the usual
/// umask, no descriptors beside the standard streams, and as much of each resource as the user may have.
pub(crate) fn set_up_client() {
    for resource in CLIENT_LIMITS {
        // A soft limit may always be raised to the hard one.
        let _ = setrlimit(resource, raised(resource));
    }
    umask(Mode::from_raw_mode(0o022));
    // SAFETY: an action of zeros is a valid value that lives across each call, and no signal gets a handler by it.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        for signal in 1..=LAST_SIGNAL {
            // Some cannot be changed, and are as they should be.
            libc::sigaction(signal, &raw const action, null_mut());
        }
    }
    unblock_signals();
    keep_descriptors_from_children();
    lower_oom_score();
}

/// Makes this process the parent of what its children leave behind when they end.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// Has the OOM killer come to this process late, if it would not already. A user without privileges can do no more than go
/// back to what is usual.
fn lower_oom_score() {
    let score = Path::new("/proc/self/oom_score_adj");
    let found = std::fs::read_to_string(score).ok().and_then(|found| found.trim().parse().ok());
    for wanted in [CLIENT_OOM_SCORE, NEUTRAL_OOM_SCORE] {
        if found.is_none_or(|found: i32| found <= wanted) || write_score(score, wanted).is_ok() {
            break;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the kernel's own file, for this process alone")]
fn write_score(file: &Path, score: i32) -> io::Result<()> {
    std::fs::write(file, score.to_string())
}

/// The limit of this process with a soft limit as high as it may be.
fn raised(resource: Resource) -> Rlimit {
    let Rlimit { current, maximum } = getrlimit(resource);
    let at_most = |most: u64| current.map(|current| maximum.unwrap_or(most).min(most).max(current));
    let current = match resource {
        Resource::Nofile => at_most(MAX_DESCRIPTORS),
        Resource::Stack => at_most(MAX_STACK),
        _ => maximum,
    };
    Rlimit { current, maximum }
}

/// Permits this process, and the programs that it starts, as many descriptors as its user may have, and the usual stack.
pub(crate) fn raise_limits() {
    for resource in [Resource::Nofile, Resource::Stack] {
        let _ = setrlimit(resource, raised(resource));
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
