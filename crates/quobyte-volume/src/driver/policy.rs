//! How QEMU is to read and write the image: decided once everything is known.

use super::error::Error;
use super::operation::ShareOperation;
use crate::pure::connection::ConnectionInfo;
use crate::pure::io_policy::{Facts, IoPolicy};

impl ShareOperation<'_> {
    /// Decides, and warns an operator of what the decision costs, once for each mount.
    pub(super) fn decide_policy(&mut self, info: &ConnectionInfo, facts: &Facts) -> Result<IoPolicy, Error> {
        let decision = self.context.decide(info, facts)?;
        let record = &mut self.record;
        for (row, cost) in decision.costs() {
            if !record.warned_rows.iter().any(|warned| warned == row.name) {
                let (export, mount_path, remedy) = (&record.export, &record.mount_path, cost.remedy);
                tracing::warn!(%export, %mount_path, row = row.name, remedy, "{}", cost.loss);
                record.warned_rows.push(row.name.to_owned());
            }
        }
        Ok(decision.policy)
    }
}
