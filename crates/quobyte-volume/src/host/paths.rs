//! Where paths lead: the way to a mount point without links, and the paths in a guest's description that lie on a share.
//!
//! Links on the way to a mount point are followed. Nothing at or below a mount point is touched: its client may hang.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::pure::connection::InstanceId;
use crate::pure::domain::{self, DomainError};
use crate::pure::guests::GuestUse;
use crate::pure::mount_path::{MountPath, md5_hex};

impl MountPath {
    /// The key under which locks and records of this mount point are filed: one plain file name, the same however the
    /// way to the mount point is spelt.
    pub(crate) fn key(&self) -> String {
        md5_hex(self.resolved().as_os_str().as_bytes())
    }

    /// The mount point without symbolic links on the way, made or not yet made. The mount itself is not touched.
    #[must_use]
    pub fn resolved(&self) -> PathBuf {
        let path = self.as_path();
        let mut ancestors = path.ancestors().skip(1);
        let there = ancestors.find_map(|above| Some((above, above.canonicalize().ok()?)));
        match there {
            Some((above, canonical)) => canonical.join(path.strip_prefix(above).unwrap_or(path)),
            None => path.to_owned(),
        }
    }
}

/// Every use of a path at or below one of `shares` that the descriptions of one guest mention: as it runs, as it will
/// start, as it was saved. A path that a description spells by way of a link is returned as its share's mount path spells
/// it.
///
/// # Errors
/// [`DomainError`] when a description is not XML.
pub fn guest_uses(
    instance: InstanceId,
    name: &str,
    descriptions: &[String],
    shares: &[MountPath],
) -> Result<Vec<GuestUse>, DomainError> {
    let locate = |path: &Path| shares.iter().find_map(|at| path_on_share(path, at));
    domain::uses(instance, name, descriptions, &locate)
}

/// The path spelt as one on the share at `at`, if it is on that share. Nothing on the share is touched: it may hang.
fn path_on_share(path: &Path, at: &MountPath) -> Option<PathBuf> {
    let name = at.as_path().file_name()?;
    let mount_point = path.ancestors().find(|ancestor| ancestor.file_name() == Some(name))?;
    let is_same =
        mount_point == at.as_path() || mount_point.parent()?.canonicalize().ok()?.join(name) == at.resolved();
    let below = path.strip_prefix(mount_point).ok()?;
    let on_share =
        if below.as_os_str().is_empty() { at.as_path().to_owned() } else { at.as_path().join(below) };
    is_same.then_some(on_share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::connection::{Export, ImageFormat};
    use crate::pure::guests::GuestDisk;

    fn at(base: &Path) -> MountPath {
        MountPath::new(base, &Export::parse("reg/vol").unwrap())
    }

    #[test]
    fn mount_path_key_ignores_spelling() {
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
    fn paths_on_mount_are_found_anywhere_in_xml() {
        let at = at(Path::new("/mnt"));
        let q = at.as_path().display();
        let xml = format!(
            "<domain><os><kernel>{q}/vmlinuz</kernel></os><devices>\
             <disk type='file'><driver name='qemu' type='qcow2'/><source file='{q}/a.snap'/>\
             <backingStore type='file'><format type='raw'/><source file='{q}/a'/><backingStore/></backingStore>\
             <target dev='vda'/><serial>8d2b8f5e-6f0a-4d9c-9b1e-0d7f6c5b4a39</serial></disk>\
             <disk type='file'><source file='{q}q/b'/><target dev='vdb'/></disk>\
             <filesystem type='mount'><source dir='{q}'/></filesystem></devices></domain>"
        );
        let volume = "8d2b8f5e-6f0a-4d9c-9b1e-0d7f6c5b4a39".parse().ok();
        let disk = GuestDisk { target: "vda".to_owned(), volume, format: ImageFormat::Qcow2 };
        let expected = [("vmlinuz", None), ("a.snap", Some(disk)), ("a", None), ("", None)];
        let below = |name: &str| at.as_path().components().chain(Path::new(name).components()).collect();
        let expected: Vec<(PathBuf, _)> = expected.map(|(name, disk)| (below(name), disk)).into();
        let uses = guest_uses(InstanceId::from(uuid::Uuid::nil()), "vm", &[xml], &[at]).unwrap();
        assert_eq!(uses.into_iter().map(|found| (found.path, found.disk)).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn symlinked_path_matches_mount_point() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(directory.path(), &link).unwrap();
        let (real, linked) = (at(directory.path()), at(&link));
        assert_eq!(path_on_share(&linked.as_path().join("a"), &real), Some(real.as_path().join("a")));
        assert_eq!(path_on_share(&real.as_path().join("a"), &linked), Some(linked.as_path().join("a")));
        assert_eq!(path_on_share(&at(Path::new("/elsewhere")).as_path().join("a"), &real), None);
    }
}
