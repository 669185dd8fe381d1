//! Between a request and its answer: faults, and the latency.

use std::num::NonZeroU64;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use fuser::{
    ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyLock, ReplyLseek,
    ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr,
};
use rustix::io::Errno;

use crate::volume::Result;

/// A reply that can also carry an error, as all of `fuser`'s can.
pub(super) trait FuseReply: Send + 'static {
    /// What kind of answer it is.
    const KIND: &'static str;

    fn send_error(self, error: Errno);
}

macro_rules! fuse_replies {
    ($($reply:ty),+) => {
        $(impl FuseReply for $reply {
            const KIND: &'static str = stringify!($reply);

            fn send_error(self, error: Errno) {
                self.error(fuser::Errno::from_i32(error.raw_os_error()));
            }
        })+
    };
}
fuse_replies!(
    ReplyAttr,
    ReplyCreate,
    ReplyData,
    ReplyDirectory,
    ReplyEmpty,
    ReplyEntry,
    ReplyLock,
    ReplyLseek,
    ReplyOpen,
    ReplyStatfs,
    ReplyWrite,
    ReplyXattr
);

type Job = Box<dyn FnOnce() + Send>;

/// Holds answers back by the latency. One thread does this for all, so requests do not wait for each other.
#[derive(Clone)]
pub(super) struct Delay {
    latency: Duration,
    queue: Option<Sender<(Instant, Job)>>,
}

impl Delay {
    pub(super) fn new(latency: Duration) -> std::io::Result<Self> {
        if latency.is_zero() {
            return Ok(Self { latency, queue: None });
        }
        let (queue, jobs) = channel();
        std::thread::Builder::new().name("latency".into()).spawn(move || run_when_due(jobs))?;
        Ok(Self { latency, queue: Some(queue) })
    }

    /// Answers a request once the latency is over.
    pub(super) fn send<R: FuseReply, T: Send + 'static>(
        &self,
        reply: R,
        outcome: Result<T>,
        answer: impl FnOnce(R, T) + Send + 'static,
    ) {
        let job = move || match outcome {
            Ok(value) => answer(reply, value),
            Err(error) => reply.send_error(error),
        };
        match &self.queue {
            None => job(),
            Some(queue) => {
                // The receiver lives as long as this sender.
                let _ = queue.send((Instant::now() + self.latency, Box::new(job)));
            }
        }
    }
}

/// The latency is the same for all, so jobs come in the order they are due.
fn run_when_due(jobs: Receiver<(Instant, Job)>) {
    // The default slack of 50 µs would show in a latency of that order.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    for (due, job) in jobs {
        #[expect(clippy::disallowed_methods, reason = "the sleep is the latency that was asked for")]
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        job();
    }
}
