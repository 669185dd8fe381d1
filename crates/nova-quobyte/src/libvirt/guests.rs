//! Which domains use a share: the driver's question before it lets one go.

use std::error::Error;
use std::path::{Path, PathBuf};

use quobyte_volume::connection::ImageFormat;
use quobyte_volume::driver::{GuestUse, Guests};
use quobyte_volume::mount::MountPath;
use roxmltree::{Document, Node};
use virt::domain::Domain;
use virt::sys;

use super::{Hypervisor, raw};

/// The domains of one libvirt, which is asked only when the driver asks.
pub(crate) struct LibvirtGuests {
    uri: String,
}

impl LibvirtGuests {
    pub(crate) fn new(uri: String) -> Self {
        Self { uri }
    }
}

impl Guests for LibvirtGuests {
    fn using(&self, at: &MountPath) -> Result<Vec<GuestUse>, Box<dyn Error + Send + Sync>> {
        let hypervisor = Hypervisor::open(&self.uri)?;
        let mut uses = Vec::new();
        for domain in hypervisor.connection.list_all_domains(0)? {
            let (Some(name), Some(instance)) = (present(domain.name())?, present(domain.uuid())?) else {
                continue;
            };
            for xml in descriptions(&domain)? {
                for (path, format) in paths_below(&xml, at.as_path())? {
                    let found = GuestUse { instance: instance.into(), name: name.clone(), path, format };
                    if !uses.contains(&found) {
                        uses.push(found);
                    }
                }
            }
        }
        Ok(uses)
    }
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

/// Every path at or below `directory` that the description mentions, wherever it stands: a disk, one of its backing
/// files, a file system, a kernel.
fn paths_below(xml: &str, directory: &Path) -> Result<Vec<(PathBuf, Option<ImageFormat>)>, roxmltree::Error> {
    let document = Document::parse(xml)?;
    let mut paths = Vec::new();
    for node in document.descendants().filter(Node::is_element) {
        let values = node.attributes().map(|attribute| attribute.value()).chain(node.text());
        for path in values.map(Path::new).filter(|path| path.starts_with(directory)) {
            paths.push((path.to_owned(), format(node)));
        }
    }
    Ok(paths)
}

/// The format of the layer that a `<source>` belongs to: libvirt writes a disk's in `<driver>`, a backing file's in
/// `<format>`.
fn format(source: Node<'_, '_>) -> Option<ImageFormat> {
    let declared = |node: &Node<'_, '_>| node.has_tag_name("driver") || node.has_tag_name("format");
    let layer = source.parent()?;
    ImageFormat::parse(layer.children().find(declared)?.attribute("type")?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_wherever_they_stand_and_others_are_not() {
        let xml = "<domain><os><kernel>/mnt/q/vmlinuz</kernel></os><devices>\
                   <disk type='file'><driver name='qemu' type='qcow2'/><source file='/mnt/q/a.snap'/>\
                   <backingStore type='file'><format type='raw'/><source file='/mnt/q/a'/><backingStore/></backingStore>\
                   <target dev='vda'/></disk>\
                   <disk type='file'><source file='/mnt/qq/b'/></disk>\
                   <filesystem type='mount'><source dir='/mnt/q'/></filesystem></devices></domain>";
        let found = paths_below(xml, Path::new("/mnt/q")).unwrap();
        let expected = [
            ("/mnt/q/vmlinuz", None),
            ("/mnt/q/a.snap", Some(ImageFormat::Qcow2)),
            ("/mnt/q/a", Some(ImageFormat::Raw)),
            ("/mnt/q", None),
        ];
        assert_eq!(found, expected.map(|(path, format)| (PathBuf::from(path), format)));
    }
}
