//! How QEMU is to read and write the image: decided once everything is known.

use super::error::Error;
use super::operation::ShareOperation;
use crate::pure::connection::ConnectionInfo;
use crate::pure::io_policy::{Facts, IoMode, IoPolicy};

impl ShareOperation<'_> {
    /// Decides, and warns an operator of what the decision costs: once for each mount, or each time where it is the image
    /// that costs it.
    pub(super) fn decide_policy(&mut self, info: &ConnectionInfo, facts: &Facts) -> Result<IoPolicy, Error> {
        let decision = self.context.decide(info, facts)?;
        let record = &mut self.record;
        for (row, cost) in decision.costs() {
            let (export, mount_path, remedy) = (&record.export, &record.mount_path, cost.remedy);
            if cost.is_of_image {
                let image = &info.name;
                tracing::warn!(%export, %mount_path, %image, row = row.name, remedy, "{}", cost.loss);
            } else if !record.warned_rows.iter().any(|warned| warned == row.name) {
                tracing::warn!(%export, %mount_path, row = row.name, remedy, "{}", cost.loss);
                record.warned_rows.push(row.name.to_owned());
            }
        }
        let IoPolicy { cache, io, .. } = decision.policy;
        let io = io.map_or("-", IoMode::as_str);
        let (cache_row, io_row) = (decision.cache_row.name, decision.io_row.name);
        tracing::debug!(image = %info.name, %cache, io, cache_row, io_row, "decided how QEMU reads and writes");
        Ok(decision.policy)
    }
}
