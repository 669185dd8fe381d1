//! reconcile: hold records, mount table and guests against each other, and mend what is certainly ours.
//!
//! For each share a [`plan`] is made of what was seen, and only then is anything done. What is not certain is left
//! alone and told.

mod plan;

use std::collections::BTreeSet;
use std::sync::OnceLock;

use self::plan::{Mending, Uses, View};
use super::bring_up::Begun;
use super::disconnect::Force;
use super::{Driver, Error, at_once};
use crate::driver::Kept;
use crate::host::records::{LockedShare, StateError};
use crate::mount::{MountState, inspect};
use crate::pure::connection::Export;
use crate::pure::mount_path::MountPath;
use crate::pure::record::{Attachment, ShareRecord};

/// One thing that reconcile found.
#[derive(Debug)]
pub enum Finding {
    /// It was mended, or would be were this no dry run.
    Mended(MountPath, Mended),
    /// It was left alone.
    LeftAlone(MountPath, LeftAlone),
    /// Records that a killed process had not finished writing, or of an earlier boot, were removed; so many.
    Swept(usize),
    /// This record cannot be used by this version.
    Unusable(StateError),
}

/// What was mended about a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mended {
    /// It was mounted again. The guests of these attachments have files open that are dead.
    Remounted(Vec<Attachment>),
    /// Nobody used it any more, so it was taken down.
    TakenDown,
    /// Guests use it although no record said so; now there is one, with these attachments.
    Adopted(Vec<Attachment>),
}

/// Why something was left alone.
#[derive(Debug)]
pub enum LeftAlone {
    /// The client does not answer.
    Hung,
    /// The client has lost its registries.
    Disconnected,
    /// Something else is mounted there: this source, of this type.
    Foreign(String, String),
    /// The mount is dead, but another user's.
    NotOwner,
    /// It is mounted, but no record and no guest says for whom.
    NotRecorded,
    /// It is not known whether guests use it, for this reason.
    Unknown(String),
    /// No guest has the image of this attachment, of this export. It may be about to get it; if not, disconnect it.
    NoGuest(Attachment, Export),
    /// The guest has files open on a mount that has died. Restart it, or detach and attach the volume.
    Lost(Attachment),
    /// It should have been taken down, and has to stay.
    Kept(Kept),
    /// Mending failed.
    Failed(Error),
}

impl Driver {
    /// Finds what a crash, a reboot of the client or another program has left, and mends what is certainly ours;
    /// with `dry_run` it only tells what it would do. Calling it again finds nothing more to mend.
    ///
    /// # Errors
    /// When the state directory or the mount table cannot be read. What fails about one share is a finding.
    pub fn reconcile(&self, dry_run: bool) -> Result<Vec<Finding>, Error> {
        let mut findings = Vec::new();
        match self.state.sweep(dry_run)? {
            0 => {}
            swept => findings.push(Finding::Swept(swept)),
        }
        let mut places = BTreeSet::new();
        for record in self.state.records()? {
            match record {
                Ok(record) => drop(places.insert(record.mount_path)),
                Err(error) => findings.push(Finding::Unusable(error)),
            }
        }
        let base = &self.config.mount_point_base;
        let below =
            self.host.mounts_below(base).map_err(|source| Error::Base { path: base.clone(), source })?;
        places.extend(below.iter().filter_map(|path| MountPath::recognise(base, path)));
        let places: Vec<_> = places.into_iter().collect();
        let guests = OnceLock::new();
        let asked =
            || guests.get_or_init(|| self.guests.uses_below(&places).map_err(|error| error.to_string()));
        let found = at_once::each(self.shares_at_once, places.iter().collect(), |at| {
            let uses = || match asked() {
                Ok(uses) => {
                    Ok(uses.iter().filter(|guest| guest.path.starts_with(at.as_path())).cloned().collect())
                }
                Err(reason) => Err(reason.clone()),
            };
            let mut findings = Vec::new();
            if let Err(error) = self.reconcile_share(at, dry_run, &uses, &mut findings) {
                findings.push(Finding::LeftAlone(at.clone(), LeftAlone::Failed(error)));
            }
            findings
        });
        findings.extend(found.into_iter().flatten());
        Ok(findings)
    }

