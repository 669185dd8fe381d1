//! connect: a healthy mount, an image that may be given to a guest, and a record of the attachment.

use std::path::PathBuf;

use super::context::Context;
use super::error::Error;
use super::lost::LostGuest;
use super::operation::{EarlySurvey, ShareOperation};
use super::survey::CONNECT_TIMEOUT;
use crate::host::Deadline;
use crate::mount::Inquiry;
use crate::pure::connection::{ConnectionInfo, InstanceId};
use crate::pure::guests::{GuestSurvey, GuestUse};
use crate::pure::image::Layer;
use crate::pure::io_policy::{Decision, HypervisorFacts, IoPolicy};
use crate::pure::kernel_mount::Mount;
use crate::pure::mount_path::MountPath;
use crate::pure::record::{Attachment, Claim, FileQuery, Rival, ShareRecord};

/// A connected volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// Where the share is mounted.
    pub mount_path: MountPath,
    /// The share's mount.
    pub mount: Mount,
    /// The image on it.
    pub device_path: PathBuf,
    /// The image and everything below it, as they were looked at.
    pub chain: Vec<Layer>,
    /// How QEMU is to read and write it.
    pub policy: IoPolicy,
    /// Whether this call mounted the share.
    pub mounted: bool,
    /// Whether the guest had no attachment of the volume before.
    pub attached: bool,
    /// Whether this call changed anything; `false` when the volume was connected just so already.
    pub changed: bool,
    /// Guests that run on with files of a mount that is gone: each has to be restarted, or its volumes detached and
    /// attached again. The guest itself may be among them.
    pub lost: Vec<LostGuest>,
}

/// Whether connecting asks the hypervisor about its guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AskGuests {
    /// Only where the record does not tell enough: it has not been compared with the guests since its mount was made, or
    /// somebody on it may have released the volume meanwhile.
    IfNeeded,
    /// In any case.
    Always,
}

/// What is to be connected for whom.
pub(super) struct ConnectRequest<'a> {
    pub(super) info: &'a ConnectionInfo,
    pub(super) instance: InstanceId,
    pub(super) ask: AskGuests,
    pub(super) facts: &'a HypervisorFacts,
    /// Whether the guest's own description has the disk already, so that nobody will disconnect it.
    pub(super) is_described: bool,
}

impl<'a> ConnectRequest<'a> {
    /// The file that the guest is to write to, with those layers.
    fn claim(&self, chain: &'a [Layer]) -> Claim<'a> {
        let ConnectRequest { info, instance, .. } = *self;
        let (format, shareable) = (info.format, info.multiattach);
        Claim { instance, query: query(info, chain), format, shareable }
    }
}

/// Connects a volume: see [`Driver::connect`](super::Driver::connect).
pub(super) fn connect(context: &Context, request: &ConnectRequest<'_>) -> Result<Connected, Error> {
    let ConnectRequest { info, .. } = *request;
    // What no later finding could allow is refused before anything is begun.
    Decision::check_before_mount(info, request.facts, &context.config.io)?;
    context.config.volume_formats.check_name(&info.name, info.format)?;
    let at = context.mount_path(&info.export);
    let resolved = at.resolved();
    context.check_for_guest(info, &at, &resolved)?;
    context.check_mount_table_line(&resolved, &info.export)?;
    let lock = context.lock_resolved(&at, &resolved)?;
    // The client answers while everything else is found out.
    let early_inquiry = Inquiry::start_fast(context.host(), &at, &info.export, Some(info.into()));
    let before = lock.load()?;
    let record = match &before {
        Some(record) => record.clone(),
        None => {
            ShareRecord { releases: lock.releases()?, ..ShareRecord::new(info.export.clone(), at.clone())? }
        }
    };
    let mut operation = ShareOperation::new(context, &lock, before, record).with_image(info.into());
    operation.check_rivals_by_name(request)?;
    match operation.connect(request, early_inquiry) {
        Ok(ConnectedImage { mount, chain, policy, survey, attached }) => {
            let mounted = operation.rollback.client.is_some();
            if mounted {
                context.state.forget_failure(&at);
            }
            Ok(Connected {
                device_path: at.image(&info.name),
                mount_path: at.clone(),
                mount,
                policy,
                mounted,
                attached,
                chain,
                changed: operation.before.as_ref() != Some(&operation.record),
                lost: LostGuest::group(operation.record.lost(), survey.as_ref()),
            })
        }
        Err(cause) => Err(operation.roll_back(&at, cause)),
    }
}

/// Whether the volume is connected: see [`Driver::is_connected`](super::Driver::is_connected).
pub(super) fn is_connected(
    context: &Context,
    info: &ConnectionInfo,
    instance: InstanceId,
) -> Result<bool, Error> {
    let lock = context.lock(&context.mount_path(&info.export))?;
    let record = lock.peek()?;
    let found = record.as_ref().and_then(|record| record.attachment(instance, &FileQuery::of_volume(info)));
    Ok(found.is_some_and(|attachment| attachment.leaving.is_none()))
}

/// An image on its share's mount, and how QEMU is to read and write it.
struct ConnectedImage {
    mount: Mount,
    chain: Vec<Layer>,
    policy: IoPolicy,
    /// What the hypervisor knows of the guests, if it was asked and has answered.
    survey: Option<GuestSurvey>,
    /// Whether the guest had no attachment of it before.
    attached: bool,
}

impl ShareOperation<'_> {
    /// Makes sure of the mount and of the image, decides the policy, and puts the attachment on record.
    fn connect(
        &mut self,
        request: &ConnectRequest<'_>,
        early_inquiry: Option<Inquiry<'_>>,
    ) -> Result<ConnectedImage, Error> {
        let facts = self.context.unprobed_facts(request.facts);
        // What somebody is about to attach is asked about when it is there.
        if request.ask == AskGuests::IfNeeded {
            self.early_survey = EarlySurvey::Wanted;
        }
        let mount = self.ensure_mounted(early_inquiry)?;
        let chain = self.verify_image(&mount)?;
        self.context.config.volume_formats.check_chain(&chain)?;
        let survey = self.grant(request, &chain)?;
        let probe = self.probe_once(&chain)?;
        let policy = self.decide_policy(request.info, &facts.of_image(probe, &chain))?;
        // The same volume may be mounted below another base, and somebody be connecting the image there.
        let deadline = Deadline::after(self.context.config.lock_timeout);
        let export = &self.record.export;
        let _granting = self.context.state.lock_grants(export, &self.record.mount_path, deadline)?;
        self.refuse_rival(request, self.rival_elsewhere(request, &chain)?)?;
        let query = self.own_query(request, &chain, survey.as_ref());
        let attached = self.record.attachment(request.instance, &query).is_none();
        let attachment = self.new_attachment(request, &chain, &query, survey.as_ref());
        self.record.attach(attachment, query.volume);
        if self.before.as_ref() != Some(&self.record) {
            self.rollback.record_written = true;
            self.store()?;
        }
        Ok(ConnectedImage { mount, chain, policy, survey, attached })
    }

