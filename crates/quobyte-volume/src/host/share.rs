//! Everything that reaches the client of a mounted share.
//!
//! A client that has read a request and never answers leaves the asker in uninterruptible sleep, which not even
//! SIGKILL ends. So no part of this library touches a path on a share itself: it asks `Shares`, which has a helper
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
mod helper;
mod probe;
mod protocol;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use self::client_calls::ChainFailure;
pub use self::client_calls::RootFacts;
use self::helper::{Helper, HelperReply};
use self::protocol::{HelperAnswer, HelperRequest, VERSION};
use crate::error::Code;
use crate::host::deadline::Deadline;
use crate::host::records::StateDir;
use crate::pure::image::{Declared, Layer, Violation};
use crate::pure::io_policy::Probe;
use crate::pure::mount_path::MountPath;

/// The shares of this host, asked through helper processes.
///
/// A helper stays for the next question about its mount, so that a caller which lives long pays a round trip and not a
/// process start.
#[derive(Debug)]
pub(crate) struct Shares {
    program: PathBuf,
    state: StateDir,
    timeout: Duration,
    idle: Mutex<HashMap<MountPath, Helper>>,
    /// Reaped with the next question about any share, once they have ended.
    given_up: Mutex<Vec<Child>>,
}

/// What one look at a share shows.
#[derive(Debug)]
pub struct Look {
    /// Its root.
    pub root: RootFacts,
    /// The layers of the image asked for, the image first; none where no image was, or the client is not connected.
    pub chain: ChainReply,
}

/// The layers of an image, the image first, or why they cannot be had.
pub type ChainReply = Result<Vec<Layer>, ShareError>;

/// A look that is under way, or about to be: waits for the answer. Given up when it is dropped.
pub type PendingLook<'a> = Box<dyn FnOnce() -> Result<Look, ShareError> + 'a>;

/// Why the share gave no answer, or no good one.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// The client behind the mount is gone (ENOTCONN, ESTALE, ECONNABORTED). Nothing else means that.
    #[error("the client of {at} is dead")]
    Dead {
        /// The share's mount point.
        at: MountPath,
        /// What the kernel said.
        source: io::Error,
    },
    /// There was no answer by the deadline.
    #[error("{at} does not answer")]
    Hung {
        /// The share's mount point.
        at: MountPath,
    },
    /// There is no such file.
    #[error("{path} does not exist")]
    Missing {
        /// The file asked for.
        path: PathBuf,
    },
    /// A file breaks a rule.
    #[error("{path} is refused: {violation}")]
    Refused {
        /// The file: the one asked for, or one below it.
        path: PathBuf,
        /// The rule, and by what it is broken.
        violation: Violation,
    },
    /// The share answered with another error.
    #[error("{path} cannot be looked at")]
    Failed {
        /// The file or directory asked for.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The helper process cannot be had.
    #[error("the helper {program} cannot be used")]
    Helper {
        /// Its program.
        program: PathBuf,
        /// What failed.
        source: io::Error,
    },
}

impl ShareError {
    /// The stable code, where the share itself is at fault and not an image on it.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Dead { .. } => Code::MountStale,
            Self::Hung { .. } => Code::MountHung,
            Self::Missing { .. } | Self::Refused { .. } | Self::Failed { .. } => Code::MountNotVisible,
            Self::Helper { .. } => Code::Internal,
        }
    }
}

impl Shares {
    /// `program` is the helper, `timeout` how long a share may take to answer.
    pub(crate) fn new(program: PathBuf, state: StateDir, timeout: Duration) -> Self {
        Self { program, state, timeout, idle: Mutex::default(), given_up: Mutex::default() }
    }

