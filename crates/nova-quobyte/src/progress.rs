//! Signs of life on a terminal while a step takes long; silence in a pipe.

use std::time::Duration;

use indicatif::ProgressBar;

/// Does `work`, and shows `message` beside a spinner on standard error meanwhile, if that is a terminal.
pub(crate) fn with_spinner<T>(message: String, work: impl FnOnce() -> T) -> T {
    // Draws nothing where standard error is no terminal.
    let spinner = ProgressBar::new_spinner().with_message(message);
    spinner.enable_steady_tick(Duration::from_millis(100));
    let result = work();
    spinner.finish_and_clear();
    result
}
