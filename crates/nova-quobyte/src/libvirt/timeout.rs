//! A timeout for libvirt's calls, which have none of their own: a daemon that is stopped or busy blocks its caller for
//! ever.

use std::io;
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;

/// Makes a call of libvirt's, and waits at most `timeout` for its end.
///
/// A libvirt that never answers blocks the call's thread until the process ends, but not its caller. The caller must
/// not own the last reference to what the call uses: dropping that reference would be another call of libvirt's.
///
/// # Errors
/// The call's own, [`Error::NoThread`] where it cannot be made, and [`Error::LibvirtTimeout`] when it is not done in time.
/// It may then still be done later.
pub(super) fn call_with_timeout<T: Send + 'static>(
    timeout: Duration,
    operation: &str,
    call: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (sender, receiver) = mpsc::channel();
    let work: Work = Box::new(move || {
        let result = call();
        // Nobody waits any more for the result of a call that took too long.
        Box::new(move || drop(sender.send(result)))
    });
    let begun = Instant::now();
    run_in_thread(work).map_err(|source| Error::NoThread { operation: operation.to_owned(), source })?;
    let result = receiver
        .recv_timeout(timeout)
        .unwrap_or_else(|_| Err(Error::LibvirtTimeout { operation: operation.to_owned(), timeout }));
    let ended = match &result {
        Ok(_) => "done".to_owned(),
        Err(error) => error.to_string(),
    };
    tracing::debug!(operation, ended, took = ?begun.elapsed(), "called libvirt");
    result
}

/// A call, which returns what delivers its result.
type Work = Box<dyn FnOnce() -> Box<dyn FnOnce()> + Send>;

/// Threads whose calls are done. They stay for the next one: undoing an operation takes calls, too, and must not fail
/// because the host has no further thread.
static IDLE: Mutex<Vec<Sender<Work>>> = Mutex::new(Vec::new());

/// Has an idle thread, or a new one, do the work.
fn run_in_thread(mut work: Work) -> io::Result<()> {
    while let Some(idle) = idle_threads().pop() {
        match idle.send(work) {
            Ok(()) => return Ok(()),
            // It has ended by a panic.
            Err(unsent) => work = unsent.0,
        }
    }
    let serve = move || {
        let mut next = Ok(work);
        while let Ok(work) = next {
            let deliver = work();
            // Before the result is there: whoever has it may make another call at once.
            let (sender, receiver) = mpsc::channel();
            idle_threads().push(sender);
            deliver();
            next = receiver.recv();
        }
    };
    thread::Builder::new().spawn(serve).map(drop)
}

fn idle_threads() -> MutexGuard<'static, Vec<Sender<Work>>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_share_a_thread_unless_one_is_held() {
        let call = || call_with_timeout(Duration::from_secs(30), "calling", || Ok(thread::current().id()));
        let first = call().unwrap();
        assert_eq!(call().unwrap(), first);
        let (release, held) = mpsc::channel::<()>();
        let hold = move || Ok(held.recv());
        assert!(matches!(
            call_with_timeout(Duration::from_millis(1), "holding", hold),
            Err(Error::LibvirtTimeout { .. })
        ));
        assert_ne!(call().unwrap(), first);
        drop(release);
    }
}
