//! Where a share is mounted, and the key under which everything about that place is filed.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use crate::connection::{Export, ImageName};

/// Where an export is mounted: `<base>/<md5 of the export>`, the path Nova and Cinder have always used, so that a
/// host can be upgraded in place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MountPath(PathBuf);

impl MountPath {
    /// The mount path of an export below the configured base.
    #[must_use]
    pub fn new(base: &Path, export: &Export) -> Self {
        Self(base.join(hex(&Md5::digest(export.as_str()))))
    }

    /// The mount path that `path` is, if it is one that some export has below `base`.
    pub(crate) fn recognise(base: &Path, path: &Path) -> Option<Self> {
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

    /// The key under which locks and records of this mount point are filed: one plain file name, the same however the
    /// way to the mount point is spelt.
    pub(crate) fn key(&self) -> String {
        hex(&Md5::digest(self.place().as_os_str().as_bytes()))
    }

    /// The mount point without symbolic links on the way, made or not yet made. The mount itself is not touched.
    #[must_use]
    pub fn place(&self) -> PathBuf {
        let mut ancestors = self.0.ancestors().skip(1);
        let there = ancestors.find_map(|above| Some((above, above.canonicalize().ok()?)));
        match there {
            Some((above, canonical)) => canonical.join(self.0.strip_prefix(above).unwrap_or(&self.0)),
            None => self.0.clone(),
        }
    }
}

impl std::fmt::Display for MountPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.display().fmt(f)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_a_mount_point_is_spelt_it_has_one_key() {
        let directory = tempfile::tempdir().unwrap();
        let real = directory.path().join("real");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let export = Export::parse("reg/vol").unwrap();
        let key = |base: &Path| MountPath::new(base, &export).key();
        let before = key(&real.join("base"));
        rustix::fs::mkdir(&real, rustix::fs::Mode::RWXU).unwrap();
        assert_eq!(key(&real.join("base")), before, "making the base does not change it");
        assert_eq!(key(&link.join("base")), before);
        assert_eq!(key(&directory.path().join("real/../link/base")), before);
        assert_ne!(key(&real), before);
    }

    #[test]
    fn mount_paths_are_those_of_nova_and_cinder() {
        let base = Path::new("/var/lib/nova/mnt");
        for text in ["quobyte-host/openstack-volumes", "quobyte://quobyte-host/openstack-volumes/"] {
            let path = MountPath::new(base, &Export::parse(text).unwrap());
            assert_eq!(path.as_path(), Path::new("/var/lib/nova/mnt/93ebb11c53e18e5d2fa3ca60f647e18c"));
        }
    }
}
