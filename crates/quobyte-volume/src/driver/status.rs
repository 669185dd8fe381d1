//! status: what is recorded, held against what is mounted.

use super::context::Context;
use super::error::Error;
use super::parallel::map_parallel;
use crate::host::Host;
use crate::host::records::StateError;
use crate::mount::{MountError, MountState, inspect};
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
    /// Whether the files that this attachment's guest has open are on a mount that is gone. They will never be served
    /// again, but where somebody unmounted it lazily: its client serves them until they are closed.
    #[must_use]
    pub fn is_lost(&self, attachment: &Attachment) -> bool {
        let is_mount_lost = match &self.state {
            ShareState::Known(state) => state.has_lost_open_files(),
            ShareState::Unknown(_) => false,
        };
        is_mount_lost || attachment.generation < self.record.generation
    }
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
pub(super) fn status(context: &Context) -> Result<(Vec<ShareStatus>, Vec<StateError>), Error> {
    let mut records = Vec::new();
    let mut unusable = Vec::new();
    for record in context.state.records()? {
        match record {
            Ok(record) => records.push(record),
            Err(error) => unusable.push(error),
        }
    }
    let of_share = |record| share_status(context.host.as_ref(), record);
    let mut shares = map_parallel(context.max_parallel_shares, records, of_share);
    shares.sort_by(|a, b| a.record.export.as_str().cmp(b.record.export.as_str()));
    Ok((shares, unusable))
}

fn share_status(host: &dyn Host, record: ShareRecord) -> ShareStatus {
    let state = inspect(host, &record.mount_path, &record.export, record.mount.as_ref());
    ShareStatus { state: state.map_or_else(ShareState::Unknown, ShareState::Known), record }
}
