//! reconcile: hold records, mount table and guests against each other, and repair what is certainly ours.
//!
//! Each share's record is brought up to date with the guests, attachment by attachment. Then a [`plan`] is made of what was
//! seen, and only then is anything done about the mount. What is not certain is left alone and told.

mod finding;
mod plan;

use std::collections::BTreeMap;
use std::sync::OnceLock;

pub use self::finding::{Finding, Repair, Unrepaired};
use self::plan::{Action, Plan, ShareView};
use super::context::Context;
use super::error::Error;
use super::lost::LostGuest;
use super::operation::ShareOperation;
use super::parallel::map_parallel;
use super::release::{Force, StillMounted};
use super::stacked_mounts::{is_replaced, mounts_below};
use crate::host::records::LockedShare;
use crate::mount::{MountError, MountState, inspect, top_mount};
use crate::pure::connection::Export;
use crate::pure::guests::{Description, GuestSurvey};
use crate::pure::kernel_mount::Mount;
use crate::pure::mount_path::MountPath;
use crate::pure::record::{Attachment, Claim, Comparison, KnownMount, Release, Rival, ShareRecord};

/// What the hypervisor knows of all guests, or why it does not tell.
type Survey = Result<GuestSurvey, String>;

/// Reconciles every share of this host: see [`Driver::reconcile`](super::Driver::reconcile).
pub(super) fn reconcile(context: &Context, dry_run: bool) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    match context.state.sweep(dry_run)? {
        0 => {}
        swept => findings.push(Finding::Swept(swept)),
    }
    // By key: a base can be spelt in several ways.
    let mut shares = BTreeMap::new();
    for record in context.state.records()? {
        match record {
            Ok(record) => drop(shares.insert(record.mount_path.key(), record.mount_path)),
            Err(error) => findings.push(Finding::UnusableRecord(error)),
        }
    }
    let base = &context.config.mount_point_base;
    let below = mounts_below(context.host(), base)?;
    let below = below.iter().filter_map(|path| MountPath::from_mount_point(base, path));
    for at in below.chain(context.state.released()?) {
        shares.entry(at.key()).or_insert(at);
    }
    let shares: Vec<_> = shares.into_values().collect();
    let survey = OnceLock::new();
    let ask_once = || survey.get_or_init(|| context.survey(&shares, None, None));
    let found = map_parallel(context.max_parallel_shares, shares.iter().collect(), |at| {
        let mut findings = Vec::new();
        if let Err(error) = reconcile_share(context, at, dry_run, &ask_once, &mut findings) {
            findings.push(Finding::Unrepaired(at.clone(), Unrepaired::Failed(error)));
        }
        findings
    });
    findings.extend(found.into_iter().flatten());
    let guests =
        survey.get().and_then(|survey| survey.as_ref().ok()).into_iter().flat_map(|survey| &survey.guests);
    findings.extend(guests.filter_map(|guest| {
        let unknown = guest.unknown.as_ref()?;
        Some(Finding::UnknownGuest(guest.name.clone(), unknown.reason.clone()))
    }));
    Ok(findings)
}

/// Reconciles one share by itself, with an answer of the hypervisor's that is about it alone.
pub(super) fn reconcile_one(context: &Context, at: &MountPath) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    let survey = OnceLock::new();
    let ask_once = || survey.get_or_init(|| context.survey(std::slice::from_ref(at), None, None));
    let unknown = reconcile_share(context, at, false, &ask_once, &mut findings)?;
    findings.extend(unknown.into_iter().map(|(name, reason)| Finding::UnknownGuest(name, reason)));
    Ok(findings)
}

