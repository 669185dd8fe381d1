//! What a libvirt domain's description says of images: its disks, and the paths on a share that it uses. No libvirt is
//! asked here; whoever has the description may read it so.

mod disks;

use std::path::{Path, PathBuf};

use roxmltree::{Document, Node};

pub use self::disks::DomainDisk;
use crate::connection::InstanceId;
use crate::driver::{GuestDisk, GuestUse};
use crate::mount_path::MountPath;

/// A description that is not XML, so libvirt has not written it.
#[derive(Debug, thiserror::Error)]
#[error("a domain's description cannot be read")]
pub struct DomainError(#[from] roxmltree::Error);

/// Every use of a path at or below one of `places` that the descriptions of one guest mention: as it runs, as it will
/// start, as it was saved.
///
/// # Errors
/// [`DomainError`] when one is not XML.
pub fn uses(
    instance: InstanceId,
    name: &str,
    descriptions: &[String],
    places: &[MountPath],
) -> Result<Vec<GuestUse>, DomainError> {
    let mut uses = Vec::new();
    for xml in descriptions {
        for (path, disk) in paths_on(xml, places)? {
            let found = GuestUse { instance, name: name.to_owned(), path, disk };
            if !uses.contains(&found) {
                uses.push(found);
            }
        }
    }
    Ok(uses)
}

/// Every path at or below one of `places` that the description mentions, wherever it stands: a disk, one of its backing
/// files, a file system, a kernel. A path that is spelt otherwise is told as its place is spelt.
fn paths_on(xml: &str, places: &[MountPath]) -> Result<Vec<(PathBuf, Option<GuestDisk>)>, DomainError> {
    let document = Document::parse(xml)?;
    let disks = DomainDisk::all_of(xml)?;
    let mut paths = Vec::new();
    for node in document.descendants().filter(Node::is_element) {
        let values = node.attributes().map(|attribute| attribute.value()).chain(node.text());
        for path in values.filter_map(|value| on_any_mount(Path::new(value), places)) {
            let is_disk =
                node.has_tag_name("source") && node.parent().is_some_and(|disk| disk.has_tag_name("disk"));
            let of = |disk: &&DomainDisk| {
                disk.source.as_deref().and_then(|source| on_any_mount(source, places)).as_ref() == Some(&path)
            };
            let disk = disks.iter().find(of).filter(|_| is_disk);
            let disk = disk.map(|disk| GuestDisk {
                target: disk.target.clone(),
                volume: disk.volume(),
                format: disk.format,
            });
            paths.push((path, disk));
        }
    }
    Ok(paths)
}

fn on_any_mount(path: &Path, places: &[MountPath]) -> Option<PathBuf> {
    places.iter().find_map(|at| on_mount(path, at))
}

/// The path as it is below `at`, if it is. Nothing below the mount point is looked at: it may hang.
fn on_mount(path: &Path, at: &MountPath) -> Option<PathBuf> {
    let name = at.as_path().file_name()?;
    let mount_point = path.ancestors().find(|ancestor| ancestor.file_name() == Some(name))?;
    let is_same =
        mount_point == at.as_path() || mount_point.parent()?.canonicalize().ok()?.join(name) == at.place();
    let below = path.strip_prefix(mount_point).ok()?;
    let told = if below.as_os_str().is_empty() { at.as_path().to_owned() } else { at.as_path().join(below) };
    is_same.then_some(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::{Export, ImageFormat};

    fn at(base: &Path) -> MountPath {
        MountPath::new(base, &Export::parse("reg/vol").unwrap())
    }

    #[test]
    fn paths_are_found_wherever_they_stand_and_others_are_not() {
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
        assert_eq!(paths_on(&xml, &[at]).unwrap(), expected);
    }

    #[test]
    fn a_path_by_way_of_a_link_is_the_same_path() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(directory.path(), &link).unwrap();
        let (real, linked) = (at(directory.path()), at(&link));
        assert_eq!(on_mount(&linked.as_path().join("a"), &real), Some(real.as_path().join("a")));
        assert_eq!(on_mount(&real.as_path().join("a"), &linked), Some(linked.as_path().join("a")));
        assert_eq!(on_mount(&at(Path::new("/elsewhere")).as_path().join("a"), &real), None);
    }
}
