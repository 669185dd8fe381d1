//! Making a share's mount healthy: clearing what is dead, mounting what is missing.

use std::panic::resume_unwind;
use std::path::PathBuf;
use std::thread;

use super::error::Error;
use super::operation::{EarlySurvey, ShareOperation};
use super::stacked_mounts::is_replaced;
use super::survey::CONNECT_TIMEOUT;
use crate::host::client::ClientError;
use crate::host::{ShutOut, UnmountMode, UnmountOutcome, pass_command, users};
use crate::mount::{Inquiry, MountError, MountState};
use crate::pure::kernel_mount::Mount;
use crate::pure::record::{ClientProcess, ClientSettings, ShareRecord};

impl ShareOperation<'_> {
    /// Makes sure that the record's export is mounted and healthy, and returns that mount. It may be a mount of before
    /// or one that this call made. The client of the mount on top may have been asked by `early_inquiry`.
    pub(super) fn ensure_mounted(&mut self, early_inquiry: Option<Inquiry<'_>>) -> Result<Mount, Error> {
        let mut found = self.remove_stale_mounts(early_inquiry)?;
        // An earlier call that was killed may have left a client that is about to mount, or does so as it is ended.
        if found.is_none() && self.lock.load()?.is_some_and(|record| record.mount.is_none()) {
            self.kill_client(self.record.generation)?;
            found = self.remove_stale_mounts(None)?;
        }
        let (mount, client) = match found {
            Some(mount) => {
                if self.record.mount.is_some() && is_replaced(self.host, &self.record, &mount)? {
                    self.record.advance_generation();
                }
                (mount, Vec::new())
            }
            None => self.mount()?,
        };
        let is_new = !self.record.is_for_mount(&mount);
        self.record.set_mount(mount.clone());
        if !client.is_empty() {
            self.record.client = client;
        } else if is_new {
            // A call that was killed may have started the client.
            let at = &self.record.mount_path;
            self.record.client = self.host.client_processes(at, self.record.generation);
        }
        Ok(mount)
    }

    /// Another base, below which this user has mounts.
    fn other_base(&self) -> Option<PathBuf> {
        let base = &self.context.config.mount_point_base;
        let records = self.context.state.records().ok()?.into_iter().flatten();
        let mut bases = records.filter_map(|record| Some(record.mount_path.as_path().parent()?.to_owned()));
        bases.find(|other| other != base)
    }

    /// Closes the directory to mount below to all users but QEMU's, if this operation has made it and libvirt names that
    /// user. One that was there is its owner's to close: others may have a reason to pass it.
    fn close_new_base(&self) {
        let Some(base) = self.record.mount_path.as_path().parent() else { return };
        if self.rollback.directories.iter().any(|made| made == base)
            && let Some(user) = self.context.guests.emulator_user(CONNECT_TIMEOUT)
            && let Err(error) = self.host.close_base(base, user)
        {
            tracing::info!(base = %base.display(), %error, "cannot be closed to other users");
        }
        if self.host.is_base_open(base) {
            tracing::warn!(
                "every user of this host may pass {} and write the images below it; close it to all but QEMU's \
                 user (libvirt-qemu, or qemu): {}",
                base.display(),
                pass_command(base, ShutOut::Others)
            );
        }
    }

    /// How the client is to be started: as this user has configured it, and where that says nothing, as it was.
    pub(super) fn client_settings(&self) -> ClientSettings {
        self.host.client_settings().or(&self.record.settings)
    }

    /// Takes away dead layers until the mount on top is healthy or there is none.
    fn remove_stale_mounts(
        &mut self,
        mut early_inquiry: Option<Inquiry<'_>>,
    ) -> Result<Option<Mount>, Error> {
        loop {
            let state = match early_inquiry.take() {
                Some(inquiry) => self.await_inquiry(inquiry)?,
                None => self.inspect()?,
            };
            match state {
                MountState::Absent => return Ok(None),
                MountState::Healthy(mount) => return Ok(Some(mount)),
                MountState::Dead(mount) => {
                    // What cannot be put back is not taken away.
                    self.host.check_client(&self.client_settings()).map_err(MountError::Client)?;
                    self.unmount_stale(&mount, UnmountMode::Lazy)?;
                }
                MountState::Disconnected(mount) => self.unmount_stale(&mount, UnmountMode::IfUnused)?,
                state @ (MountState::Hung(_) | MountState::WrongVolume(_) | MountState::Foreign(_)) => {
                    return Err(self.unusable(state).into());
                }
            }
        }
    }

    /// Unmounts `mount`, at most in that mode, unless it is no longer the one on top.
    fn unmount_stale(&self, mount: &Mount, mode: UnmountMode) -> Result<(), Error> {
        let (at, export) = (&self.record.mount_path, &self.record.export);
        let stale = |remedy| MountError::Stale { at: at.clone(), export: export.clone(), remedy };
        if !self.host.may_unmount(mount) {
            let owner = mount.owner().map_or_else(|| "OWNER".to_owned(), users::name);
            return Err(
                stale(format!("its owner has to unmount it: sudo -u '{owner}' fusermount3 -u {at}")).into()
            );
        }
        tracing::warn!(%export, mount_path = %at, "unmounting what its client does not serve any more");
        if self.unmount(mount, UnmountMode::IfUnused)? == UnmountOutcome::Busy {
            if mode == UnmountMode::IfUnused {
                return Err(stale("files on it are open, and it may yet recover".to_owned()).into());
            }
            self.unmount(mount, mode)?;
        }
        Ok(())
    }

    /// Mounts the record's export where nothing is mounted. The client's word is not enough: the mount table is asked
    /// afterwards. Returns the client's processes with the mount, as far as they are known.
    fn mount(&mut self) -> Result<(Mount, Vec<ClientProcess>), Error> {
        self.rollback.reserve = self.host.reserve().map_err(|source| MountError::Exhausted { source })?;
        self.record.mount = None;
        self.record.client.clear();
        self.record.settings = self.client_settings();
        self.record.advance_generation();
        self.rollback.record_written = true;
        self.store()?;
        let (export, at) = (self.record.export.clone(), self.record.mount_path.clone());
        self.rollback.directories = self.host.make_mount_point(&at).map_err(|source| {
            MountError::MountPoint { at: at.clone(), other_base: self.other_base(), source }
        })?;
        self.close_new_base();
        self.rollback.client = Some(self.record.generation);
        tracing::info!(%export, mount_path = %at, "mounting");
        let reported = self.start_client();
        let state = self.inspect()?;
        match (state, reported) {
            (MountState::Healthy(mount), Ok(client)) => Ok((mount, client)),
            // A client that was given up is being ended, and takes along what it has just mounted.
            (MountState::Healthy(_), Err(error @ ClientError::Timeout { .. })) => {
                Err(MountError::Client(error).into())
            }
            (MountState::Healthy(mount), Err(error)) => {
                tracing::warn!(mount_path = %at, %error, "mounted, although the client says otherwise");
                Ok((mount, Vec::new()))
            }
            (MountState::Absent, Err(error)) => Err(MountError::Client(error).into()),
            (state, Err(said)) => {
                Err(MountError::Failed { found: Box::new(self.unusable(state)), said }.into())
            }
            (state, Ok(_)) => Err(self.unusable(state).into()),
        }
    }
    /// Has the client mount, and meanwhile asks the hypervisor about the guests, where that is to be asked: both take
    /// their time, and nobody has a file open on what is not mounted yet.
    fn start_client(&mut self) -> Result<Vec<ClientProcess>, ClientError> {
        let ShareRecord { export, mount_path, generation, settings, .. } = &self.record;
        let mount = || self.host.mount(export, mount_path, *generation, settings);
        if !self.early_survey.is_wanted() {
            return mount();
        }
        let (context, shares) = (self.context, self.all_places());
        let (reported, survey) = thread::scope(|scope| {
            let ask = || context.survey(&shares, None, Some(CONNECT_TIMEOUT));
            let asking = thread::Builder::new().spawn_scoped(scope, ask);
            let reported = mount();
            // Without a thread for it, it is asked once that has mounted.
            let answer = asking.map(|asking| asking.join().unwrap_or_else(|panic| resume_unwind(panic)));
            (reported, answer.ok())
        });
        if let Some(survey) = survey {
            self.early_survey = EarlySurvey::Answered(survey);
        }
        reported
    }
}
