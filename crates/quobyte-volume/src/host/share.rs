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
mod idle_helpers;
mod own_processors;
mod probe_direct_io;
pub mod protocol;
mod scratch_file;
mod server;

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub use self::client_calls::{ChainFailure, RefusedRequests, RootFacts};
pub use self::error::ShareError;
use self::error::share_error;
use self::helper::{Helper, HelperReply};
use self::idle_helpers::IdleHelpers;
use self::protocol::{HelperAnswer, HelperRequest};
pub use self::server::serve;
use crate::host::deadline::Deadline;
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
    helpers: IdleHelpers,
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
        Self { program, state, timeout, helpers: IdleHelpers::new() }
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
                HelperAnswer::Probe(_) => Err(self.wrong_answer_error()),
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
        let source = io::Error::new(io::ErrorKind::InvalidData, "it answered another question");
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
        self.helpers.reap();
        let deadline = Deadline::after(self.timeout);
        let mut helper = self.helpers.take(at)?;
        match helper.send(request, Deadline::after(Duration::ZERO)) {
            Ok(true) => Some(PendingAnswer { pool: self, at, deadline, helper: Some(helper) }),
            Ok(false) => {
                self.helpers.put(at, helper);
                None
            }
            // The helper was killed by another process; a new one gets the request.
            Err(_) => {
                self.helpers.discard(at, helper);
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
        self.helpers.reap();
        let idle = self.helpers.take(at);
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
            HelperReply::Answered(answer, helper) => {
                self.helpers.put(at, helper);
                Ok(answer)
            }
            HelperReply::Hung(helper) => {
                self.helpers.discard(at, helper);
                Err(ShareError::Hung { at: at.clone() })
            }
            HelperReply::Broken(source, helper) => {
                self.helpers.discard(at, helper);
                // An idle helper may have been killed by another process since its last answer.
                if was_idle {
                    return self.ask_until(deadline, at, request);
                }
                Err(ShareError::Helper { program: self.program.clone(), source })
            }
        }
    }

    /// Starts the helper of a share that is about to be mounted, so that it is there once the client is. Where that
    /// fails, the first request reports it.
    pub(crate) fn prestart_helper(&self, at: &MountPath) {
        if !self.helpers.has(at)
            && let Ok(helper) = self.start_helper(at)
        {
            self.helpers.put(at, helper);
        }
    }

    /// Holds the lock under which the share's client is asked; `None` if it is not free by the deadline. Until then it also
    /// waits for helpers of this process that were killed, which have files on the share open to their very end.
    pub(crate) fn exclude_questions(&self, at: &MountPath, deadline: Deadline) -> Option<File> {
        self.helpers.wait_for_killed(at, deadline);
        self.state.lock_probe(at, deadline).ok()?
    }

    /// Kills the helper of a share that is not mounted any more. It keeps no mount busy, so the caller does not wait
    /// for its end: one that has just probed a mount takes tens of milliseconds.
    pub(crate) fn stop_helper(&self, at: &MountPath) {
        if let Some(helper) = self.helpers.take(at) {
            self.helpers.abandon(at, helper);
        }
    }

    /// Ends all idle helpers, which makes room for other processes where there is none; `false` where there were none.
    pub(crate) fn make_room(&self) -> bool {
        self.helpers.discard_all()
    }

    fn start_helper(&self, at: &MountPath) -> Result<Helper, ShareError> {
        let probe_lock = self.state.open_probe_lock(at)?;
        Helper::start(&self.program, at.as_path(), probe_lock)
            .map_err(|source| ShareError::Helper { program: self.program.clone(), source })
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
            Some(helper) => pool.handle_reply(helper.receive(request, deadline), true, deadline, at, request),
            None => pool.ask_until(deadline, at, request),
        }
    }
}

impl Drop for PendingAnswer<'_> {
    /// The answer must not be taken for that to the next request, so the helper is killed. It is not waited for: its
    /// client may hang.
    fn drop(&mut self) {
        if let Some(helper) = self.helper.take() {
            self.pool.helpers.abandon(self.at, helper);
        }
    }
}

#[cfg(test)]
mod tests;
