//! Undoing an operation that failed, in reverse, the step that failed included.

use std::io;
use std::mem::take;

use super::error::Error;
use super::operation::ShareOperation;
use super::survey::CONNECT_TIMEOUT;
use crate::error::Code;
use crate::host::{UnmountMode, UnmountOutcome};
use crate::mount::{MountError, MountState, inspect};
use crate::pure::guests::Description;
use crate::pure::kernel_mount::Mount;
use crate::pure::mount_path::MountPath;
use crate::pure::record::KnownMount;

impl ShareOperation<'_> {
    /// Undoes everything, last thing first, and returns the cause of it with what could not be undone. `at` is the mount
    /// path as the caller spells it.
    pub(super) fn roll_back(&mut self, at: &MountPath, cause: Error) -> Error {
        self.rollback.is_hung |= cause.code() == Code::MountHung;
        cause.with_left_behind(self.undo(at))
    }

    /// Undoes everything, last thing first, and returns what could not be undone.
    pub(super) fn undo(&mut self, at: &MountPath) -> Vec<Error> {
        take(&mut self.rollback.reserve).free();
        // Somebody else may use by now what this operation has made.
        if let Err(error) = self.lock.check_held() {
            return vec![error.into()];
        }
        if let Some(generation) = self.rollback.client
            && let Err(error) = self.unmount_started(generation)
        {
            // The record and the directories belong to a mount that is still there, or may yet come. Whoever was on record
            // before is, and nobody else.
            let before = self.before.as_ref();
            self.record.attachments = before.map(|before| before.attachments.clone()).unwrap_or_default();
            let stored = self.store();
            return std::iter::once(error).chain(stored.err()).collect();
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
                Err(source) => left_behind
                    .push(MountError::MountPoint { at: at.clone(), other_base: None, source }.into()),
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
    fn unmount_started(&mut self, generation: u64) -> Result<(), Error> {
        self.unmount_unused()?;
        self.kill_client(generation)?;
        // It may have mounted as it was being ended.
        self.unmount_unused()
    }

    /// Unmounts what is on top, if nobody has begun to use it. No caller was told of it, but it could be seen: where its
    /// client answers, whatever keeps it busy is somebody's; where not, it may be our own question, and the hypervisor knows
    /// of guests.
    fn unmount_unused(&mut self) -> Result<(), Error> {
        let Some(mount) = self.top_mount(None)? else { return Ok(()) };
        if self.unmount(&mount, UnmountMode::IfUnused)? == UnmountOutcome::Done {
            return Ok(());
        }
        let answers = |state| matches!(state, MountState::Healthy(_) | MountState::Disconnected(_));
        let is_in_use = !mount.is_quobyte()
            || !self.rollback.is_hung && answers(self.inspect_share(&mount)?)
            || self.may_have_running_guest();
        if is_in_use {
            if mount.is_of(&self.record.export) {
                self.record.set_mount(mount);
            }
            let at = self.record.mount_path.clone();
            return Err(MountError::Unmount { at, source: io::ErrorKind::ResourceBusy.into() }.into());
        }
        self.abort(&mount);
        self.unmount(&mount, UnmountMode::Lazy)?;
        Ok(())
    }

    fn inspect_share(&self, mount: &Mount) -> Result<MountState, MountError> {
        let record = &self.record;
        let known = KnownMount { mount: Some(mount), ..KnownMount::default() };
        match inspect(self.host, &record.mount_path, &record.export, known) {
            // It answers, if only with an error.
            Err(MountError::Unreadable { .. }) => Ok(MountState::Disconnected(mount.clone())),
            state => state,
        }
    }

    fn may_have_running_guest(&self) -> bool {
        let at = &self.record.mount_path;
        let survey = self.survey(Some(CONNECT_TIMEOUT));
        // Not to know is no leave.
        let Ok(survey) = survey else { return true };
        let mut uses = survey.uses_of(at);
        uses.any(|guest_use| guest_use.description == Description::Running)
            || survey.unknown_of(at, |_| false).next().is_some()
    }
}
