//! The volume as a FUSE file system: takes requests from the kernel, and sends the volume's answers.
//!
//! Every request takes the same way: a fault may swallow or refuse it, else the volume does the work, and the answer
//! is held back by the latency.

mod answer;
mod features;
mod locking;
mod operations;
mod replies;
mod xattrs;

use std::io;

use fuser::{FileAttr, INodeNo};
use rustix::io::Errno;

use crate::say;
use crate::settings::{Fault, Faults, Features, Settings};
use crate::volume::{Result, Volume};
use answer::{Answer, Delay};

/// A served volume.
pub(crate) struct Client {
    volume: Volume,
    faults: Faults,
    features: Features,
    delay: Delay,
    xattrs: bool,
}

impl Client {
    /// Serves `volume`, with Quobyte's extended attributes where `xattrs` is set.
    pub(crate) fn new(volume: Volume, settings: Settings, xattrs: bool) -> io::Result<Self> {
        let delay = Delay::new(settings.latency)?;
        Ok(Self { volume, faults: settings.faults, features: settings.features, delay, xattrs })
    }

    /// Does the work of a request and answers it, unless a fault is in force.
    fn serve<R: Answer, T: Send + 'static>(
        &self,
        reply: R,
        work: impl FnOnce(&Volume) -> Result<T>,
        answer: impl FnOnce(R, T) + Send + 'static,
    ) {
        let Some(reply) = self.admit(reply) else { return };
        let outcome = work(&self.volume);
        self.delay.answer(reply, outcome, answer);
    }

    /// Gives the reply back where the request is to be served.
    fn admit<R: Answer>(&self, reply: R) -> Option<R> {
        match self.faults.current() {
            Fault::NoAnswer => {
                // A reply that is dropped answers EIO.
                std::mem::forget(reply);
                say("request left unanswered\n");
                None
            }
            Fault::Eio => {
                self.delay.answer(reply, Err::<(), _>(Errno::IO), |_, ()| ());
                None
            }
            Fault::Die => std::process::exit(1),
            _ => Some(reply),
        }
    }

    /// Quobyte's root has no size; a stale mount's has.
    fn shown(&self, mut attributes: FileAttr) -> FileAttr {
        if attributes.ino == INodeNo::ROOT {
            let stale = self.faults.current() == Fault::StaleRoot;
            attributes.size = if stale { 4096 } else { 0 };
        }
        attributes
    }
}
