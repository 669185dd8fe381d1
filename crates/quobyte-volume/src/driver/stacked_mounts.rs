//! What the mount table shows of a mount point beyond the mount on top.

use std::path::{Path, PathBuf};

use super::error::Error;
use crate::host::Host;
use crate::pure::kernel_mount::Mount;
use crate::pure::mount_path::MountPath;
use crate::pure::record::ShareRecord;

/// The mount points directly below `base`, each as often as something is mounted there.
pub(super) fn mounts_below(host: &dyn Host, base: &Path) -> Result<Vec<PathBuf>, Error> {
    host.mounts_below(base).map_err(|source| Error::MountsUnlisted { path: base.to_owned(), source })
}

/// How many mounts lie on each other at `at`.
pub(super) fn count_stacked(host: &dyn Host, at: &MountPath) -> Result<usize, Error> {
    let base = at.as_path().parent().unwrap_or_else(|| at.as_path());
    Ok(mounts_below(host, base)?.iter().filter(|path| *path == at.as_path()).count())
}

/// Whether the record's mount is gone and `mount` in its place: made by somebody else, or by a call that was killed
/// before it recorded it. A mount that merely covers the record's own has not replaced it.
pub(super) fn is_replaced(host: &dyn Host, record: &ShareRecord, mount: &Mount) -> Result<bool, Error> {
    match &record.mount {
        None => Ok(true),
        Some(known) => Ok(!known.is_same(mount) && count_stacked(host, &record.mount_path)? == 1),
    }
}
