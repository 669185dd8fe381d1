//! Undoing an operation that failed, in reverse, the step that failed included.

use std::io;

use super::error::Error;
use super::operation::ShareOperation;
use crate::host::{UnmountMode, UnmountOutcome};
use crate::mount::MountError;
use crate::pure::mount_path::MountPath;

impl ShareOperation<'_> {
    /// Undoes everything, last thing first, and returns the cause of it with what could not be undone. `at` is the mount
    /// path as the caller spells it.
    pub(super) fn roll_back(&self, at: &MountPath, cause: Error) -> Error {
        cause.with_left_behind(self.undo(at))
    }

    /// Undoes everything, last thing first, and returns what could not be undone.
    pub(super) fn undo(&self, at: &MountPath) -> Vec<Error> {
        if let Some(generation) = self.rollback.client
            && let Err(error) = self.unmount_started(generation)
        {
            // The record and the directories belong to a mount that is still there, or may yet come.
            return vec![error];
        }
        let mut left_behind = Vec::new();
        for directory in self.rollback.directories.iter().rev() {
            match self.host.remove_directory(directory) {
                // Another share has come to lie in the base.
                Err(error)
                    if error.kind() == io::ErrorKind::DirectoryNotEmpty && directory != at.as_path() =>
                {
                    break;
                }
                Err(source) => left_behind.push(MountError::MountPoint { at: at.clone(), source }.into()),
                Ok(()) => {}
            }
        }
        if self.rollback.record_written {
            let restored =
                self.before.as_ref().map_or_else(|| self.lock.remove(), |before| self.lock.store(before));
            left_behind.extend(restored.err().map(Error::from));
        }
        left_behind
    }

    /// Unmounts whatever the client that this operation started has mounted, and ends what is left of it.
    fn unmount_started(&self, generation: u64) -> Result<(), Error> {
        self.unmount_unanswered()?;
        self.kill_client(generation)?;
        // It may have mounted as it was being ended.
        self.unmount_unanswered()
    }

    /// Unmounts what is on top. Nothing was mounted there before and no caller was told of it, so whatever keeps it busy
    /// is the question that it did not answer.
    fn unmount_unanswered(&self) -> Result<(), Error> {
        if let Some(mount) = self.top_mount(None)?
            && self.unmount(&mount, UnmountMode::IfUnused)? == UnmountOutcome::Busy
        {
            if !mount.is_quobyte() {
                let at = self.record.mount_path.clone();
                return Err(MountError::Unmount { at, source: io::ErrorKind::ResourceBusy.into() }.into());
            }
            self.abort(&mount);
            self.unmount(&mount, UnmountMode::Lazy)?;
        }
        Ok(())
    }
}