    /// Asks the client behind the mount at `at` for its root, past every cache, and in the same breath for `image` and
    /// everything below it. Where a helper is kept for the mount and free, it works on that from now on.
    pub(crate) fn look<'a>(&'a self, at: &'a MountPath, image: Option<Declared<'_>>) -> PendingLook<'a> {
        let request = HelperRequest::Look(image.map(|(name, format)| (name.clone(), format)));
        let begun = self.begin(at, &request);
        Box::new(move || {
            let answer = match begun {
                Some(begun) => begun.answer(&request),
                None => self.ask(at, &request),
            };
            match answer? {
                HelperAnswer::Look(root, chain) => {
                    Ok(Look { root, chain: chain.map_err(|error| error.at(at)) })
                }
                HelperAnswer::Failed(errno) => Err(failed(at, at.as_path().to_owned(), errno)),
                _ => Err(self.confused()),
            }
        })
    }

    /// Finds out how the mount at `at` does direct I/O, by reading an image that a look has shown, or a file of its own
    /// where that is too short.
    pub(crate) fn probe(&self, at: &MountPath, image: &Layer) -> Result<Probe, ShareError> {
        match self.ask(at, &HelperRequest::Probe(image.clone()))? {
            HelperAnswer::Probe(probe) => Ok(probe),
            HelperAnswer::Failed(errno) => Err(failed(at, at.as_path().join(image.path.as_path()), errno)),
            _ => Err(self.confused()),
        }
    }

    fn confused(&self) -> ShareError {
        self.unusable("it answered another question")
    }

    fn unusable(&self, why: &str) -> ShareError {
        let source = io::Error::new(io::ErrorKind::InvalidData, why);
        ShareError::Helper { program: self.program.clone(), source }
    }

    fn ask(&self, at: &MountPath, request: &HelperRequest) -> Result<HelperAnswer, ShareError> {
        self.ask_by(Deadline::after(self.timeout), at, request)
    }

    /// Puts a question to the helper that is kept for the mount, if there is one and nobody else asks.
    fn begin<'a>(&'a self, at: &'a MountPath, request: &HelperRequest) -> Option<PendingAnswer<'a>> {
        self.reap();
        let deadline = Deadline::after(self.timeout);
        let mut helper = lock(&self.idle).remove(at)?;
        match helper.put(request, Deadline::after(Duration::ZERO)) {
            Ok(true) => Some(PendingAnswer { shares: self, at, deadline, helper: Some(helper) }),
            Ok(false) => {
                self.keep(at, helper);
                None
            }
            // Somebody has ended it; the question is put to another.
            Err(_) => {
                self.end(helper);
                None
            }
        }
    }

    fn ask_by(
        &self,
        deadline: Deadline,
        at: &MountPath,
        request: &HelperRequest,
    ) -> Result<HelperAnswer, ShareError> {
        self.reap();
        let kept = lock(&self.idle).remove(at);
        let was_kept = kept.is_some();
        let helper = kept.map_or_else(|| self.start(at), Ok)?;
        self.settle(helper.ask(request, deadline), was_kept, deadline, at, request)
    }

    fn settle(
        &self,
        asked: HelperReply,
        was_kept: bool,
        deadline: Deadline,
        at: &MountPath,
        request: &HelperRequest,
    ) -> Result<HelperAnswer, ShareError> {
        match asked {
            HelperReply::Answered(HelperAnswer::OtherVersion(version), helper) => {
                self.end(helper);
                Err(self.unusable(&format!(
                    "it is of version {version}, its caller of {VERSION}, from before an upgrade: restart the service"
                )))
            }
            HelperReply::Answered(answer, helper) => {
                self.keep(at, helper);
                Ok(answer)
            }
            HelperReply::Hung(helper) => {
                self.end(helper);
                Err(ShareError::Hung { at: at.clone() })
            }
            HelperReply::Broken(source, helper) => {
                self.end(helper);
                // One that was kept may have been ended by somebody since.
                if was_kept {
                    return self.ask_by(deadline, at, request);
                }
                Err(ShareError::Helper { program: self.program.clone(), source })
            }
        }
    }

    /// Takes leave of the helpers that were given up and have ended since.
    fn reap(&self) {
        lock(&self.given_up).retain_mut(|child| !matches!(child.try_wait(), Ok(Some(_))));
    }

    /// Starts the helper of a share that is about to be mounted, so that it is there once the client is. Where that
    /// fails, the first question tells.
    pub(crate) fn prepare(&self, at: &MountPath) {
        if !lock(&self.idle).contains_key(at)
            && let Ok(helper) = self.start(at)
        {
            self.keep(at, helper);
        }
    }

    /// Ends the helper of a share that is not mounted any more. It keeps nothing busy, so the caller does not wait for
    /// its end: one that has just probed a mount takes tens of milliseconds.
    pub(crate) fn forget(&self, at: &MountPath) {
        let helper = lock(&self.idle).remove(at);
        if let Some(helper) = helper {
            let mut child = helper.kill();
            // Where no thread can be had it is reaped when this process ends.
            let _ = thread::Builder::new().spawn(move || child.wait());
        }
    }

    fn end(&self, helper: Helper) {
        let lingering = helper.end();
        lock(&self.given_up).extend(lingering);
    }

    fn start(&self, at: &MountPath) -> Result<Helper, ShareError> {
        Helper::start(&self.program, at.as_path(), &self.state.probe_lock(at))
            .map_err(|source| ShareError::Helper { program: self.program.clone(), source })
    }

    /// Keeps the helper for the next question. Where two threads asked at once, one is enough.
    fn keep(&self, at: &MountPath, helper: Helper) {
        let surplus = lock(&self.idle).insert(at.clone(), helper);
        if let Some(surplus) = surplus {
            self.end(surplus);
        }
    }
}

/// A question that a helper is working on.
struct PendingAnswer<'a> {
    shares: &'a Shares,
    at: &'a MountPath,
    deadline: Deadline,
    /// Taken when the answer is.
    helper: Option<Helper>,
}

impl PendingAnswer<'_> {
    fn answer(mut self, request: &HelperRequest) -> Result<HelperAnswer, ShareError> {
        let Self { shares, at, deadline, .. } = self;
        match self.helper.take() {
            Some(helper) => shares.settle(helper.answer(deadline), true, deadline, at, request),
            None => shares.ask_by(deadline, at, request),
        }
    }
}

impl Drop for PendingAnswer<'_> {
    /// Nobody waits for the answer, so it must not be there for who asks next. Nor is anybody to wait for the helper,
    /// whose client may hang.
    fn drop(&mut self) {
        if let Some(helper) = self.helper.take() {
            lock(&self.shares.given_up).push(helper.kill());
        }
    }
}

impl ChainFailure {
    /// The same, of the share at `at`.
    fn at(self, at: &MountPath) -> ShareError {
        match self {
            Self::Refused(path, violation) => {
                ShareError::Refused { path: at.as_path().join(path.as_path()), violation }
            }
            Self::Failed(path, errno) => failed(at, at.as_path().join(path.as_path()), errno),
        }
    }
}

/// What an error number says of a share.
fn failed(at: &MountPath, path: PathBuf, errno: i32) -> ShareError {
    let source = io::Error::from_raw_os_error(errno);
    match errno {
        libc::ENOTCONN | libc::ESTALE | libc::ECONNABORTED => ShareError::Dead { at: at.clone(), source },
        libc::ENOENT => ShareError::Missing { path },
        _ => ShareError::Failed { path, source },
    }
}

impl Drop for Shares {
    fn drop(&mut self) {
        for (_, helper) in lock(&self.idle).drain() {
            helper.end();
        }
    }
}

/// What a panicking thread left is as good as before: entries are whole or absent.
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
