//! One operation on one share: the value that holds everything such an operation works with.

use std::io;
use std::path::PathBuf;

use super::context::Context;
use super::error::Error;
use super::verify_chain::verify_chain;
use crate::host::records::LockedShare;
use crate::host::share::{ChainReply, ShareError};
use crate::host::{Host, Reserve, UnmountMode, UnmountOutcome};
use crate::mount::{Inquiry, Inspection, MountError, MountState, top_mount};
use crate::pure::connection::Export;
use crate::pure::guests::GuestSurvey;
use crate::pure::image::{DeclaredImage, Layer};
use crate::pure::kernel_mount::Mount;
use crate::pure::mount_path::MountPath;
use crate::pure::record::ShareRecord;

/// One operation on one share: host and guests (through the context), lock, record and rollback. The operations and
/// their steps are its methods, in the other files of this folder.
///
/// The share's lock is held from the first look to the last write.
pub(super) struct ShareOperation<'a> {
    pub(super) context: &'a Context,
    pub(super) host: &'a dyn Host,
    pub(super) lock: &'a LockedShare,
    /// The record as the operation found it; `None` where there was none.
    pub(super) before: Option<ShareRecord>,
    /// The record as the operation has it; stored by the steps that say so.
    pub(super) record: ShareRecord,
    /// What failing would have to undo.
    pub(super) rollback: Rollback,
    /// The mounts that force is for.
    pub(super) forced: ForcedMounts,
    /// What the hypervisor was asked about the guests while the share was being mounted.
    pub(super) early_survey: EarlySurvey,
    /// The image that is to be connected, if the operation is about one.
    pub(super) image: Option<RequestedImage<'a>>,
}

/// An image that is to be connected, and what the client of its share says of it.
pub(super) struct RequestedImage<'a> {
    pub(super) declared: DeclaredImage<'a>,
    /// The newest answer; `None` unless it came from a healthy mount.
    pub(super) chain: Option<ChainReply>,
}

/// The mounts that force is for: those that were there when it was asked for, and not what somebody mounts meanwhile.
#[derive(Debug, Clone, Default)]
pub(super) struct ForcedMounts {
    /// The one on top.
    pub(super) top: Option<Mount>,
    pub(super) count: usize,
}

impl ForcedMounts {
    /// Whether force is for `mount`, after so many others. Before Linux 6.8 mounts have no ids that tell: it is for the one
    /// that was on top, and for no more than there were.
    pub(super) fn contain(&self, mount: &Mount, unmounted: usize) -> bool {
        self.top.as_ref().is_some_and(|top| {
            let is_older = mount.unique_id.is_some() && mount.unique_id <= top.unique_id;
            unmounted < self.count
                && (is_older || mount.unique_id.is_none() && (unmounted > 0 || mount.is_same(top)))
        })
    }
}

/// What the hypervisor is asked about the guests while a share is being mounted.
pub(super) enum EarlySurvey {
    /// Nothing.
    NotWanted,
    /// Which guests use the share, as soon as it is mounted.
    Wanted,
    /// That was asked, and this is the answer, or the reason for people why there is none.
    Answered(Result<GuestSurvey, String>),
}

impl EarlySurvey {
    pub(super) fn is_wanted(&self) -> bool {
        matches!(self, Self::Wanted)
    }

    /// The answer, if there was one; it counts once.
    pub(super) fn take(&mut self) -> Option<Result<GuestSurvey, String>> {
        match std::mem::replace(self, Self::NotWanted) {
            Self::Answered(survey) => Some(survey),
            Self::NotWanted | Self::Wanted => None,
        }
    }
}

/// What an operation has changed so far, in the order it happened.
#[derive(Default)]
pub(super) struct Rollback {
    pub(super) record_written: bool,
    pub(super) directories: Vec<PathBuf>,
    /// The generation that a client was started for.
    pub(super) client: Option<u64>,
    /// What undoing takes, for as long as it may have to be done.
    pub(super) reserve: Reserve,
    /// Whether a client has left a question of this operation unanswered.
    pub(super) is_hung: bool,
}

impl<'a> ShareOperation<'a> {
    /// An operation that found the record `before` and goes on with `record`.
    pub(super) fn new(
        context: &'a Context,
        lock: &'a LockedShare,
        before: Option<ShareRecord>,
        record: ShareRecord,
    ) -> Self {
        Self {
            context,
            host: context.host(),
            lock,
            before,
            record,
            rollback: Rollback::default(),
            forced: ForcedMounts::default(),
            early_survey: EarlySurvey::NotWanted,
            image: None,
        }
    }

    /// An operation that goes by no record, mounts nothing and stores nothing.
    pub(super) fn without_record(
        context: &'a Context,
        lock: &'a LockedShare,
        at: &MountPath,
        export: &Export,
    ) -> Self {
        Self::new(context, lock, None, ShareRecord::unrecorded(export.clone(), at.clone()))
    }

