//! extend: how large QEMU is to make a connected volume.

use super::context::Context;
use super::error::Error;
use super::inspect_image::chain;
use crate::pure::connection::{ConnectionInfo, ImageFormat};
use crate::pure::io_policy::direct_io_length;

/// QEMU counts disks in sectors of so many bytes, whatever the guest sees.
const SECTOR: u64 = 512;

/// The size to which QEMU is to resize a volume: see [`Driver::extend`](super::Driver::extend).
pub(super) fn extend(context: &Context, info: &ConnectionInfo, requested: u64) -> Result<u64, Error> {
    let current_size = chain(context, info)?.first().map_or(0, |image| image.virtual_size);
    let size = match info.format {
        // The next start would find a file that cannot be opened with `O_DIRECT` any more.
        ImageFormat::Raw => direct_io_length(requested),
        ImageFormat::Qcow2 => requested.checked_next_multiple_of(SECTOR).unwrap_or(requested),
    };
    if size < current_size {
        let path = context.mount_path(&info.export).image(&info.name);
        return Err(Error::WouldShrink { path, current_size, requested });
    }
    Ok(size)
}
