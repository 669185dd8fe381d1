//! Lock requests, in the terms of fcntl(2).

use fuser::{INodeNo, LockOwner, ReplyEmpty, ReplyLock};

use super::Client;
use super::replies::done;
use crate::volume::locks::{Lock, Mode, Range};

/// The lock type of fcntl(2) as a mode; `None` releases.
pub(super) fn mode(kind: i32) -> Option<Mode> {
    match kind {
        libc::F_RDLCK => Some(Mode::Shared),
        libc::F_WRLCK => Some(Mode::Exclusive),
        _ => None,
    }
}

impl Client {
    /// `F_GETLK`: tells the lock in the way of `lock`, or that there is none.
    pub(super) fn test_lock(&self, inode: INodeNo, lock: Lock, reply: ReplyLock) {
        self.serve(
            reply,
            |volume| Ok((volume.locks().conflict(inode, &lock), lock.range)),
            |reply, (conflict, wanted)| match conflict {
                None => reply.locked(wanted.start, wanted.end, libc::F_UNLCK, 0),
                Some(Lock { range, mode, process, .. }) => {
                    let kind = if mode == Mode::Exclusive { libc::F_WRLCK } else { libc::F_RDLCK };
                    reply.locked(range.start, range.end, kind, process);
                }
            },
        );
    }

    /// `F_SETLK`, and with `wait` `F_SETLKW`.
    pub(super) fn set_lock(&self, inode: INodeNo, lock: Lock, wait: bool, reply: ReplyEmpty) {
        let Some(reply) = self.admit(reply) else { return };
        let delay = self.delay.clone();
        let on_outcome = move |outcome| delay.send(reply, outcome, done);
        self.volume.locks().acquire(inode, lock, wait, Box::new(on_outcome));
    }

    /// `F_SETLK` with `F_UNLCK`.
    pub(super) fn release_lock(&self, inode: INodeNo, owner: LockOwner, range: Range, reply: ReplyEmpty) {
        self.serve(
            reply,
            |volume| {
                volume.locks().release(inode, owner, range);
                Ok(())
            },
            done,
        );
    }
}
