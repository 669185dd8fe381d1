//! Signs of life on a terminal while a step takes long; silence in a pipe.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use indicatif::ProgressBar;

const TICK: Duration = Duration::from_millis(100);

/// Does `work`, and shows `message` beside a spinner on standard error meanwhile, if that is a terminal. A terminal that
/// takes nothing, or a host without a thread to draw in, holds nothing up.
pub(crate) fn with_spinner<T>(message: String, work: impl FnOnce() -> T) -> T {
    if !io::stderr().is_terminal() {
        return work();
    }
    let (stop, stopped) = mpsc::channel::<()>();
    let (clear, cleared) = mpsc::channel::<()>();
    let draw = move || {
        let spinner = ProgressBar::new_spinner().with_message(message);
        while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            spinner.tick();
        }
        spinner.finish_and_clear();
        drop(clear);
    };
    let _ = thread::Builder::new().spawn(draw);
    let result = work();
    drop(stop);
    // What is printed next goes below what was drawn.
    let _ = cleared.recv_timeout(TICK);
    result
}
