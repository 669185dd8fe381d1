//! libvirt's calls have no deadline of their own: a daemon that is stopped or busy lets its caller wait for ever.

use std::sync::mpsc;
use std::time::Duration;

use crate::error::Error;

/// Makes a call of libvirt's, and waits at most `limit` for its end.
///
/// A libvirt that never answers keeps the call's thread, which goes with the process, but not its caller. Nothing that
/// the caller still has may be the last of what the call refers to: letting that go would be another call.
///
/// # Errors
/// The call's own, and [`Error::Silent`] when it is not done in time. It may then still be done later.
pub(super) fn within<T: Send + 'static>(
    limit: Duration,
    doing: &str,
    call: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || tell.send(call()));
    told.recv_timeout(limit).unwrap_or_else(|_| Err(Error::Silent { doing: doing.to_owned(), limit }))
}