/// Returns the guests whose uses of the share are not all known: their names and the reasons.
fn reconcile_share<'a>(
    context: &Context,
    at: &MountPath,
    dry_run: bool,
    ask_once: &dyn Fn() -> &'a Survey,
    findings: &mut Vec<Finding>,
) -> Result<Vec<(String, String)>, Error> {
    let lock = context.lock(at)?;
    let before = if dry_run { lock.peek()? } else { lock.load()? };
    let known = before.as_ref().and_then(|record| record.mount.as_ref());
    let mount = top_mount(context.host(), at, known)?;
    let record = match &before {
        // Guests' uses are spelt as `at` is, which the record may spell by way of a link.
        Some(record) => ShareRecord { mount_path: at.clone(), ..record.clone() },
        None => match mount.as_ref().and_then(|mount| mounted_export(context, at, mount)) {
            Some(export) => {
                ShareRecord { releases: lock.releases()?, ..ShareRecord::new(export, at.clone())? }
            }
            // Neither recorded nor a mount of Quobyte's.
            None => {
                if let (Ok(survey), false) = (ask_once(), dry_run) {
                    forget_releases(&lock, at, survey)?;
                }
                return Ok(Vec::new());
            }
        },
    };
    let mut operation = ShareOperation::new(context, &lock, before, record);
    let known = KnownMount { mount: mount.as_ref(), ..operation.record.known_mount() };
    let is_recorded_mount = mount.as_ref().is_some_and(|mount| operation.record.is_for_mount(mount));
    let known = if is_recorded_mount { known } else { KnownMount { client: &[], ..known } };
    let state = inspect(context.host(), at, &operation.record.export, known)?;
    let is_replaced = operation.note_replaced_mount(&state)?;
    let mut comparison = operation.compare_once(ask_once(), &state);
    if let Ok((comparison, _)) = &mut comparison {
        comparison.rivals.extend(operation.rivals_elsewhere()?);
    }
    let view = ShareView {
        export: &operation.record.export,
        state: &state,
        is_recorded: operation.before.is_some(),
        record: &operation.record,
        comparison: comparison.as_ref().map(|(comparison, _)| comparison).map_err(String::as_str),
        is_replaced,
        may_unmount: mount.as_ref().is_none_or(|mount| context.host().may_unmount(mount)),
    };
    let Plan { action, repairs, unrepaired } = plan::plan(&view);
    let survey = comparison.as_ref().map(|(_, survey)| survey).map_err(String::as_str);
    let repaired = |repair| Finding::Repaired(at.clone(), repair);
    let left = |why| Finding::Unrepaired(at.clone(), why);
    findings.extend(repairs.into_iter().map(repaired));
    let done =
        if dry_run { operation.predict(&action, &state, survey) } else { operation.execute(&action, survey) };
    let done = match done {
        Ok(done) => done,
        Err(error) => {
            // What guests have lost is lost all the same.
            let lost = survey.map(|survey| operation.running_guests(survey)).unwrap_or_default();
            findings.extend(lost.into_iter().map(|guest| left(Unrepaired::Lost(guest))));
            return Err(error);
        }
    };
    match done {
        Some(Ok(repair)) => findings.push(repaired(repair)),
        Some(Err(why)) => findings.push(left(Unrepaired::StillMounted(why))),
        None => {
            let lost = LostGuest::group(operation.record.lost(), survey.ok());
            findings.extend(lost.into_iter().map(|guest| left(Unrepaired::Lost(guest))));
        }
    }
    findings.extend(unrepaired.into_iter().map(left));
    Ok(comparison.map(|(comparison, _)| comparison.unknown).unwrap_or_default())
}

/// Forgets what guests have released of a share without a record and do not describe any more.
fn forget_releases(lock: &LockedShare, at: &MountPath, survey: &GuestSurvey) -> Result<(), Error> {
    let before = lock.releases()?;
    let mut releases = before.clone();
    Release::forget(&mut releases, at, survey);
    if releases != before {
        lock.keep_releases(at, &releases)?;
    }
    Ok(())
}

/// The export that the mount table shows at `at`.
fn mounted_export(context: &Context, at: &MountPath, mount: &Mount) -> Option<Export> {
    let export = mount.source.strip_prefix("quobyte@")?.replace('|', ",");
    // A comma and a bar look alike in the table; the directory's name tells whether it was read right.
    Export::parse(&export).ok().filter(|export| context.mount_path(export) == *at)
}

