//! Everything that reaches the client of a mounted share.
//!
//! A client that has read a request and never answers leaves the asker in uninterruptible sleep, which not even
//! SIGKILL ends. So no part of this library touches a path on a share itself: it asks `HelperPool`, which has a helper
//! process do it and answers with facts, never with a descriptor. Nothing on the share stays open afterwards.
//!
//! ```text
//!  caller ── request ──▶ helper ── statx, openat2 ──▶ kernel ──▶ client
//!         ◀── facts ────
//! ```
//!
//! While a helper is asked, its mount's *probe lock* is held by an open file that caller and helper share. A helper
//! that is stuck keeps it, whatever becomes of the caller. Whoever cannot have the lock by its deadline concludes that
//! the mount hangs and asks nobody, so at most one helper is ever stuck on a mount.

mod client_calls;
mod error;
mod helper;
mod probe_direct_io;
mod protocol;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

pub use self::client_calls::{RefusedRequests, RootFacts};
pub use self::error::ShareError;
use self::error::share_error;
use self::helper::{Helper, HelperReply};
use self::protocol::{HelperAnswer, HelperRequest, VERSION};
use crate::host::deadline::Deadline;
use crate::host::flock;
use crate::host::records::StateDir;
use crate::pure::image::{DeclaredImage, Layer};
use crate::pure::io_policy::Probe;
use crate::pure::mount_path::MountPath;

/// The helper processes of this host, one for each mount that is asked.
///
/// A helper stays for the next request about its mount, so that a caller which lives long pays a round trip and not a
/// process start.
#[derive(Debug)]
pub(crate) struct HelperPool {
    program: PathBuf,
    state: StateDir,
    timeout: Duration,
    idle: Mutex<HashMap<MountPath, Helper>>,
    /// Killed helpers that have not ended yet. The next request about any share reaps those that have.
    unreaped: Mutex<Vec<Child>>,
}

/// What a client replies to a query of its share.
#[derive(Debug)]
pub struct ShareReply {
    /// Its root.
    pub root: RootFacts,
    /// The layers of the image asked for, the image first; none where no image was, or the client is not connected.
    pub chain: ChainReply,
}

/// The layers of an image, the image first, or why they cannot be had.
pub type ChainReply = Result<Vec<Layer>, ShareError>;

/// A query that is under way, or about to be: waits for the reply. Dropping it abandons the query.
pub type PendingShareReply<'a> = Box<dyn FnOnce() -> Result<ShareReply, ShareError> + 'a>;

impl HelperPool {
    /// `program` is the helper, `timeout` how long a share may take to answer.
    pub(crate) fn new(program: PathBuf, state: StateDir, timeout: Duration) -> Self {
        Self { program, state, timeout, idle: Mutex::default(), unreaped: Mutex::default() }
    }

