//! reconcile: hold records, mount table and guests against each other, and repair what is certainly ours.
//!
//! For each share a [`plan`] is made of what was seen, and only then is anything done. What is not certain is left
//! alone and told.

mod finding;
mod plan;

use std::collections::BTreeSet;
use std::sync::OnceLock;

pub use self::finding::{Finding, Repair, Unrepaired};
use self::plan::{Action, ShareView, Uses};
use super::context::Context;
use super::error::Error;
use super::operation::ShareOperation;
use super::parallel::map_parallel;
use super::release::{Force, StillMounted};
use super::stacked_mounts::{is_replaced, mounts_below};
use crate::mount::{MountState, inspect, top_mount};
use crate::pure::connection::Export;
use crate::pure::kernel_mount::Mount;
use crate::pure::mount_path::MountPath;

/// Reconciles every share of this host: see [`Driver::reconcile`](super::Driver::reconcile).
pub(super) fn reconcile(context: &Context, dry_run: bool) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    match context.state.sweep(dry_run)? {
        0 => {}
        swept => findings.push(Finding::Swept(swept)),
    }
    let mut shares = BTreeSet::new();
    for record in context.state.records()? {
        match record {
            Ok(record) => drop(shares.insert(record.mount_path)),
            Err(error) => findings.push(Finding::UnusableRecord(error)),
        }
    }
    let base = &context.config.mount_point_base;
    let below = mounts_below(context.host(), base)?;
    shares.extend(below.iter().filter_map(|path| MountPath::from_mount_point(base, path)));
    let shares: Vec<_> = shares.into_iter().collect();
    let guests = OnceLock::new();
    let all_uses =
        || guests.get_or_init(|| context.guests.uses_below(&shares).map_err(|error| error.to_string()));
    let found = map_parallel(context.max_parallel_shares, shares.iter().collect(), |at| {
        let uses = || match all_uses() {
            Ok(uses) => {
                Ok(uses.iter().filter(|guest| guest.path.starts_with(at.as_path())).cloned().collect())
            }
            Err(reason) => Err(reason.clone()),
        };
        let mut findings = Vec::new();
        if let Err(error) = reconcile_share(context, at, dry_run, &uses, &mut findings) {
            findings.push(Finding::Unrepaired(at.clone(), Unrepaired::Failed(error)));
        }
        findings
    });
    findings.extend(found.into_iter().flatten());
    Ok(findings)
}

fn reconcile_share(
    context: &Context,
    at: &MountPath,
    dry_run: bool,
    uses: &Uses<'_>,
    findings: &mut Vec<Finding>,
) -> Result<(), Error> {
    let lock = context.lock(at)?;
    // A share that is adopted may then turn out to need a mount; nothing takes a third look.
    for _ in 0..2 {
        let before = if dry_run { lock.peek()? } else { lock.load()? };
        let known = before.as_ref().and_then(|record| record.mount.as_ref());
        let mount = top_mount(context.host(), at, known)?;
        let mut operation = match before {
            Some(record) => ShareOperation::new(context, &lock, Some(record.clone()), record),
            None => match mount.as_ref().and_then(|mount| mounted_export(context, at, mount)) {
                Some(export) => ShareOperation::without_record(context, &lock, at, &export),
                // Neither recorded nor a mount of Quobyte's.
                None => return Ok(()),
            },
        };
        let view = operation.view(at, mount.as_ref(), uses)?;
        let plan = plan::plan(&view);
        let Some(action) = plan.action else {
            findings.extend(plan.unrepaired.into_iter().map(|why| Finding::Unrepaired(at.clone(), why)));
            return Ok(());
        };
        let done = if dry_run { predict(&action, &view) } else { operation.execute(&action)? };
        findings.push(match done {
            Ok(repair) => Finding::Repaired(at.clone(), repair),
            Err(why) => Finding::Unrepaired(at.clone(), Unrepaired::StillMounted(why)),
        });
        if !matches!(action, Action::Adopt(_)) || dry_run {
            return Ok(());
        }
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
    /// What there is to see of the share at `at`, on top of which is `mount`. Guests' uses are spelt as `at` is, which the
    /// record may spell by way of a link.
    fn view<'a>(
        &self,
        at: &MountPath,
        mount: Option<&Mount>,
        uses: &'a Uses<'a>,
    ) -> Result<ShareView<'a>, Error> {
        let state = inspect(self.host, at, &self.record.export, mount)?;
        let is_replaced = match (&state, &self.before) {
            (MountState::Healthy(mount), Some(record)) => is_replaced(self.host, record, mount)?,
            _ => false,
        };
        Ok(ShareView {
            at: at.clone(),
            export: self.record.export.clone(),
            record: self.before.clone(),
            state,
            is_replaced,
            may_unmount: mount.is_none_or(|mount| self.host.may_unmount(mount)),
            uses,
        })
    }

    /// The inner error says why a share that nobody needs has to stay.
    fn execute(&mut self, action: &Action) -> Result<Result<Repair, StillMounted>, Error> {
        match action {
            Action::Adopt(record) => {
                self.lock.store(record)?;
                Ok(Ok(action.repair()))
            }
            _ if self.before.is_none() => Ok(Err(StillMounted::NotRecorded)),
            Action::TakeDown => Ok(self.release(None, Force::No)?.map_or(Ok(Repair::TakenDown), Err)),
            Action::Remount(_) => {
                let remounted = self.ensure_mounted(None).and_then(|_| self.store());
                remounted.map_err(|cause| self.roll_back(&self.record.mount_path, cause))?;
                Ok(Ok(Repair::Remounted(self.record.lost())))
            }
        }
    }
}

/// What would come of it, as far as that can be known without trying: open files are known to the kernel alone.
fn predict(action: &Action, view: &ShareView<'_>) -> Result<Repair, StillMounted> {
    if let (Action::TakeDown, MountState::Healthy(_)) = (action, &view.state) {
        match (view.uses)() {
            Err(reason) => return Err(StillMounted::Unknown(reason)),
            Ok(uses) if !uses.is_empty() => return Err(StillMounted::Guests(uses)),
            Ok(_) => {}
        }
    }
    Ok(action.repair())
}