    /// Makes sure that nobody else uses the image in a way that excludes this guest. Returns what the hypervisor knows of
    /// the guests, if it was asked and has answered.
    fn grant(&mut self, request: &ConnectRequest<'_>, chain: &[Layer]) -> Result<Option<GuestSurvey>, Error> {
        let query = query(request.info, chain);
        let own = self.record.attachment(request.instance, &query);
        let is_stale = own.is_some_and(|own| self.record.is_stale(own));
        let mut survey = None;
        if request.ask == AskGuests::Always || !self.record.compared || is_stale {
            survey = self.compare_if_answered();
        }
        // Files came on record while nobody could, or did, look at what they are based on.
        self.look_at_new_chains();
        let rival = self.rival(request, chain, survey.as_ref());
        // It may have released the volume by now.
        if survey.is_none() && rival.as_ref().is_some_and(|rival| rival.may_be_gone(&self.record)) {
            survey = self.compare_if_answered();
        }
        self.refuse_rival(request, self.rival(request, chain, survey.as_ref()))?;
        Ok(survey)
    }

    fn compare_if_answered(&mut self) -> Option<GuestSurvey> {
        match self.early_survey.take().unwrap_or_else(|| self.survey(Some(CONNECT_TIMEOUT))) {
            Ok(survey) => {
                self.compare(&survey, true);
                Some(survey)
            }
            Err(reason) => {
                let mount_path = &self.record.mount_path;
                tracing::info!(%mount_path, reason, "the records alone tell who uses it");
                None
            }
        }
    }

    /// Refuses a claim for which the records are enough before anything is mounted for it.
    fn check_rivals_by_name(&self, request: &ConnectRequest<'_>) -> Result<(), Error> {
        match self.rival(request, &[], None) {
            // Whether that still holds is found out once the share is mounted.
            Some(rival) if rival.may_be_gone(&self.record) || !self.record.compared => Ok(()),
            rival => self.refuse_rival(request, rival),
        }
    }

