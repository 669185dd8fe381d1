//! extend: how large QEMU is to make a connected volume.

use super::{Driver, Error};
use crate::pure::connection::ConnectionInfo;

/// QEMU counts disks in sectors of so many bytes, whatever the guest sees.
const SECTOR: u64 = 512;

impl Driver {
    /// The size, in bytes, to which QEMU is to resize a connected volume that is to hold `requested` bytes: that, in
    /// whole sectors. The file itself is not touched: while a guest has it open only QEMU may change it, and does so,
    /// raw or qcow2, as it resizes the disk.
    ///
    /// # Errors
    /// [`Error::WouldShrink`] where the image holds more already, and those of [`Driver::chain`].
    pub fn extend(&self, info: &ConnectionInfo, requested: u64) -> Result<u64, Error> {
        let held = self.chain(info)?.first().map_or(0, |image| image.virtual_size);
        let size = requested.checked_next_multiple_of(SECTOR).unwrap_or(requested);
        if size < held {
            let path = self.device_path(&info.export, &info.name);
            return Err(Error::WouldShrink { path, held, requested });
        }
        Ok(size)
    }
}
