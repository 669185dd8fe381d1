//! The kernel's connection to a FUSE client, through the control file system: fuse(4), `/sys/fs/fuse/connections`.
//! Nothing here waits for the client. Whoever made the mount may do it.

use std::io;
use std::path::PathBuf;

use crate::pure::kernel_mount::{Device, Mount};

/// Requests that the kernel lets be under way in the background: as many as a guest's virtio-blk queue holds.
///
/// All asynchronous direct I/O of a mount counts against the client's own limit, which libfuse leaves at 12. Whoever
/// submits more waits, which in QEMU is the guest's event loop.
const MAX_BACKGROUND: u32 = 256;

/// Ends the connection: whoever waits for the client gets an error.
#[expect(clippy::disallowed_methods, reason = "the kernel's control file system, not a file")]
pub(super) fn abort(mount: &Mount) -> io::Result<()> {
    std::fs::write(control(mount, "abort"), "1")
}

/// Raises the limit of background requests to [`MAX_BACKGROUND`], or to what the kernel permits ordinary users where that is
/// less; a higher one stays. Returns the client's own and the new one where it was raised.
#[expect(clippy::disallowed_methods, reason = "the kernel's control file system, not a file")]
pub(super) fn raise_max_background(mount: &Mount) -> io::Result<Option<(u32, u32)>> {
    let file = control(mount, "max_background");
    let text = std::fs::read_to_string(&file)?;
    let limit = text.trim().parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let permitted = std::fs::read_to_string("/sys/module/fuse/parameters/max_user_bgreq");
    let permitted = permitted.ok().and_then(|text| text.trim().parse().ok()).filter(|&limit| limit > 0);
    let wanted = MAX_BACKGROUND.min(permitted.unwrap_or(MAX_BACKGROUND));
    if limit >= wanted {
        return Ok(None);
    }
    std::fs::write(file, wanted.to_string())?;
    Ok(Some((limit, wanted)))
}

/// Whether the kernel has ended the connection to the client of that device; `None` where it does not tell.
///
/// As it ends a connection, because the client is gone or somebody has aborted it, the kernel lifts the limit of background
/// requests. No client can: it asks for 16 bits' worth at most.
pub(super) fn has_ended(device: Device) -> Option<bool> {
    let limit: u32 =
        std::fs::read_to_string(control_of(device, "max_background")).ok()?.trim().parse().ok()?;
    Some(limit == u32::MAX)
}

fn control(mount: &Mount, name: &str) -> PathBuf {
    control_of(mount.device, name)
}

fn control_of(device: Device, name: &str) -> PathBuf {
    format!("/sys/fs/fuse/connections/{}/{name}", device.minor).into()
}
