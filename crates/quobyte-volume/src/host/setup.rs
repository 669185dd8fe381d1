//! What a process of ours does first, so that nothing of its caller's surroundings decides over an operation, and what an
//! operation sets aside before it begins, so that undoing it does not fail for want of it.

use std::hint::black_box;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::{io, thread};

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, open};
use rustix::process::umask;

use super::sys::process_setup;

/// How many descriptors one command has open at the same time, libvirt's among them.
const COMMAND_DESCRIPTORS: usize = 48;

/// How much address space one command takes beyond what it has when it begins, mostly for the stacks of its threads.
const COMMAND_MEMORY: usize = 128 << 20;

/// How many threads and processes one command has at the same time.
const COMMAND_THREADS: usize = 3;

/// How many a client takes, at least. Its threads are its own affair; with fewer it would fail half-way, or die.
const CLIENT_THREADS: usize = 16;

/// Enough for a thread that waits, in bytes.
const SMALL_STACK: usize = 64 << 10;

/// How many descriptors undoing an operation takes: a lock, the mount table, a record, and a program with its pipes.
const UNDO_DESCRIPTORS: usize = 16;

/// How much address space it takes: the programs that it runs have this process's limit. The C library gives what is
/// smaller than 64 MiB out of address space that it has already, and keeps as much for each thread.
const UNDO_MEMORY: usize = 96 << 20;

/// How much address space the operation itself may take beyond that, for its threads and for starting programs. The C library
/// ends a process that has too little for a thread it has started. Not smaller than 64 MiB for the same reason.
const OPERATION_MEMORY: usize = 64 << 20;

/// Frees a program of ours from what it has inherited: blocked and ignored signals, the umask, open descriptors.
pub fn set_up_program() {
    process_setup::unblock_signals();
    process_setup::survive_file_size_limit();
    process_setup::keep_descriptors_from_children();
    process_setup::raise_limits();
    process_setup::share_one_arena();
    umask(Mode::from_raw_mode(0o022));
}

/// Does the part of it that a library may do in a process that is not its own.
pub fn set_up_library() {
    process_setup::open_standard_streams();
}

/// Whether the host has what a command takes, one that starts a client if `may_mount`.
///
/// # Errors
/// What the kernel said where it has not.
pub fn check_capacity(may_mount: bool) -> io::Result<()> {
    drop(reserve_descriptors(COMMAND_DESCRIPTORS)?);
    // Allocating fails where there is too little; without this, it would end the process half-way. First, as a thread that
    // lacks memory when it begins ends the process, too.
    drop(reserve_memory(COMMAND_MEMORY)?);
    start_threads(COMMAND_THREADS + if may_mount { CLIENT_THREADS } else { 0 })
}

fn reserve_memory(length: usize) -> io::Result<Vec<u8>> {
    let mut memory = Vec::new();
    memory.try_reserve_exact(length).map_err(|_| io::Error::from_raw_os_error(libc::ENOMEM))?;
    // A compiler may leave out an allocation that nothing uses.
    Ok(black_box(memory))
}

/// Starts so many threads, and lets them end. The kernel counts them with processes.
fn start_threads(count: usize) -> io::Result<()> {
    let end = Mutex::new(());
    let not_yet = end.lock();
    thread::scope(|scope| {
        let thread = || thread::Builder::new().stack_size(SMALL_STACK);
        let start = |_| thread().spawn_scoped(scope, || drop(end.lock()));
        let started: Result<Vec<_>, _> = (0..count).map(start).collect();
        drop(not_yet);
        started.map(drop)
    })
}

/// What undoing an operation will need. A process has one reserve, however many operations hold it: they work on several
/// shares at once, and each with a reserve of its own would use up what the host has.
#[derive(Debug, Default)]
pub struct Reserve(Option<Arc<Mutex<Option<SetAside>>>>);

#[derive(Debug)]
struct SetAside {
    _descriptors: Vec<OwnedFd>,
    _memory: Vec<u8>,
}

/// The reserve that operations of this process hold at present.
static HELD: Mutex<Weak<Mutex<Option<SetAside>>>> = Mutex::new(Weak::new());

impl Reserve {
    /// Sets aside what undoing an operation takes, unless another operation has, and makes sure of what the operation itself
    /// takes.
    ///
    /// # Errors
    /// What the kernel said where that cannot be had.
    pub(crate) fn new() -> io::Result<Self> {
        let mut held = lock(&HELD);
        let reserve = held.upgrade().unwrap_or_default();
        *held = Arc::downgrade(&reserve);
        drop(held);
        let mut set_aside = lock(&reserve);
        if set_aside.is_none() {
            *set_aside = Some(SetAside {
                _descriptors: reserve_descriptors(UNDO_DESCRIPTORS)?,
                _memory: reserve_memory(UNDO_MEMORY)?,
            });
        }
        drop(set_aside);
        drop(reserve_memory(OPERATION_MEMORY)?);
        Ok(Self(Some(reserve)))
    }

    /// Frees what was set aside, for whoever undoes an operation now.
    pub(crate) fn free(self) {
        if let Self(Some(reserve)) = self {
            drop(lock(&reserve).take());
        }
    }
}

/// Locks even after another thread has panicked: what is locked here is complete or absent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn reserve_descriptors(count: usize) -> io::Result<Vec<OwnedFd>> {
    let null = || open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    (0..count).map(|_| Ok(null()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_at_once_share_one_reserve() {
        let is_free = |Reserve(reserve): &Reserve| lock(reserve.as_ref().unwrap()).is_none();
        let (one, other) = (Reserve::new().unwrap(), Reserve::new().unwrap());
        assert!(Arc::ptr_eq(one.0.as_ref().unwrap(), other.0.as_ref().unwrap()));
        assert!(!is_free(&other));
        one.free();
        assert!(is_free(&other), "who undoes has it, whoever else holds it");
        let _next = Reserve::new().unwrap();
        assert!(!is_free(&other));
    }
}
