//! The volume as a FUSE file system: takes requests from the kernel, and sends the volume's answers.
//!
//! Every request takes the same way: a fault may swallow or refuse it, else the volume does the work, and the answer
//! is held back by the latency.

mod features;
mod latency;
mod locking;
mod operations;
mod replies;
mod xattrs;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};

use fuser::{FileAttr, INodeNo, ReplyData};

use crate::settings::{Fault, Faults, Features, StandinSettings};
use crate::stderr::write_stderr;
use crate::volume::{Result, Volume};
use latency::{Delay, FuseReply};

/// A served volume.
pub(crate) struct Client {
    volume: Volume,
    faults: Faults,
    features: Features,
    delay: Delay,
    requests: Option<File>,
    xattrs: bool,
}

impl Client {
    /// Serves `volume`, with Quobyte's extended attributes where `xattrs` is set.
    pub(crate) fn new(volume: Volume, settings: StandinSettings, xattrs: bool) -> io::Result<Self> {
        let delay = Delay::new(settings.latency)?;
        let appending = |path| OpenOptions::new().create(true).append(true).open(path);
        let requests = settings.requests.map(appending).transpose()?;
        Ok(Self { volume, faults: settings.faults, features: settings.features, delay, requests, xattrs })
    }

    /// Does the work of a request and answers it, unless a fault is in force.
    fn serve<R: FuseReply, T: Send + 'static>(
        &self,
        reply: R,
        work: impl FnOnce(&Volume) -> Result<T>,
        answer: impl FnOnce(R, T) + Send + 'static,
    ) {
        self.log_request::<R>();
        self.serve_unlogged(reply, work, answer);
    }

    /// The same for a request whose answer nobody waits for.
    fn serve_unlogged<R: FuseReply, T: Send + 'static>(
        &self,
        reply: R,
        work: impl FnOnce(&Volume) -> Result<T>,
        answer: impl FnOnce(R, T) + Send + 'static,
    ) {
        let Some(reply) = self.admit(reply) else { return };
        let outcome = work(&self.volume);
        self.delay.send(reply, outcome, answer);
    }

    /// Tells of a request by the kind of its answer, on a line of its own.
    fn log_request<R: FuseReply>(&self) {
        if let Some(mut requests) = self.requests.as_ref() {
            // In one write, so that threads do not mix their lines; a tester misses what a full disk refuses.
            let _ = requests.write_all(format!("{}\n", R::KIND).as_bytes());
        }
    }

    /// Gives the reply back where the request is to be served.
    fn admit<R: FuseReply>(&self, reply: R) -> Option<R> {
        let fault = self.faults.current();
        if fault == Fault::Die {
            std::process::exit(1);
        }
        if fault == Fault::NoAnswer || (fault == Fault::NoData && R::KIND == ReplyData::KIND) {
            // A reply that is dropped answers EIO.
            std::mem::forget(reply);
            write_stderr("request left unanswered\n");
            return None;
        }
        match fault.error() {
            Some(error) => {
                self.delay.send(reply, Err::<(), _>(error), |_, ()| ());
                None
            }
            None => Some(reply),
        }
    }

    /// Quobyte's root has no size; a stale mount's has.
    fn with_root_size(&self, mut attributes: FileAttr) -> FileAttr {
        if attributes.ino == INodeNo::ROOT {
            let stale = self.faults.current() == Fault::StaleRoot;
            attributes.size = if stale { 4096 } else { 0 };
        }
        attributes
    }
}
