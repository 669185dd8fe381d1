//! Where paths lead: the way to a mount point without links, and the paths in a guest's description that lie on a share.
//!
//! Links on the way to a mount point are followed. Nothing at or below a mount point is touched: its client may hang.

mod walk;

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use self::walk::Walker;
use crate::pure::image::{MAX_LAYERS, named_paths};
use crate::pure::mount_path::{MountPath, md5_hex};

impl MountPath {
    /// The key under which locks and records of this mount point are filed: one plain file name, the same however the
    /// way to the mount point is spelt.
    pub(crate) fn key(&self) -> String {
        Self::key_of(&self.resolved())
    }

    /// The same of a mount point that is resolved already.
    pub(crate) fn key_of(resolved: &Path) -> String {
        md5_hex(resolved.as_os_str().as_bytes())
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

    /// The mount path below `base` of the share that `file` is on, if it can be on one, and the file's name there. Links
    /// on the way are followed. Nothing on the share is touched.
    pub(crate) fn with_file(base: &Path, file: &Path) -> Option<(Self, OsString)> {
        let resolved = Walker::default().resolve(file);
        let mount_point = resolved.parent()?;
        let at = Self::from_mount_point(base, &base.join(mount_point.file_name()?))?;
        (at.resolved() == mount_point).then_some((at, resolved.file_name()?.to_owned()))
    }
}

/// Tells which paths lie on which share.
#[derive(Debug)]
pub(crate) struct ShareLocator<'a> {
    /// The shares, and where each is mounted without links on the way.
    shares: Vec<(&'a MountPath, PathBuf)>,
    walker: Walker,
}

impl<'a> ShareLocator<'a> {
    pub(crate) fn new(shares: &'a [MountPath]) -> Self {
        let shares = shares.iter().map(|at| (at, at.resolved())).collect();
        Self { shares, walker: Walker::default() }
    }

    /// The path spelt as one on its share, if it is on a share. Nothing on a share is touched: it may hang.
    pub(crate) fn locate(&mut self, path: &Path) -> Option<PathBuf> {
        if !path.is_absolute() {
            return None;
        }
        let is_plain = !path.components().any(|part| part == Component::ParentDir);
        if is_plain && self.shares.iter().any(|(at, _)| path.starts_with(at.as_path())) {
            return Some(path.components().collect());
        }
        let resolved = self.walker.resolve(path);
        self.shares.iter().find_map(|(at, resolved_at)| {
            let below = resolved.strip_prefix(resolved_at).ok()?;
            Some(at.as_path().components().chain(below.components()).collect())
        })
    }

    /// The files below the overlay `top`, as far as they are files of this machine that may be read, and the first that
    /// is on a share.
    pub(crate) fn local_backing_files(&mut self, top: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut file = top.to_owned();
        for _ in 0..MAX_LAYERS {
            if self.locate(&file).is_some() {
                break;
            }
            let Some(content) = self.walker.open(&file).map(File::from) else { break };
            let directory = file.parent().unwrap_or(Path::new("/")).to_owned();
            let named = named_paths(&content);
            found.extend(named.data.map(|data| directory.join(data)));
            let Some(below) = named.backing else { break };
            file = directory.join(below);
            found.push(file.clone());
        }
        found
    }

    /// All shares.
    pub(crate) fn shares(&self) -> Vec<MountPath> {
        self.shares.iter().map(|(at, _)| (*at).clone()).collect()
    }

    /// The shares whose directories' names occur in `text`.
    pub(crate) fn mentioned(&self, text: &str) -> Vec<MountPath> {
        let is_mentioned = |at: &&MountPath| {
            at.as_path().file_name().and_then(|name| name.to_str()).is_some_and(|name| text.contains(name))
        };
        self.shares.iter().map(|(at, _)| *at).filter(is_mentioned).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::connection::Export;

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
    fn every_spelling_of_a_path_is_located() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(directory.path(), &link).unwrap();
        let (real, linked) = (at(directory.path()), at(&link));
        let image_link = directory.path().join("disk.img");
        std::os::unix::fs::symlink(real.as_path().join("a"), &image_link).unwrap();
        let locate = |path: &Path, at: &MountPath| ShareLocator::new(std::slice::from_ref(at)).locate(path);
        let above =
            directory.path().join("x/..").join(real.as_path().strip_prefix(directory.path()).unwrap());
        for spelling in
            [linked.as_path().join("a"), image_link, above.join("b/../a"), real.as_path().join("./a")]
        {
            assert_eq!(locate(&spelling, &real), Some(real.as_path().join("a")), "{spelling:?}");
        }
        assert_eq!(locate(&real.as_path().join("a"), &linked), Some(linked.as_path().join("a")));
        for other in
            [at(Path::new("/elsewhere")).as_path().join("a"), "a".into(), real.as_path().join("../a")]
        {
            assert_eq!(locate(&other, &real), None, "{other:?}");
        }
    }

    #[test]
    fn local_overlay_leads_to_the_share() {
        let directory = tempfile::tempdir().unwrap();
        let at = at(directory.path());
        let overlay = |name: &str, backing: &str| {
            let mut bytes = b"QFI\xfb\0\0\0\x03".to_vec();
            bytes.extend(20_u64.to_be_bytes());
            bytes.extend(u32::try_from(backing.len()).unwrap().to_be_bytes());
            bytes.extend(backing.as_bytes());
            let path = directory.path().join(name);
            std::io::Write::write_all(&mut File::create(&path).unwrap(), &bytes).unwrap();
            path
        };
        let base = at.as_path().join("base");
        overlay("middle", base.to_str().unwrap());
        let top = overlay("top", "middle");
        let found = ShareLocator::new(std::slice::from_ref(&at)).local_backing_files(&top);
        assert_eq!(found, [directory.path().join("middle"), base]);
    }
}
