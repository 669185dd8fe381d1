//! The helper process: started per mount, asked over a pipe, given up when it does not answer.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::protocol::{self, HelperAnswer, HelperRequest, MAX_LINE_LEN, VERSION};
use crate::host::crash;
use crate::host::deadline::Deadline;
use crate::host::flock;
use crate::host::process;

/// A helper process. Once a request has been sent to it, it is kept only if it answers.
#[derive(Debug)]
pub(super) struct Helper {
    child: Child,
    /// Held while a request is under way. The helper has the same open file, so a helper that is stuck keeps the lock
    /// even when this process has given it up or is gone.
    probe_lock: File,
    /// How many requests it was sent, and so the number of the last one.
    requests: u64,
}

/// What became of a request.
pub(super) enum HelperReply {
    Answered(HelperAnswer, Helper),
    /// No answer by the deadline, from this helper or from another that is asking about the same mount.
    Hung(Helper),
    /// The helper itself failed.
    Broken(io::Error, Helper),
}

impl Helper {
    /// Starts `program` for the share at `mount_point`, whose probe lock is that file's.
    pub(super) fn start(program: &Path, mount_point: &Path, probe_lock: File) -> io::Result<Self> {
        // It outlives the call, unlike what `process::run` runs.
        let child = process::command(program)?
            .arg(mount_point)
            .arg(VERSION.to_string())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Not to be written to: this is how the helper comes to have the lock's open file.
            .stderr(probe_lock.try_clone()?)
            .spawn()?;
        Ok(Self { child, probe_lock, requests: 0 })
    }

    /// Sends a request, and waits for the answer until the deadline.
    pub(super) fn ask(mut self, request: &HelperRequest, deadline: Deadline) -> HelperReply {
        match self.send(request, deadline) {
            Ok(true) => self.receive(request, deadline),
            Ok(false) => HelperReply::Hung(self),
            Err(error) => HelperReply::Broken(error, self),
        }
    }

    /// Sends a request; `false` where another helper is asking about the same mount until the deadline.
    pub(super) fn send(&mut self, request: &HelperRequest, deadline: Deadline) -> io::Result<bool> {
        if !flock::acquire(&self.probe_lock, deadline)? {
            return Ok(false);
        }
        self.requests += 1;
        let line = protocol::write_request(self.requests, request)?;
        self.child.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.write_all(&line)?;
        crash::point("a share has been asked");
        Ok(true)
    }

    /// Waits until the deadline for the answer to the request that was sent.
    pub(super) fn receive(mut self, request: &HelperRequest, deadline: Deadline) -> HelperReply {
        match self.read_answer(request, deadline) {
            Ok(Some(answer)) => HelperReply::Answered(answer, self),
            Ok(None) => HelperReply::Hung(self),
            Err(error) => HelperReply::Broken(error, self),
        }
    }

    fn read_answer(
        &mut self,
        request: &HelperRequest,
        deadline: Deadline,
    ) -> io::Result<Option<HelperAnswer>> {
        let stdout = self.child.stdout.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\n") {
            let left = Timespec::try_from(deadline.remaining()).map_err(io::Error::other)?;
            match poll(&mut [PollFd::new(&*stdout, PollFlags::IN)], Some(&left)) {
                Ok(0) => return Ok(None),
                Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
            let mut part = [0; 4096];
            let length = stdout.read(&mut part)?;
            if length == 0 || answer.len() + length > MAX_LINE_LEN {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            answer.extend_from_slice(&part[..length]);
        }
        let answer = protocol::read_reply(&answer, self.requests, request)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        // Not after a wrong answer: the helper may be asking still.
        self.probe_lock.unlock()?;
        Ok(Some(answer))
    }
}

impl Helper {
    /// Kills the helper, and returns the process, which is to be reaped once it has ended.
    pub(super) fn kill(mut self) -> Child {
        // It fails only for a helper that has ended already.
        let _ = self.child.kill();
        self.child
    }

    /// Kills the helper and waits a moment for its end, so that it does not keep the mount busy when this returns. A
    /// helper that is stuck keeps the probe lock; the process returned is to be reaped once it has ended.
    pub(super) fn kill_and_reap(mut self) -> Option<Child> {
        let _ = process::kill_and_wait(&mut self.child);
        match self.child.try_wait() {
            Ok(None) => Some(self.child),
            _ => None,
        }
    }
}
