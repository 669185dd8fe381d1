//! disconnect: remove the attachment from the record once its guest has released the file, and release the share.

use super::context::Context;
use super::error::Error;
use super::operation::ShareOperation;
use super::release::{Force, StillMounted, SurveyAnswer};
use crate::host::records::LockedShare;
use crate::mount::top_mount;
use crate::pure::connection::{Export, ImageFormat, ImageName, InstanceId, VolumeId};
use crate::pure::guests::{Guest, GuestUse};
use crate::pure::mount_path::MountPath;
use crate::pure::record::{Attachment, FileQuery, Leaving, ShareRecord};

/// What a disconnect did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisconnectOutcome {
    /// Where the share is, or was, mounted.
    pub mount_path: MountPath,
    /// Whether the volume was connected until now.
    pub changed: bool,
    /// Whether the guest still has the file, or may have it, so that the attachment stays until it has released that.
    pub leaving: bool,
    /// Why the share is still mounted; `None` when it is not.
    pub still_mounted: Option<StillMounted>,
}

/// What is to be disconnected from whom.
#[derive(Debug, Clone, Copy)]
pub struct DisconnectRequest<'a> {
    /// Where the share should be; if the volume was connected elsewhere (the configured base or the export has changed
    /// since), the recorded place counts.
    pub at: &'a MountPath,
    /// The export, where it is known: it is looked for at other mount paths, too.
    pub export: Option<&'a Export>,
    /// The file that the guest has.
    pub name: &'a ImageName,
    /// The volume, where it is known. The file counts first.
    pub volume: Option<VolumeId>,
    /// The guest.
    pub instance: InstanceId,
    /// What it means that the guest's description still names the file.
    pub described: Described,
    /// How far to go.
    pub force: Force,
}

/// What it means that the shut-off description of a guest still names a file that is disconnected from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Described {
    /// Nothing: the guest has released the file, and its description is out of date.
    OutOfDate,
    /// The guest has another disk with the file, and keeps it: the disk that is disconnected is in no description.
    OtherDisk,
}

impl<'a> DisconnectRequest<'a> {
    fn query(&self) -> FileQuery<'a> {
        FileQuery { name: Some(self.name), chain: &[], volume: self.volume }
    }
}

/// Disconnects a volume: see [`Driver::disconnect`](super::Driver::disconnect).
pub(super) fn disconnect(
    context: &Context,
    request: &DisconnectRequest<'_>,
) -> Result<DisconnectOutcome, Error> {
    let (mount_path, lock, record) = lock_recorded(context, request)?;
    match record {
        None => {
            let still_mounted = unrecorded_mount(context, &mount_path)?;
            Ok(DisconnectOutcome { mount_path, changed: false, leaving: false, still_mounted })
        }
        Some(record) => ShareOperation::new(context, &lock, Some(record.clone()), record).disconnect(request),
    }
}

/// Locks the share that the request is about, wherever it is on record.
pub(super) fn lock_recorded(
    context: &Context,
    request: &DisconnectRequest<'_>,
) -> Result<(MountPath, LockedShare, Option<ShareRecord>), Error> {
    let lock = context.lock(request.at)?;
    let record = lock.load()?;
    let has_attachment =
        |record: &ShareRecord| record.attachment(request.instance, &request.query()).is_some();
    if !record.as_ref().is_some_and(has_attachment)
        && let Some(elsewhere) = recorded_mount_path(context, request)?
    {
        drop(lock);
        let lock = context.lock(&elsewhere)?;
        let record = lock.load()?;
        return Ok((elsewhere, lock, record));
    }
    Ok((request.at.clone(), lock, record))
}