impl ShareOperation<'_> {
    /// Notes on record that the mount on record is gone and another in its place, and that one without a record is there.
    fn note_replaced_mount(&mut self, state: &MountState) -> Result<bool, Error> {
        let (MountState::Healthy(mount) | MountState::Dead(mount)) = state else { return Ok(false) };
        if self.before.is_none() {
            self.record.set_mount(mount.clone());
            return Ok(false);
        }
        let is_replaced =
            matches!(state, MountState::Healthy(_)) && is_replaced(self.host, &self.record, mount)?;
        if is_replaced {
            self.record.advance_generation();
            self.record.set_mount(mount.clone());
        }
        Ok(is_replaced)
    }

    /// Brings the record up to date with the guests. What was asked before the share was locked may be out of date, so
    /// nothing is changed by it alone.
    fn compare_once(
        &mut self,
        survey: &Survey,
        state: &MountState,
    ) -> Result<(Comparison, GuestSurvey), String> {
        let survey = survey.as_ref().map_err(String::clone)?;
        let is_healthy = matches!(state, MountState::Healthy(_));
        let before = self.record.clone();
        let comparison = self.compare(survey, is_healthy);
        let changes = self.record.attachments != before.attachments
            || self.record.releases != before.releases
            || self.record.compared != before.compared;
        if !changes {
            return Ok((comparison, survey.clone()));
        }
        self.record = before;
        let survey = self.survey(None)?;
        Ok((self.compare(&survey, is_healthy), survey))
    }

    /// Pairs of attachments that use one file at two mount paths and must not.
    fn rivals_elsewhere(&self) -> Result<Vec<(Attachment, Attachment)>, Error> {
        let others = self.other_records()?;
        let rival = |attachment: &Attachment| {
            let found = others.iter().find_map(|record| Claim::of(attachment).rival(record));
            match found {
                Some(Rival::Holder(holder) | Rival::OtherFormat { holder, .. }) => {
                    Some((attachment.clone(), holder))
                }
                Some(Rival::Guest(_)) | None => None,
            }
        };
        Ok(self.record.attachments.iter().filter_map(rival).collect())
    }

    /// Does what is planned for the mount, and stores the record. The inner error says why a share that nobody needs has to
    /// stay.
    fn execute(
        &mut self,
        action: &Action,
        survey: Result<&GuestSurvey, &str>,
    ) -> Result<Option<Result<Repair, StillMounted>>, Error> {
        match action {
            Action::Keep => {
                let is_needed = self.before.is_some() || !self.record.attachments.is_empty();
                if is_needed && self.before.as_ref() != Some(&self.record) {
                    self.store()?;
                }
                Ok(None)
            }
            Action::TakeDown => {
                self.store()?;
                // What was asked before the share was locked gives no leave.
                let unanswered = survey.err().map(Err);
                Ok(Some(self.release(Force::No, unanswered)?.map_or(Ok(Repair::TakenDown), Err)))
            }
            Action::Remount => {
                let at = self.record.mount_path.clone();
                // What the guests have made of the record holds whether or not the share can be mounted.
                if self.before.as_ref() != Some(&self.record) {
                    self.store()?;
                    self.before = Some(self.record.clone());
                }
                let remounted = self.ensure_mounted(None).and_then(|_| {
                    // Who runs now has files of the mount that is gone.
                    if let Ok(survey) = survey {
                        self.compare(survey, true);
                    }
                    self.store()
                });
                remounted.map_err(|cause| self.roll_back(&at, cause))?;
                Ok(Some(Ok(Repair::Remounted(LostGuest::group(self.record.lost(), survey.ok())))))
            }
        }
    }

    /// The guests that run with files of the share: where its mount is gone, they have lost them.
    fn running_guests(&self, survey: &GuestSurvey) -> Vec<LostGuest> {
        let is_running = |attachment: &&Attachment| {
            let guest = survey.guest(attachment.instance);
            guest.is_some_and(|guest| self.record.is_running_in(attachment, guest))
        };
        let running = self.record.attachments.iter().filter(is_running).cloned().collect();
        LostGuest::group(running, Some(survey))
    }

    /// What would come of it, as far as that can be known without trying: open files are known to the kernel alone.
    fn predict(
        &self,
        action: &Action,
        state: &MountState,
        survey: Result<&GuestSurvey, &str>,
    ) -> Result<Option<Result<Repair, StillMounted>>, Error> {
        let at = &self.record.mount_path;
        let is_to_be_mounted = matches!(state, MountState::Absent | MountState::Dead(_));
        if *action == Action::Remount && is_to_be_mounted {
            self.host.check_client(&self.client_settings()).map_err(MountError::Client)?;
        }
        Ok(match (action, state, survey) {
            (Action::Keep, ..) => None,
            (Action::Remount, _, Ok(survey)) => Some(Ok(Repair::Remounted(self.running_guests(survey)))),
            (Action::Remount, _, Err(_)) => Some(Ok(Repair::Remounted(Vec::new()))),
            (Action::TakeDown, MountState::Healthy(_), Err(reason)) => {
                Some(Err(StillMounted::Unknown(reason.to_owned())))
            }
            (Action::TakeDown, _, survey) => {
                let is_dead = !matches!(state, MountState::Healthy(_));
                let uses = survey.ok().into_iter().flat_map(|survey| survey.uses_of(at));
                let uses = uses.filter(|guest_use| {
                    guest_use.description == Description::Running
                        || !is_dead && !self.record.is_released(guest_use)
                });
                let uses: Vec<_> = uses.cloned().collect();
                Some(if uses.is_empty() { Ok(Repair::TakenDown) } else { Err(StillMounted::Guests(uses)) })
            }
        })
    }
}
