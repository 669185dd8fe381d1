//! A timeout for libvirt's calls, which have none of their own: a daemon that is stopped or busy blocks its caller for
//! ever.

use std::sync::mpsc;
use std::time::Duration;

use crate::error::Error;

/// Makes a call of libvirt's, and waits at most `timeout` for its end.
///
/// A libvirt that never answers blocks the call's thread until the process ends, but not its caller. The caller must
/// not own the last reference to what the call uses: dropping that reference would be another call of libvirt's.
///
/// # Errors
/// The call's own, and [`Error::LibvirtTimeout`] when it is not done in time. It may then still be done later.
pub(super) fn call_with_timeout<T: Send + 'static>(
    timeout: Duration,
    operation: &str,
    call: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(call()));
    receiver
        .recv_timeout(timeout)
        .unwrap_or_else(|_| Err(Error::LibvirtTimeout { operation: operation.to_owned(), timeout }))
}
