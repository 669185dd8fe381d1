//! Linux AIO, by which QEMU's `io=native` submits: io_setup(2), io_submit(2), io_getevents(2), io_destroy(2).

#![expect(unsafe_code, reason = "raw system calls")]

use std::io;
use std::mem::{MaybeUninit, zeroed};

use rustix::fd::{AsFd, AsRawFd};

/// Reads one page at a time, each into the same memory.
pub(crate) struct Aio {
    context: libc::c_ulong,
    page: Box<Page>,
}

/// What became of a read.
#[derive(Debug)]
pub(crate) struct ReadOutcome {
    pub(crate) submission: Submission,
    /// How many bytes were read.
    pub(crate) length: usize,
}

/// How the submission of a read went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Submission {
    /// The read was under way when it returned.
    UnderWay,
    /// The read was done by then, and the submitter had slept.
    Slept,
    /// The read was done by then, and another task had taken the processor from the submitter.
    Preempted,
    /// The read was done by then, and the submitter had kept the processor all the time.
    Uninterrupted,
}

/// Aligned as `O_DIRECT` wants it.
#[repr(C, align(4096))]
struct Page([u8; Aio::LENGTH]);

const IOCB_CMD_PREAD: u16 = 0;

/// `struct io_event`.
#[repr(C)]
struct IoEvent {
    data: u64,
    request: u64,
    result: i64,
    result2: i64,
}

impl Aio {
    /// What a read asks for, in bytes.
    pub(crate) const LENGTH: usize = 4096;

    /// # Errors
    /// `EAGAIN` where the host has no slot left.
    pub(crate) fn new() -> io::Result<Self> {
        let mut context: libc::c_ulong = 0;
        // SAFETY: the kernel writes the new context's id to `context` and nothing else.
        check(unsafe { libc::syscall(libc::SYS_io_setup, 1, &raw mut context) })?;
        Ok(Self { context, page: Box::new(Page([0; Self::LENGTH])) })
    }

    /// Submits a read at the beginning of `file`, looks at once whether it is done, and only then waits for it.
    ///
    /// # Errors
    /// When it cannot be submitted or followed, and what it failed with itself: which of them says that a file cannot be
    /// read so depends on the file system.
    pub(crate) fn read(&mut self, file: impl AsFd) -> io::Result<ReadOutcome> {
        // SAFETY: all bytes 0 are a valid `iocb`.
        let mut request: libc::iocb = unsafe { zeroed() };
        request.aio_lio_opcode = IOCB_CMD_PREAD;
        request.aio_fildes = file.as_fd().as_raw_fd().cast_unsigned();
        request.aio_buf = self.page.0.as_mut_ptr() as u64;
        request.aio_nbytes = Self::LENGTH as u64;
        let mut requests = [&raw mut request];
        let before = Switches::of_this_thread()?;
        // SAFETY: the kernel copies the one request. It writes no more than `LENGTH` bytes into the page, which lives as
        // long as this value, whose end waits for every read (see `drop`), and which nothing else looks at.
        check(unsafe { libc::syscall(libc::SYS_io_submit, self.context, 1, requests.as_mut_ptr()) })?;
        let after = Switches::of_this_thread()?;
        let mut event = self.poll_event(false)?;
        let submission = match event {
            None => Submission::UnderWay,
            Some(_) if after.voluntary > before.voluntary => Submission::Slept,
            Some(_) if after.involuntary > before.involuntary => Submission::Preempted,
            Some(_) => Submission::Uninterrupted,
        };
        while event.is_none() {
            event = self.poll_event(true)?;
        }
        let result = event.map_or(0, |event| event.result);
        let length = usize::try_from(result)
            .map_err(|_| io::Error::from_raw_os_error(i32::try_from(-result).unwrap_or(libc::EIO)))?;
        Ok(ReadOutcome { submission, length })
    }

    /// The event of a read that is done, if there is one; otherwise, with `wait`, waits for one.
    fn poll_event(&self, wait: bool) -> io::Result<Option<IoEvent>> {
        let mut event = MaybeUninit::<IoEvent>::uninit();
        let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let timeout = if wait { std::ptr::null() } else { &raw const zero };
        let least = libc::c_long::from(wait);
        // SAFETY: there is room for the one event that is asked for; `timeout` is null or lives across the call.
        let count = unsafe {
            libc::syscall(libc::SYS_io_getevents, self.context, least, 1, event.as_mut_ptr(), timeout)
        };
        match check(count) {
            // SAFETY: the kernel has filled it in.
            Ok(1) => Ok(Some(unsafe { event.assume_init() })),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Aio {
    fn drop(&mut self) {
        // SAFETY: the context is this value's own. The kernel returns once no read of it is under way any more.
        unsafe { libc::syscall(libc::SYS_io_destroy, self.context) };
    }
}

/// The context switches of a thread.
struct Switches {
    /// How often it has slept.
    voluntary: libc::c_long,
    /// How often another task has taken the processor from it.
    involuntary: libc::c_long,
}

impl Switches {
    fn of_this_thread() -> io::Result<Self> {
        // SAFETY: all bytes 0 are a valid `rusage`.
        let mut usage: libc::rusage = unsafe { zeroed() };
        // SAFETY: the kernel fills in `usage` and nothing else.
        check(unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) }.into())?;
        Ok(Self { voluntary: usage.ru_nvcsw, involuntary: usage.ru_nivcsw })
    }
}

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn aio_read_reports_length_and_error() {
        let directory = tempfile::tempdir().unwrap();
        let file = |length| {
            let file = tempfile::tempfile_in(&directory).unwrap();
            file.set_len(length).unwrap();
            file
        };
        let mut aio = Aio::new().unwrap();
        for (length, expected) in [(0, 0), (100, 100), (4096, 4096), (8192, 4096)] {
            assert_eq!(aio.read(file(length)).unwrap().length, expected);
        }
        let closed_to_readers = File::create(directory.path().join("file")).unwrap();
        assert_eq!(aio.read(closed_to_readers).unwrap_err().raw_os_error(), Some(libc::EBADF));
    }
}