impl ShareOperation<'_> {
    fn disconnect(&mut self, request: &DisconnectRequest<'_>) -> Result<DisconnectOutcome, Error> {
        let at = self.record.mount_path.clone();
        let DisconnectRequest { instance, force, .. } = *request;
        let by_record = self.record.attachment(instance, &request.query()).cloned();
        self.note_forced_mounts(force)?;
        // One question is enough where the share may be released next.
        let is_last = match &by_record {
            Some(recorded) => !self.record.attachments.iter().any(|other| other != recorded),
            None => !self.record.attachments.iter().any(|other| other.instance != instance),
        };
        let survey = self.context.survey(std::slice::from_ref(&at), (!is_last).then_some(instance), None);
        let guest = survey.as_ref().ok().and_then(|survey| survey.guest(instance));
        let is_known = survey.is_ok() && guest.is_none_or(|guest| guest.unknown.is_none());
        let recorded = by_record.or_else(|| self.attachment_by_guest(request, guest?).cloned());
        let sought = recorded.clone().unwrap_or_else(|| self.unrecorded_attachment(request, guest));
        if request.described == Described::OtherDisk
            && let Some(recorded) = &recorded
            && guest.is_some_and(|guest| self.record.uses_of(recorded, guest).next().is_some())
        {
            let still_mounted = Some(StillMounted::Attachments(self.record.attachments.clone()));
            return Ok(DisconnectOutcome { mount_path: at, changed: false, leaving: false, still_mounted });
        }
        let held = guest.and_then(|guest| self.record.held_use_of(&sought, guest)).cloned();
        if let Some(held) = &held
            && force == Force::No
        {
            return Err(Error::HeldByGuest { guest_use: Box::new(held.clone()) });
        }
        let is_leaving = held.is_some() || !is_known && recorded.is_some();
        if is_leaving {
            self.warn_of_leaving(&sought, held.as_ref(), survey.as_ref().err(), force);
            let run = guest.and_then(|guest| guest.run);
            let leaving = Attachment { leaving: Some(Leaving { run }), ..sought.clone() };
            self.record.attach(leaving, None);
            self.store()?;
        } else {
            if recorded.is_some() {
                self.record.detach(instance, &FileQuery::of(&sought));
            }
            if let Some(guest) = guest {
                self.record.release(&sought, guest);
            }
            if self.before.as_ref() != Some(&self.record) {
                self.store()?;
            }
        }
        let still_mounted =
            self.release_or_keep(force, is_last.then(|| survey.as_ref().map_err(String::as_str)))?;
        let is_gone = still_mounted.is_none();
        Ok(DisconnectOutcome {
            mount_path: at,
            changed: recorded.is_some(),
            leaving: is_leaving && !is_gone,
            still_mounted: match (still_mounted, &survey) {
                (Some(StillMounted::Attachments(_)), Err(reason)) if is_last => {
                    Some(StillMounted::Unknown(reason.clone()))
                }
                (still_mounted, _) => still_mounted,
            },
        })
    }

    /// Releases the share, by a survey of all guests where there is one already.
    fn release_or_keep(
        &mut self,
        force: Force,
        survey: Option<SurveyAnswer<'_>>,
    ) -> Result<Option<StillMounted>, Error> {
        // Others that were disconnected before may have released their files meanwhile, as those that nobody has connected.
        let is_temporary = |one: &Attachment| one.leaving.is_some() || one.adopted;
        let others_leave = self.record.attachments.iter().all(is_temporary);
        if others_leave && !self.record.attachments.is_empty() {
            let known =
                survey.map_or_else(|| self.survey(None), |known| known.cloned().map_err(str::to_owned));
            if let Ok(known) = known {
                self.compare(&known, false);
                self.store()?;
                return self.release(force, Some(Ok(&known)));
            }
        }
        self.release(force, survey)
    }

    fn warn_of_leaving(
        &self,
        attachment: &Attachment,
        held: Option<&GuestUse>,
        unknown: Option<&String>,
        force: Force,
    ) {
        let (instance, image) = (attachment.instance, &attachment.name);
        match held {
            Some(held) if force == Force::Always => {
                let guest = &held.name;
                tracing::warn!(%instance, %image, guest, "the guest runs on with it on the mount that is taken away; stop it before another guest gets the image");
            }
            Some(held) => {
                let guest = &held.name;
                tracing::warn!(%instance, %image, guest, "disconnected, but the guest still has it; it stays on record until the guest has released it");
            }
            None => {
                let reason = unknown.map_or("the guest is not understood", String::as_str);
                tracing::warn!(%instance, %image, reason, "disconnected, but whether the guest still has it is not known; it stays on record");
            }
        }
    }

    /// The attachment on record of the guest's disk that has the file, which another file of the disk is on record for.
    fn attachment_by_guest(&self, request: &DisconnectRequest<'_>, guest: &Guest) -> Option<&Attachment> {
        let at = &self.record.mount_path;
        let file = at.image(request.name);
        let uses: Vec<_> = guest.uses_of(at).filter(|guest_use| guest_use.path == file).collect();
        let is_of =
            |attachment: &&Attachment| uses.iter().any(|guest_use| attachment.is_used_by(guest_use, at));
        self.record.attachments.iter().find(is_of)
    }

    /// What the request is about, where no record has it: as the guest describes it, if it does.
    fn unrecorded_attachment(&self, request: &DisconnectRequest<'_>, guest: Option<&Guest>) -> Attachment {
        let (at, export) = (&self.record.mount_path, &self.record.export);
        let volume = request.volume.unwrap_or_else(|| VolumeId::derive(export, request.name));
        let sought = Attachment::new(request.instance, volume, request.name.clone(), ImageFormat::Raw);
        let described = guest.into_iter().flat_map(|guest| guest.uses_of(at)).find_map(|guest_use| {
            let is_sought = self.record.is_use_of(guest_use, &sought);
            Attachment::described(guest_use, at, |_| volume).filter(|_| is_sought)
        });
        Attachment { generation: self.record.generation, ..described.unwrap_or(sought) }
    }
}

/// The mount path at which a record says that the guest has the file, or the volume.
fn recorded_mount_path(
    context: &Context,
    request: &DisconnectRequest<'_>,
) -> Result<Option<MountPath>, Error> {
    let records: Vec<_> = context.state.records()?.into_iter().flatten().collect();
    let find = |query: &FileQuery<'_>| {
        records.iter().find(|record| record.attachment(request.instance, query).is_some())
    };
    let of_export = |record: &&ShareRecord| request.export == Some(&record.export);
    let has_file = |record: &&ShareRecord| record.attachment(request.instance, &request.query()).is_some();
    let by_file = records.iter().filter(of_export).find(has_file);
    // A file of that name on another volume is another file, so the volume's id decides there.
    let volume = request.volume.map(|volume| FileQuery { name: None, chain: &[], volume: Some(volume) });
    let found = by_file.or_else(|| volume.and_then(|volume| find(&volume)));
    Ok(found.map(|record| record.mount_path.clone()))
}

/// Why what is mounted at `at` stays there: no record says that it may be taken away.
fn unrecorded_mount(context: &Context, at: &MountPath) -> Result<Option<StillMounted>, Error> {
    Ok(top_mount(context.host(), at, None)?.map(|_| StillMounted::NotRecorded))
}
