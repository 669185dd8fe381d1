//! Asking the hypervisor about its guests, and holding a share's record against the answer.

use std::time::Duration;

use super::context::Context;
use super::operation::ShareOperation;
use crate::host::records::StateError;
use crate::pure::connection::{ConnectionInfo, InstanceId};
use crate::pure::guests::{GuestQuestion, GuestSurvey};
use crate::pure::image::DeclaredImage;
use crate::pure::mount_path::MountPath;
use crate::pure::record::{Comparison, FileQuery, MountAge, ShareRecord};

/// How long connecting a volume waits for the hypervisor at most. Without an answer the records decide.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

impl Context {
    /// Asks about the guests of this host, or one of them; the error is a reason for people.
    pub(super) fn survey(
        &self,
        shares: &[MountPath],
        only: Option<InstanceId>,
        timeout: Option<Duration>,
    ) -> Result<GuestSurvey, String> {
        let question = GuestQuestion { shares, only, timeout };
        self.guests.survey(&question).map_err(|error| error.to_string())
    }
}

impl ShareOperation<'_> {
    /// Asks about all guests, for this share wherever records have it.
    pub(super) fn survey(&self, timeout: Option<Duration>) -> Result<GuestSurvey, String> {
        self.context.survey(&self.all_places(), None, timeout)
    }

    /// Where the record's export is mounted, by any record.
    pub(super) fn all_places(&self) -> Vec<MountPath> {
        let mut places = vec![self.record.mount_path.clone()];
        places.extend(self.other_places());
        places
    }

    /// Where else the record's export is mounted, by another record. What cannot be found out is nowhere.
    pub(super) fn other_places(&self) -> Vec<MountPath> {
        let recorded = self.other_records().unwrap_or_default();
        recorded.into_iter().map(|record| record.mount_path).collect()
    }

    /// The usable records of the same export at other mount paths.
    pub(super) fn other_records(&self) -> Result<Vec<ShareRecord>, StateError> {
        self.context.state.records_of(&self.record.export, self.lock.key())
    }

    /// Brings the record up to date with the guests. `is_healthy` says that the share answers, so that the layers of images
    /// that come on record can be looked at.
    pub(super) fn compare(&mut self, survey: &GuestSurvey, is_healthy: bool) -> Comparison {
        let age = if self.rollback.client.is_some() { MountAge::New } else { MountAge::Old };
        let comparison = self.record.compare(survey, age);
        let mount_path = &self.record.mount_path;
        for attachment in &comparison.adopted {
            tracing::info!(%mount_path, %attachment, image = %attachment.name, "now on record, as its guest has it");
        }
        for attachment in &comparison.moved {
            tracing::info!(%mount_path, %attachment, image = %attachment.name, "its guest has moved to another file");
        }
        if is_healthy {
            self.look_at_new_chains();
        }
        comparison
    }

    /// Looks at the layers of attachments that no connect has looked at. Those of an image that cannot be looked at stay
    /// unknown: its guest has it all the same.
    pub(super) fn look_at_new_chains(&mut self) {
        let at = self.record.mount_path.clone();
        for attachment in self.record.attachments.iter_mut().filter(|attachment| attachment.chain.is_empty())
        {
            let declared = DeclaredImage { name: &attachment.name, format: attachment.format };
            match self.host.query_share(&at, Some(declared))() {
                Ok(reply) => attachment.chain = reply.chain.unwrap_or_default(),
                // Nor would it answer about the others.
                Err(_) => return,
            }
        }
    }
}

impl<'a> FileQuery<'a> {
    /// What finds the attachment of a volume.
    pub(super) fn of_volume(info: &'a ConnectionInfo) -> Self {
        Self { name: Some(&info.name), chain: &[], volume: Some(info.volume_id) }
    }
}