    /// Asks the client behind the mount at `at` for its root, past every cache, and in the same request for the layers
    /// of `image`. Where the mount has an idle helper, that works on the request from now on.
    pub(crate) fn query<'a>(
        &'a self,
        at: &'a MountPath,
        image: Option<DeclaredImage<'_>>,
    ) -> PendingShareReply<'a> {
        let request = HelperRequest::Query(image.map(|image| (image.name.clone(), image.format)));
        let pending = self.send_to_idle_helper(at, &request);
        Box::new(move || {
            let answer = match pending {
                Some(pending) => pending.wait(&request),
                None => self.ask(at, &request),
            };
            match answer? {
                HelperAnswer::Query(root, chain) => {
                    Ok(ShareReply { root, chain: chain.map_err(|error| error.into_share_error(at)) })
                }
                HelperAnswer::Failed(errno) => Err(share_error(at, at.as_path().to_owned(), errno)),
                HelperAnswer::Dead(errno) => {
                    Err(ShareError::Dead { at: at.clone(), source: io::Error::from_raw_os_error(errno) })
                }
                HelperAnswer::Unserved(errno, refused) => {
                    let source = io::Error::from_raw_os_error(errno);
                    Err(ShareError::Unserved { at: at.clone(), refused, source })
                }
                _ => Err(self.wrong_answer_error()),
            }
        })
    }

    /// Finds out how the mount at `at` does direct I/O, by reading a layer that a query has returned, or a file of its
    /// own where that is too short.
    pub(crate) fn probe_direct_io(&self, at: &MountPath, image: &Layer) -> Result<Probe, ShareError> {
        match self.ask(at, &HelperRequest::Probe(image.clone()))? {
            HelperAnswer::Probe(probe) => Ok(probe),
            HelperAnswer::Failed(errno) => {
                Err(share_error(at, at.as_path().join(image.path.as_path()), errno))
            }
            _ => Err(self.wrong_answer_error()),
        }
    }

    fn wrong_answer_error(&self) -> ShareError {
        self.helper_error("it answered another question")
    }

    fn helper_error(&self, why: &str) -> ShareError {
        let source = io::Error::new(io::ErrorKind::InvalidData, why);
        ShareError::Helper { program: self.program.clone(), source }
    }

    fn ask(&self, at: &MountPath, request: &HelperRequest) -> Result<HelperAnswer, ShareError> {
        self.ask_until(Deadline::after(self.timeout), at, request)
    }

    /// Sends a request to the idle helper of the mount, if there is one and no other helper is asking about the mount.
    fn send_to_idle_helper<'a>(
        &'a self,
        at: &'a MountPath,
        request: &HelperRequest,
    ) -> Option<PendingAnswer<'a>> {
        self.reap();
        let deadline = Deadline::after(self.timeout);
        let mut helper = lock(&self.idle).remove(at)?;
        match helper.send(request, Deadline::after(Duration::ZERO)) {
            Ok(true) => Some(PendingAnswer { pool: self, at, deadline, helper: Some(helper) }),
            Ok(false) => {
                self.put_back(at, helper);
                None
            }
            // The helper was killed by another process; a new one gets the request.
            Err(_) => {
                self.discard(helper);
                None
            }
        }
    }

    fn ask_until(
        &self,
        deadline: Deadline,
        at: &MountPath,
        request: &HelperRequest,
    ) -> Result<HelperAnswer, ShareError> {
        self.reap();
        let idle = lock(&self.idle).remove(at);
        let was_idle = idle.is_some();
        let helper = idle.map_or_else(|| self.start_helper(at), Ok)?;
        self.handle_reply(helper.ask(request, deadline), was_idle, deadline, at, request)
    }

    fn handle_reply(
        &self,
        reply: HelperReply,
        was_idle: bool,
        deadline: Deadline,
        at: &MountPath,
        request: &HelperRequest,
    ) -> Result<HelperAnswer, ShareError> {
        match reply {
            HelperReply::Answered(HelperAnswer::OtherVersion(version), helper) => {
                self.discard(helper);
                Err(self.helper_error(&format!(
                    "it is of version {version}, its caller of {VERSION}, from before an upgrade: restart the service"
                )))
            }
            HelperReply::Answered(answer, helper) => {
                self.put_back(at, helper);
                Ok(answer)
            }
            HelperReply::Hung(helper) => {
                self.discard(helper);
                Err(ShareError::Hung { at: at.clone() })
            }
            HelperReply::Broken(source, helper) => {
                self.discard(helper);
                // An idle helper may have been killed by another process since its last answer.
                if was_idle {
                    return self.ask_until(deadline, at, request);
                }
                Err(ShareError::Helper { program: self.program.clone(), source })
            }
        }
    }

    /// Reaps the killed helpers that have ended since.
    fn reap(&self) {
        lock(&self.unreaped).retain_mut(|child| !matches!(child.try_wait(), Ok(Some(_))));
    }

    /// Starts the helper of a share that is about to be mounted, so that it is there once the client is. Where that
    /// fails, the first request reports it.
    pub(crate) fn prestart_helper(&self, at: &MountPath) {
        if !lock(&self.idle).contains_key(at)
            && let Ok(helper) = self.start_helper(at)
        {
            self.put_back(at, helper);
        }
    }

    /// Holds the lock under which the share's client is asked; `None` if it is not free by the deadline.
    pub(crate) fn exclude_questions(&self, at: &MountPath, deadline: Deadline) -> Option<File> {
        let lock = flock::open(&self.state.probe_lock(at)).ok()?;
        flock::acquire(&lock, deadline).ok()?.then_some(lock)
    }

    /// Kills the helper of a share that is not mounted any more. It keeps no mount busy, so the caller does not wait
    /// for its end: one that has just probed a mount takes tens of milliseconds.
    pub(crate) fn stop_helper(&self, at: &MountPath) {
        let helper = lock(&self.idle).remove(at);
        if let Some(helper) = helper {
            let mut child = helper.kill();
            // Where no thread can be had it is reaped when this process ends.
            let _ = thread::Builder::new().spawn(move || child.wait());
        }
    }

    fn discard(&self, helper: Helper) {
        let unreaped_child = helper.kill_and_reap();
        lock(&self.unreaped).extend(unreaped_child);
    }

    fn start_helper(&self, at: &MountPath) -> Result<Helper, ShareError> {
        Helper::start(&self.program, at.as_path(), &self.state.probe_lock(at))
            .map_err(|source| ShareError::Helper { program: self.program.clone(), source })
    }

    /// Keeps the helper for the next request. Where two threads asked at the same time, one helper is kept.
    fn put_back(&self, at: &MountPath, helper: Helper) {
        let surplus = lock(&self.idle).insert(at.clone(), helper);
        if let Some(surplus) = surplus {
            self.discard(surplus);
        }
    }
}

/// A request that a helper is working on.
struct PendingAnswer<'a> {
    pool: &'a HelperPool,
    at: &'a MountPath,
    deadline: Deadline,
    /// Taken when the answer is.
    helper: Option<Helper>,
}

impl PendingAnswer<'_> {
    fn wait(mut self, request: &HelperRequest) -> Result<HelperAnswer, ShareError> {
        let Self { pool, at, deadline, .. } = self;
        match self.helper.take() {
            Some(helper) => pool.handle_reply(helper.receive(deadline), true, deadline, at, request),
            None => pool.ask_until(deadline, at, request),
        }
    }
}

impl Drop for PendingAnswer<'_> {
    /// The answer must not be taken for that to the next request, so the helper is killed. It is not waited for: its
    /// client may hang.
    fn drop(&mut self) {
        if let Some(helper) = self.helper.take() {
            lock(&self.pool.unreaped).push(helper.kill());
        }
    }
}

impl Drop for HelperPool {
    fn drop(&mut self) {
        for (_, helper) in lock(&self.idle).drain() {
            helper.kill_and_reap();
        }
    }
}

/// Locks even after another thread has panicked: entries are complete or absent.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The whole of the helper program: answers on standard output what a caller of version `caller` asks on standard input
/// about the share at `mount_point`, until that ends.
#[must_use]
pub fn serve(mount_point: &Path, caller: &OsStr) -> ExitCode {
    match protocol::serve(mount_point, caller, BufReader::new(io::stdin()), io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests;
