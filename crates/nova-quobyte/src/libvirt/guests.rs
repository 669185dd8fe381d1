//! Which domains use a share: the driver's question before it lets one go.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use quobyte_volume::driver::{GuestDisk, GuestUse, Guests};
use quobyte_volume::mount::MountPath;
use roxmltree::{Document, Node};
use virt::domain::Domain;
use virt::sys;

use super::{DomainDisk, Hypervisor, raw};

/// The domains of one libvirt, which is asked only when the driver asks.
pub(crate) struct LibvirtGuests {
    uri: String,
}

impl LibvirtGuests {
    pub(crate) fn new(uri: String) -> Self {
        Self { uri }
    }
}

/// How long libvirt may take to tell. It is asked while a share is held.
const ANSWER: Duration = Duration::from_secs(10);

impl Guests for LibvirtGuests {
    fn using(&self, at: &MountPath) -> Result<Vec<GuestUse>, Box<dyn Error + Send + Sync>> {
        let (uri, at) = (self.uri.clone(), at.clone());
        let (tell, told) = mpsc::channel();
        // A libvirt that never answers keeps its thread, but not its caller.
        std::thread::spawn(move || tell.send(ask(&uri, &at)));
        told.recv_timeout(ANSWER).map_err(|_| format!("libvirt did not answer in {} s", ANSWER.as_secs()))?
    }
}

fn ask(uri: &str, at: &MountPath) -> Result<Vec<GuestUse>, Box<dyn Error + Send + Sync>> {
    let hypervisor = Hypervisor::open(uri)?;
    let mut uses = Vec::new();
    for domain in hypervisor.connection.list_all_domains(0)? {
        let (Some(name), Some(instance)) = (present(domain.name())?, present(domain.uuid())?) else {
            continue;
        };
        for xml in descriptions(&domain)? {
            for (path, disk) in paths_on(&xml, at)? {
                let found = GuestUse { instance: instance.into(), name: name.clone(), path, disk };
                if !uses.contains(&found) {
                    uses.push(found);
                }
            }
        }
    }
    Ok(uses)
}

/// Every description of a domain: as it runs, as it will start, and as it was saved.
fn descriptions(domain: &Domain) -> Result<Vec<String>, virt::error::Error> {
    let now = present(domain.xml_desc(0))?;
    let next = present(domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE))?;
    let saved = match present(domain.has_managed_save(0))? {
        Some(true) => present(raw::managed_save_xml(domain))?,
        _ => None,
    };
    Ok([now, next, saved].into_iter().flatten().collect())
}

/// A domain that is gone since it was listed uses nothing.
fn present<T>(answer: Result<T, virt::error::Error>) -> Result<Option<T>, virt::error::Error> {
    match answer {
        Err(error) if error.code().is(virt::error::ErrorNumber::NoDomain) => Ok(None),
        answer => answer.map(Some),
    }
}

/// Every path at or below `at` that the description mentions, wherever it stands: a disk, one of its backing files, a
/// file system, a kernel. A path that is spelt otherwise is told as `at` spells it.
fn paths_on(xml: &str, at: &MountPath) -> Result<Vec<(PathBuf, Option<GuestDisk>)>, roxmltree::Error> {
    let document = Document::parse(xml)?;
    let disks = DomainDisk::all_of(xml)?;
    let mut paths = Vec::new();
    for node in document.descendants().filter(Node::is_element) {
        let values = node.attributes().map(|attribute| attribute.value()).chain(node.text());
        for path in values.filter_map(|value| on_mount(Path::new(value), at)) {
            let is_disk =
                node.has_tag_name("source") && node.parent().is_some_and(|disk| disk.has_tag_name("disk"));
            let of = |disk: &&DomainDisk| {
                disk.source.as_deref().and_then(|source| on_mount(source, at)).as_ref() == Some(&path)
            };
            let disk = disks.iter().find(of).filter(|_| is_disk);
            let disk = disk.map(|disk| GuestDisk { volume: disk.volume(), format: disk.format });
            paths.push((path, disk));
        }
    }
    Ok(paths)
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
    use quobyte_volume::connection::{Export, ImageFormat};

    use super::*;

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
        let disk = GuestDisk { volume, format: ImageFormat::Qcow2 };
        let expected = [("vmlinuz", None), ("a.snap", Some(disk)), ("a", None), ("", None)];
        let below = |name: &str| at.as_path().components().chain(Path::new(name).components()).collect();
        let expected: Vec<(PathBuf, _)> = expected.map(|(name, disk)| (below(name), disk)).into();
        assert_eq!(paths_on(&xml, &at).unwrap(), expected);
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
