//! The I/O policy of an image on its mount: what has to be found out for it, and whom it is told.

use super::bring_up::unusable;
use super::judge::judge;
use super::{Driver, Error};
use crate::host::records::LockedShare;
use crate::host::share::ShareError;
use crate::mount::{MountError, MountState, inspect_with};
use crate::pure::connection::ConnectionInfo;
use crate::pure::image::{self, Layer};
use crate::pure::io_policy::{Decision, DirectIo, Facts, HostFacts, Probe};
use crate::pure::mount_path::MountPath;
use crate::pure::record::ShareRecord;

/// An image as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// The image and everything below it.
    pub chain: Vec<Layer>,
    /// What is known of host and mount.
    pub facts: Facts,
    /// What follows for how QEMU is to read and write it.
    pub decision: Decision,
}

impl Driver {
    /// The image and everything below it as they are now, judged as a connect would. Where the volume is connected,
    /// they are the files that were looked at then.
    ///
    /// # Errors
    /// [`Error::NotMounted`], since only what was looked at may be described; those of a connect that finds the share
    /// mounted; and a breach of [`Rule::Swapped`](image::Rule::Swapped).
    pub fn chain(&self, info: &ConnectionInfo) -> Result<Vec<Layer>, Error> {
        let at = self.mount_path(&info.export);
        Ok(self.look(info, &self.lock(&at)?, &at)?.0)
    }

    /// The same, and what a connect would decide. A mount that was not probed is probed; nothing is put on record.
    ///
    /// # Errors
    /// Those of [`Driver::chain`] and [`Error::IoPolicy`].
    pub fn examine(&self, info: &ConnectionInfo, facts: &HostFacts) -> Result<Examined, Error> {
        let at = self.mount_path(&info.export);
        let share = self.lock(&at)?;
        let (chain, known) = self.look(info, &share, &at)?;
        let probe = known.map_or_else(|| self.probe(&at, &chain), |known| Ok(Some(known)))?;
        let facts = Facts { probe, ..self.unprobed(facts) };
        Ok(Examined { chain, facts, decision: self.decide(info, &facts)? })
    }

    /// Returns the image's layers, and what is on record of a probe of its mount.
    fn look(
        &self,
        info: &ConnectionInfo,
        share: &LockedShare,
        at: &MountPath,
    ) -> Result<(Vec<Layer>, Option<Probe>), Error> {
        let image = (&info.name, info.format);
        match inspect_with(self.host.as_ref(), at, &info.export, None, Some(image))? {
            (MountState::Absent, _) => Err(Error::NotMounted { at: at.clone() }),
            (MountState::Healthy(mount), seen) => {
                let chain = judge(image, seen, &mount, at)?;
                let record = share.look()?;
                let attachments = record.iter().flat_map(|record| &record.attachments);
                for connected in attachments.filter(|other| other.volume == info.volume_id) {
                    image::check_same(at, &connected.chain, &chain)?;
                }
                let record = record.filter(|record| record.is_about(&mount));
                Ok((chain, record.and_then(|record| record.probe)))
            }
            (MountState::Dead(_) | MountState::Disconnected(_), _) => {
                let remedy = "connect the volume, or reconcile".to_owned();
                Err(MountError::Stale { at: at.clone(), export: info.export.clone(), remedy }.into())
            }
            (state, _) => Err(unusable(state, &ShareRecord::new(info.export.clone(), at.clone())?).into()),
        }
    }

    /// Decides for the image on the record's mount, which is probed if it was not yet, given the other facts, and tells
    /// an operator what the decision costs, once for each mount.
    pub(super) fn decide_on_record(
        &self,
        info: &ConnectionInfo,
        facts: &Facts,
        chain: &[Layer],
        record: &mut ShareRecord,
    ) -> Result<Decision, Error> {
        if record.probe.is_none() {
            record.probe = self.probe(&record.mount_path, chain)?;
            self.widen(record);
        }
        let decision = self.decide(info, &Facts { probe: record.probe, ..*facts })?;
        for (row, cost) in decision.costs() {
            if !record.warned.iter().any(|warned| warned == row.name) {
                let (export, mount_path, remedy) = (&record.export, &record.mount_path, cost.remedy);
                tracing::warn!(%export, %mount_path, row = row.name, remedy, "{}", cost.loss);
                record.warned.push(row.name.to_owned());
            }
        }
        Ok(decision)
    }

    /// What is known without asking a mount.
    #[must_use]
    pub fn unprobed(&self, host: &HostFacts) -> Facts {
        Facts { host: *host, probe: None, aio: self.host.aio_slots() }
    }

    /// Decides for a volume, given the facts.
    ///
    /// # Errors
    /// [`Error::IoPolicy`]
    pub fn decide(&self, info: &ConnectionInfo, facts: &Facts) -> Result<Decision, Error> {
        Ok(Decision::make(info, facts, &self.config.io)?)
    }

    /// Where direct I/O is asynchronous, has the kernel let enough of it be under way at once. Where that cannot be had,
    /// the mount is slower with many requests, and no less right; an operator is told.
    fn widen(&self, record: &ShareRecord) {
        let (Some(mount), Some(Probe { direct_io: DirectIo::Asynchronous, .. })) =
            (&record.mount, record.probe)
        else {
            return;
        };
        let at = &record.mount_path;
        match self.host.raise_max_background(mount) {
            Ok(None) => {}
            Ok(Some(limit)) => {
                tracing::info!(mount_path = %at, limit, "raised the limit of background requests");
            }
            Err(error) => {
                let remedy = "have Quobyte's client ask for a max_background of 256";
                tracing::warn!(mount_path = %at, %error, remedy, "guests may be slowed by the limit of background requests");
            }
        }
    }

    /// UnmountMode the mount does direct I/O, as the image at the top of the chain shows; `None` where that cannot be found
    /// out, which is no reason to refuse an image.
    fn probe(&self, at: &MountPath, chain: &[Layer]) -> Result<Option<Probe>, Error> {
        let Some(image) = chain.first() else { return Ok(None) };
        match self.host.probe(at, image) {
            Ok(probe) => Ok(Some(probe)),
            Err(source @ (ShareError::Dead { .. } | ShareError::Hung { .. } | ShareError::Helper { .. })) => {
                Err(MountError::Unreadable { at: at.clone(), source }.into())
            }
            Err(error) => {
                tracing::info!(mount_path = %at, %error, "the mount cannot be probed");
                Ok(None)
            }
        }
    }
}
