//! Where a share is mounted. No I/O: [`crate::host::paths`] follows the links on the way there.

use std::path::{Path, PathBuf};

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use crate::pure::connection::{Export, ImageName};

/// Where an export is mounted: `<base>/<md5 of the export>`, the path Nova and Cinder have always used, so that a
/// host can be upgraded in place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MountPath(PathBuf);

impl MountPath {
    /// The mount path of an export below the configured base.
    #[must_use]
    pub fn new(base: &Path, export: &Export) -> Self {
        Self(base.join(md5_hex(export.as_str().as_bytes())))
    }

    /// The mount point `path` as a mount path, if some export could have it below `base`.
    pub(crate) fn from_mount_point(base: &Path, path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let is_digest = name.len() == 32 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (is_digest && path.parent() == Some(base)).then(|| Self(path.to_owned()))
    }

    /// The path itself.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// The path under which a guest's hypervisor opens an image.
    #[must_use]
    pub fn image(&self, name: &ImageName) -> PathBuf {
        self.0.join(name.as_str())
    }
}

impl std::fmt::Display for MountPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.display().fmt(f)
    }
}

/// A digest as it stands in file names.
pub(crate) fn md5_hex(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_path_matches_nova_and_cinder() {
        let base = Path::new("/var/lib/nova/mnt");
        for text in ["quobyte-host/openstack-volumes", "quobyte://quobyte-host/openstack-volumes/"] {
            let path = MountPath::new(base, &Export::parse(text).unwrap());
            assert_eq!(path.as_path(), Path::new("/var/lib/nova/mnt/93ebb11c53e18e5d2fa3ca60f647e18c"));
        }
    }
}