    /// Who has the image, on record here or as the hypervisor knows.
    fn rival(
        &self,
        request: &ConnectRequest<'_>,
        chain: &[Layer],
        survey: Option<&GuestSurvey>,
    ) -> Option<Rival> {
        let claim = request.claim(chain);
        if let Some(rival) = claim.rival(&self.record) {
            return Some(rival);
        }
        let at = &self.record.mount_path;
        let uses = survey.into_iter().flat_map(|survey| survey.uses_of(at));
        let mut uses = uses.filter(|guest_use| !self.record.is_released(guest_use));
        if let Some(guest_use) = uses.find(|guest_use| claim.is_used_by(guest_use, at)) {
            return Some(Rival::Guest(guest_use.clone()));
        }
        if let Some(survey) = survey {
            // Nor where the same volume is mounted elsewhere.
            let places = self.other_places();
            let recorded = self.other_records().unwrap_or_default();
            let is_released = |found: &GuestUse| recorded.iter().any(|record| record.is_released(found));
            let mut uses = places.iter().flat_map(|at| survey.uses_of(at).map(move |found| (at, found)));
            let rival = uses.find(|(at, found)| claim.is_used_by(found, at) && !is_released(found));
            if let Some((_, found)) = rival {
                return Some(Rival::Guest(found.clone()));
            }
        }
        // A guest that has a file as one disk is not given what lies above it as another.
        let own = survey
            .filter(|_| request.ask == AskGuests::Always)
            .and_then(|survey| survey.guest(request.instance));
        let mut own = own.into_iter().flat_map(|guest| guest.current_uses_of(at));
        own.find(|guest_use| claim.has_below(guest_use, at)).cloned().map(Rival::Guest)
    }

    /// Who has the image at another mount path.
    fn rival_elsewhere(&self, request: &ConnectRequest<'_>, chain: &[Layer]) -> Result<Option<Rival>, Error> {
        let claim = request.claim(chain);
        let others = self.other_records()?;
        Ok(others.iter().find_map(|record| claim.rival(record)))
    }

    fn refuse_rival(&self, request: &ConnectRequest<'_>, rival: Option<Rival>) -> Result<(), Error> {
        let export = request.info.export.clone();
        match rival {
            None => Ok(()),
            Some(Rival::Holder(holder)) => {
                let holder_name = self.guest_name(holder.instance);
                Err(Error::InUse {
                    export,
                    name: request.info.name.clone(),
                    holder: Box::new(holder),
                    holder_name,
                })
            }
            Some(Rival::Guest(guest_use)) => {
                Err(Error::UsedByGuest { name: request.info.name.clone(), guest_use: Box::new(guest_use) })
            }
            Some(Rival::OtherFormat { holder, file, recorded }) => {
                Err(Error::OtherFormat { file, recorded, holder: Box::new(holder) })
            }
        }
    }

    /// The name of a guest, for people, where the hypervisor tells it soon.
    fn guest_name(&self, instance: InstanceId) -> Option<String> {
        let survey = self.context.survey(&[], Some(instance), Some(CONNECT_TIMEOUT)).ok()?;
        Some(survey.guest(instance)?.name.clone())
    }

    /// What finds the guest's own attachment of the image. The volume's id alone does not where the guest is known to have
    /// another file under it: a volume that was swapped keeps its id.
    fn own_query<'a>(
        &self,
        request: &ConnectRequest<'a>,
        chain: &'a [Layer],
        survey: Option<&GuestSurvey>,
    ) -> FileQuery<'a> {
        let query = query(request.info, chain);
        let guest = survey.and_then(|survey| survey.guest(request.instance));
        let found = self.record.attachment(request.instance, &query);
        let has_other_file = guest.zip(found).is_some_and(|(guest, found)| {
            let at = &self.record.mount_path;
            !found.is_related(&request.info.name, chain)
                && self.record.uses_of(found, guest).any(|guest_use| found.is_used_by(guest_use, at))
        });
        if has_other_file { FileQuery { volume: None, ..query } } else { query }
    }

    fn new_attachment(
        &self,
        request: &ConnectRequest<'_>,
        chain: &[Layer],
        query: &FileQuery<'_>,
        survey: Option<&GuestSurvey>,
    ) -> Attachment {
        let ConnectRequest { info, instance, .. } = *request;
        let own = self.record.attachment(instance, query);
        // A guest that was seen to run on with files of an earlier mount does so until it is seen to have ended.
        let lost = own.filter(|own| survey.is_some() && own.lost_in.is_some() && self.record.is_stale(own));
        Attachment {
            chain: chain.to_vec(),
            shareable: info.multiattach,
            adopted: request.is_described,
            generation: lost.map_or(self.record.generation, |own| own.generation),
            lost_in: lost.and_then(|own| own.lost_in),
            ..Attachment::new(instance, info.volume_id, info.name.clone(), info.format)
        }
    }
}

fn query<'a>(info: &'a ConnectionInfo, chain: &'a [Layer]) -> FileQuery<'a> {
    FileQuery { chain, ..FileQuery::of_volume(info) }
}
