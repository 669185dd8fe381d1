//! Places where a process may be killed, for the tests that try every one of them.
//!
//! With the feature `crash-points`, which no release build has, the process kills itself at the n-th point it reaches,
//! n being what `NOVA_QUOBYTE_CRASH_AT` says. Without the feature a point does nothing.

#[cfg(all(feature = "crash-points", not(debug_assertions)))]
compile_error!("the feature crash-points is for tests and not for release builds");

/// The variable with the number of the point to be killed at, counted from 0.
#[cfg(feature = "crash-points")]
const CRASH_AT_VARIABLE: &str = "NOVA_QUOBYTE_CRASH_AT";

/// One step is done and the next has not begun. `name` says which, in the log of a process that is killed.
#[cfg(feature = "crash-points")]
pub(crate) fn point(name: &str) {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    static REACHED: AtomicUsize = AtomicUsize::new(0);
    let number = REACHED.fetch_add(1, Ordering::Relaxed);
    if std::env::var(CRASH_AT_VARIABLE).is_ok_and(|at| at.parse() == Ok(number)) {
        tracing::warn!(number, name, "crash point");
        // Nothing comes after a SIGKILL to oneself.
        let _ = kill_process(getpid(), Signal::KILL);
    }
}

/// One step is done and the next has not begun.
#[cfg(not(feature = "crash-points"))]
pub(crate) fn point(_name: &str) {}