    /// The same, about an image.
    pub(super) fn with_image(self, declared: DeclaredImage<'a>) -> Self {
        Self { image: Some(RequestedImage { declared, chain: None }), ..self }
    }

    /// Finds out the state of the mount point, and in the same round trip what the image is.
    pub(super) fn inspect(&mut self) -> Result<MountState, MountError> {
        let image = self.image.as_ref().map(|image| image.declared);
        let record = &self.record;
        let known = record.known_mount();
        let inspection =
            Inquiry::start(self.host, &record.mount_path, &record.export, known, image)?.wait()?;
        Ok(self.keep_chain(inspection))
    }

    /// The same by an inquiry that was begun before.
    pub(super) fn await_inquiry(&mut self, inquiry: Inquiry<'_>) -> Result<MountState, MountError> {
        Ok(self.keep_chain(inquiry.with_known(self.record.known_mount()).wait()?))
    }

    fn keep_chain(&mut self, Inspection { state, chain }: Inspection) -> MountState {
        if let Some(image) = &mut self.image {
            image.chain = chain;
        }
        state
    }

    /// The layers of the requested image on `mount`, once it is certain that they may be given to a guest.
    pub(super) fn verify_image(&mut self, mount: &Mount) -> Result<Vec<Layer>, Error> {
        match self.image.take() {
            Some(RequestedImage { declared, chain: Some(chain) }) if !matches!(&chain, Ok(none) if none.is_empty()) => {
                verify_chain(declared, chain, mount, &self.record.mount_path)
            }
            // Nothing was seen of it, so nothing of it is given to a guest.
            _ => {
                let at = self.record.mount_path.clone();
                let source = io::Error::other("the image was not looked at");
                let source = ShareError::Failed { path: at.as_path().to_owned(), source };
                Err(MountError::Unreadable { at, source }.into())
            }
        }
    }

    /// Why a mount point in that state cannot be used for the record's export.
    pub(super) fn unusable(&self, state: MountState) -> MountError {
        let (at, export) = (self.record.mount_path.clone(), self.record.export.clone());
        match state {
            MountState::Absent | MountState::Healthy(_) => MountError::NothingMounted { at, export },
            MountState::Dead(_) | MountState::Disconnected(_) => {
                MountError::Stale { at, export, remedy: "it has just been mounted".to_owned() }
            }
            MountState::Hung(_) => MountError::Hung { at, attachments: self.record.attachments.clone() },
            MountState::WrongVolume(found) => {
                MountError::WrongVolume { at, found: Box::new(found), wanted: export }
            }
            MountState::Foreign(found) => MountError::Foreign { at, found: Box::new(found) },
        }
    }

    /// Puts the record in place.
    pub(super) fn store(&self) -> Result<(), Error> {
        Ok(self.lock.store(&self.record)?)
    }

    pub(super) fn top_mount(&self, known: Option<&Mount>) -> Result<Option<Mount>, MountError> {
        top_mount(self.host, &self.record.mount_path, known)
    }

    /// Unmounts `mount` if it is still the one on top: since it was looked at, somebody may have mounted another.
    pub(super) fn unmount(&self, mount: &Mount, mode: UnmountMode) -> Result<UnmountOutcome, MountError> {
        let at = &self.record.mount_path;
        if !self.top_mount(Some(mount))?.is_some_and(|top| top.is_same(mount)) {
            return Ok(UnmountOutcome::Done);
        }
        match self.host.unmount(at, mode, self.lock) {
            Ok(outcome) => Ok(outcome),
            // A client that ends, as one does whose connection was aborted, may take its mount along first.
            Err(_) if self.top_mount(None)?.is_none() => Ok(UnmountOutcome::Done),
            Err(source) => Err(MountError::Unmount { at: at.clone(), source }),
        }
    }

    /// Frees whoever waits for a client that will not answer. Where that cannot be done they stay stuck until the
    /// client ends, which is no reason to keep the mount.
    pub(super) fn abort(&self, mount: &Mount) {
        if let Err(error) = self.host.abort(mount) {
            tracing::warn!(source = %mount.source, %error, "the connection to the client cannot be aborted");
        }
    }

    /// Ends what may be left of the client that was started for that generation, which is not on record as mounted.
    pub(super) fn kill_client(&self, generation: u64) -> Result<(), MountError> {
        let at = &self.record.mount_path;
        let unmount = |source| MountError::Unmount { at: at.clone(), source };
        match self.host.kill_client(at, generation).map_err(unmount)? {
            0 => {}
            count => {
                tracing::info!(mount_path = %at, count, "ended what was left of the client");
            }
        }
        Ok(())
    }
}