    fn reconcile_share(
        &self,
        at: &MountPath,
        dry_run: bool,
        uses: &Uses<'_>,
        findings: &mut Vec<Finding>,
    ) -> Result<(), Error> {
        let share = self.lock(at)?;
        // A share that is adopted may then turn out to need a mount; nothing takes a third look.
        for _ in 0..2 {
            let record = if dry_run { share.look()? } else { share.load()? };
            let Some(view) = self.view(at, record.as_ref(), uses)? else { return Ok(()) };
            let plan = plan::plan(&view);
            let Some(mending) = plan.mending else {
                findings.extend(plan.left.into_iter().map(|left| Finding::LeftAlone(at.clone(), left)));
                return Ok(());
            };
            let done =
                if dry_run { foresee(&mending, &view) } else { self.mend(&share, view.record, &mending)? };
            match done {
                Ok(mended) => findings.push(Finding::Mended(at.clone(), mended)),
                Err(kept) => findings.push(Finding::LeftAlone(at.clone(), LeftAlone::Kept(kept))),
            }
            if !matches!(mending, Mending::Adopt(_)) || dry_run {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What there is to see of the share at `at`; `None` when it is neither recorded nor a mount of Quobyte's.
    fn view<'a>(
        &self,
        at: &MountPath,
        record: Option<&'a ShareRecord>,
        uses: &'a Uses<'a>,
    ) -> Result<Option<View<'a>>, Error> {
        let mount = self.top_mount(at, record.and_then(|record| record.mount.as_ref()))?;
        let shown = || {
            let export = mount.as_ref()?.source.strip_prefix("quobyte@")?.replace('|', ",");
            // A comma and a bar look alike in the table; the directory's name tells whether it was read right.
            Export::parse(&export).ok().filter(|export| self.mount_path(export) == *at)
        };
        let Some(export) = record.map(|record| record.export.clone()).or_else(shown) else { return Ok(None) };
        let state = inspect(self.host.as_ref(), at, &export, mount.as_ref())?;
        let is_replaced = match (&state, record) {
            (MountState::Healthy(mount), Some(record)) => self.is_replaced(record, mount)?,
            _ => false,
        };
        let may_unmount = mount.as_ref().is_none_or(|mount| self.host.may_unmount(mount));
        Ok(Some(View { at: at.clone(), export, record, state, is_replaced, may_unmount, uses }))
    }

    /// The inner error says why a share that nobody needs has to stay.
    fn mend(
        &self,
        share: &LockedShare,
        record: Option<&ShareRecord>,
        mending: &Mending,
    ) -> Result<Result<Mended, Kept>, Error> {
        match (mending, record) {
            (Mending::Adopt(record), _) => {
                share.store(record)?;
                Ok(Ok(mending.promise()))
            }
            (Mending::TakeDown, Some(record)) => {
                let kept = self.release(share, record.clone(), None, Force::No)?;
                Ok(kept.map_or(Ok(Mended::TakenDown), Err))
            }
            (Mending::Remount(_), Some(before)) => {
                let mut record = before.clone();
                let mut begun = Begun::default();
                let brought_up = self
                    .bring_up(share, &mut record, None, None, &mut begun)
                    .and_then(|_| Ok(share.store(&record)?));
                let at = &before.mount_path;
                brought_up.map_err(|cause| cause.leaving(self.undo(share, at, Some(before), &begun)))?;
                Ok(Ok(Mended::Remounted(record.lost())))
            }
            (_, None) => Ok(Err(Kept::NotRecorded)),
        }
    }
}

/// What would come of it, as far as that can be known without trying: open files are known to the kernel alone.
fn foresee(mending: &Mending, view: &View<'_>) -> Result<Mended, Kept> {
    if let (Mending::TakeDown, MountState::Healthy(_)) = (mending, &view.state) {
        match (view.uses)() {
            Err(reason) => return Err(Kept::Unknown(reason)),
            Ok(uses) if !uses.is_empty() => return Err(Kept::Guests(uses)),
            Ok(_) => {}
        }
    }
    Ok(mending.promise())
}
