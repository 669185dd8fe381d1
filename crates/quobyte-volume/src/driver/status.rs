//! status: what is recorded, held against what is mounted.

use super::context::Context;
use super::error::Error;
use super::parallel::map_parallel;
use crate::host::Host;
use crate::host::records::StateError;
use crate::mount::{MountError, MountState, inspect};
use crate::pure::guests::{GuestSurvey, GuestUse};
use crate::pure::record::{Attachment, ShareRecord};

/// One recorded share.
#[derive(Debug)]
pub struct ShareStatus {
    /// What is recorded.
    pub record: ShareRecord,
    /// What is there.
    pub state: ShareState,
}

impl ShareStatus {
    /// Whether the attachment's guest runs on with files of a mount that is gone. They will never be served again, but
    /// where somebody unmounted it lazily: its client serves them until they are closed. Where `survey` is `None`, what is
    /// on record counts.
    #[must_use]
    pub fn is_lost(&self, attachment: &Attachment, survey: Option<&GuestSurvey>) -> bool {
        let is_stale = self.record.is_stale(attachment);
        let Some(survey) = survey else { return is_stale && attachment.lost_in.is_some() };
        let Some(guest) = survey.guest(attachment.instance) else { return false };
        let is_mount_lost = match &self.state {
            ShareState::Known(state) => state.has_lost_open_files(),
            ShareState::Unknown(_) => false,
        };
        let is_lost_run = guest.run.is_some_and(|run| match attachment.lost_in {
            Some(lost) => lost.is_same(run),
            None => !run.began_after(self.record.generation),
        });
        self.record.is_running_in(attachment, guest) && (is_mount_lost || is_stale && is_lost_run)
    }

    /// The guest's use of this attachment, now or at its next start.
    #[must_use]
    pub fn guest_use<'a>(
        &'a self,
        attachment: &'a Attachment,
        survey: &'a GuestSurvey,
    ) -> Option<&'a GuestUse> {
        self.record.disk_of(attachment, survey.guest(attachment.instance)?)
    }

    /// The state of the guest's disk. `survey` is `None` where it is not known who uses the share.
    #[must_use]
    pub fn disk_state(&self, attachment: &Attachment, survey: Option<&GuestSurvey>) -> DiskState {
        let is_known = survey.is_some_and(|survey| {
            survey.guest(attachment.instance).is_none_or(|guest| guest.unknown.is_none())
        });
        let is_ok = matches!(self.state, ShareState::Known(MountState::Healthy(_)));
        match survey {
            _ if self.is_lost(attachment, survey) => DiskState::Lost,
            _ if attachment.leaving.is_some() => DiskState::Leaving,
            Some(survey) if is_known && self.guest_use(attachment, survey).is_none() => DiskState::NoGuest,
            Some(_) if is_known && is_ok => DiskState::Ok,
            _ => DiskState::Unknown,
        }
    }
}

/// The state of a guest's disk, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum DiskState {
    /// The guest has it, and its mount is healthy.
    Ok,
    /// The guest has lost the files that it had open.
    Lost,
    /// The guest still has it, although somebody has disconnected it.
    Leaving,
    /// No guest has it.
    NoGuest,
    /// The mount is not known to be healthy, or the guests' uses are not known.
    Unknown,
}

impl DiskState {
    /// The state in one word, in `snake_case`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Everything that is recorded.
#[derive(Debug)]
pub struct StatusReport {
    /// The recorded shares, ordered by export.
    pub shares: Vec<ShareStatus>,
    /// Why the other records cannot be used.
    pub unusable_records: Vec<StateError>,
}

/// What is at a recorded share's mount point.
#[derive(Debug)]
pub enum ShareState {
    /// The mount's state.
    Known(MountState),
    /// It could not be found out.
    Unknown(MountError),
}

impl ShareState {
    /// The state as scripts see it, in `snake_case`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Known(state) => state.as_str(),
            Self::Unknown(_) => "unknown",
        }
    }
}

/// Every recorded share with its state: see [`Driver::status`](super::Driver::status).
pub(super) fn status(context: &Context) -> Result<StatusReport, Error> {
    let mut records = Vec::new();
    let mut unusable_records = Vec::new();
    for record in context.state.records()? {
        match record {
            Ok(record) => records.push(record),
            Err(error) => unusable_records.push(error),
        }
    }
    let of_share = |record| share_status(context.host.as_ref(), record);
    let mut shares = map_parallel(context.max_parallel_shares, records, of_share);
    shares.sort_by(|a, b| a.record.export.as_str().cmp(b.record.export.as_str()));
    Ok(StatusReport { shares, unusable_records })
}

fn share_status(host: &dyn Host, record: ShareRecord) -> ShareStatus {
    let state = inspect(host, &record.mount_path, &record.export, record.known_mount());
    ShareStatus { state: state.map_or_else(ShareState::Unknown, ShareState::Known), record }
}
