//! What a libvirt domain's description says of files: its disks with all their layers, and whatever else of its devices
//! and its boot loader is kept in a file. No I/O: [`crate::host::guests`] has the descriptions, and knows where paths
//! lead.
//!
//! Only the elements `devices` and `os` name files. All else is somebody's text: a tenant chooses the names and titles of
//! servers, and a kernel's command line.

mod disks;
mod trial;

use std::path::PathBuf;

use roxmltree::{Document, Node};

use self::disks::child;
pub use self::disks::{DomainDisk, DomainError};
pub use self::trial::with_trial_disk;
use super::connection::{ImageFormat, VolumeId};

/// What one description of a domain says of files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DescribedFiles {
    /// Its disks.
    pub disks: Vec<DescribedDisk>,
    /// Whether OpenStack Nova has written the description.
    pub is_novas: bool,
    /// All else that is kept in files or directories: kernels, firmware, file systems, sockets.
    pub others: Vec<PathBuf>,
}

/// A disk, or the copy that a block job makes of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedDisk {
    /// Its name in the domain.
    pub target: String,
    /// The ids of volumes that it carries.
    pub volumes: Vec<VolumeId>,
    /// What libvirt takes its file for; raw where it says nothing.
    pub format: ImageFormat,
    /// Whether other domains may have it at the same time.
    pub shareable: bool,
    /// Whether it is the copy that a block job is making of the disk.
    pub is_copy: bool,
    /// Its file, and what the description says lies below it; nothing for a disk that is kept in no file.
    pub layers: Vec<DescribedLayer>,
    /// Whether the description leaves open what lies below the last layer, which is the first one's own image to say.
    pub is_open_ended: bool,
}

/// One file of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedLayer {
    /// The file.
    pub source: DescribedSource,
    /// Whether the file can name another one below it.
    pub may_have_backing: bool,
}

/// Where a file is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DescribedSource {
    /// At that path.
    Path(PathBuf),
    /// Where that volume of that storage pool of libvirt's is.
    PoolVolume {
        /// The pool's name.
        pool: String,
        /// The volume's name in it.
        volume: String,
    },
}

/// Elements whose text is no path, whatever it looks like.
const TEXT_ELEMENTS: [&str; 6] = ["cmdline", "initarg", "serial", "vendor", "product", "wwn"];

/// How the namespace begins in which Nova describes an instance, whatever its version.
const NOVA_NAMESPACE: &str = "http://openstack.org/xmlns/libvirt/nova/";

/// Reads one description.
///
/// # Errors
/// [`DomainError`] when it is not XML.
pub fn described_files(xml: &str) -> Result<DescribedFiles, DomainError> {
    let document = Document::parse(xml)?;
    let metadata = child(document.root_element(), "metadata");
    let is_novas = metadata.is_some_and(is_written_by_nova);
    let mut files = DescribedFiles { is_novas, ..DescribedFiles::default() };
    for part in ["os", "devices"] {
        let Some(part) = child(document.root_element(), part) else { continue };
        for element in part.children().filter(Node::is_element) {
            if element.has_tag_name("disk") {
                files.disks.extend(described_disks(element, xml));
            } else {
                files.others.extend(paths(element));
            }
        }
    }
    Ok(files)
}

/// Whether Nova has written the description with that metadata.
pub(super) fn is_written_by_nova(metadata: Node<'_, '_>) -> bool {
    let mut namespaces = metadata.children().filter_map(|element| element.tag_name().namespace());
    namespaces.any(|namespace| namespace.starts_with(NOVA_NAMESPACE))
}

/// The directory of a storage pool, by its description; `None` for one that is kept in none.
pub(crate) fn pool_directory(xml: &str) -> Option<PathBuf> {
    let document = Document::parse(xml).ok()?;
    let path = child(child(document.root_element(), "target")?, "path")?;
    path.text().map(PathBuf::from)
}

/// The disk that an element describes, and the copy of it that a block job is making.
fn described_disks(disk: Node<'_, '_>, xml: &str) -> Vec<DescribedDisk> {
    let own = DomainDisk::parse(disk, xml);
    let format = own.as_ref().map_or(ImageFormat::Raw, |disk| disk.format);
    let driver_type = child(disk, "driver").and_then(|driver| driver.attribute("type"));
    let shareable = own.as_ref().is_some_and(|disk| disk.shareable);
    let (target, volumes) = own.map(|disk| (disk.target.clone(), disk.volumes())).unwrap_or_default();
    let mut disks = Vec::new();
    let mut add = |node, is_copy, format, driver_type: Option<&str>| {
        let (layers, is_open_ended) = layers(node, driver_type);
        if !layers.is_empty() {
            let (target, volumes) = (target.clone(), volumes.clone());
            disks.push(DescribedDisk { target, volumes, format, shareable, is_copy, layers, is_open_ended });
        }
    };
    add(disk, false, format, driver_type);
    if let Some(mirror) = child(disk, "mirror") {
        let driver_type = child(mirror, "format").and_then(|format| format.attribute("type"));
        let format = driver_type.and_then(|format| format.parse().ok()).unwrap_or(ImageFormat::Raw);
        add(mirror, true, format, driver_type);
    }
    disks
}

/// The layers of a disk, the topmost first, and whether the description leaves open what lies below the last one.
fn layers(disk: Node<'_, '_>, format: Option<&str>) -> (Vec<DescribedLayer>, bool) {
    let mut layers = Vec::new();
    let mut format = format.map(str::to_owned);
    let mut node = disk;
    loop {
        let may_have_backing = format.as_deref().is_some_and(|format| format != "raw");
        let Some(file) = child(node, "source").and_then(source) else { return (layers, false) };
        layers.push(DescribedLayer { source: file, may_have_backing });
        // An external data file holds what the layer above it describes.
        let data = child(node, "source").and_then(|source| child(source, "dataStore"));
        if let Some(file) = data.and_then(|data| child(data, "source")).and_then(source) {
            layers.push(DescribedLayer { source: file, may_have_backing: false });
        }
        match child(node, "backingStore") {
            None => return (layers, may_have_backing),
            Some(below) => {
                format =
                    child(below, "format").and_then(|format| format.attribute("type")).map(str::to_owned);
                node = below;
            }
        }
    }
}

/// The file that a `source` element names.
fn source(source: Node<'_, '_>) -> Option<DescribedSource> {
    if let (Some(pool), Some(volume)) = (source.attribute("pool"), source.attribute("volume")) {
        return Some(DescribedSource::PoolVolume { pool: pool.to_owned(), volume: volume.to_owned() });
    }
    ["file", "dev", "dir"]
        .iter()
        .find_map(|name| source.attribute(*name))
        .map(|path| DescribedSource::Path(path.into()))
}

/// Every path that an element and those in it mention.
fn paths<'a>(element: Node<'a, '_>) -> impl Iterator<Item = PathBuf> + 'a {
    element.descendants().filter(Node::is_element).flat_map(|node| {
        let text = node.text().filter(|_| !TEXT_ELEMENTS.contains(&node.tag_name().name()));
        let values = node.attributes().map(|attribute| attribute.value()).chain(text);
        values.map(str::trim).filter(|value| value.starts_with('/')).map(PathBuf::from).collect::<Vec<_>>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> DescribedSource {
        DescribedSource::Path(text.into())
    }

    fn files(xml: &str) -> DescribedFiles {
        described_files(xml).unwrap()
    }

    fn disk_layers(disk: &DescribedDisk) -> Vec<DescribedSource> {
        disk.layers.iter().map(|layer| layer.source.clone()).collect()
    }

    #[test]
    fn disk_has_every_described_layer() {
        let found = files(
            "<domain><devices><disk type='file'><driver type='qcow2'/><source file='/m/a.snap'/>\
             <backingStore type='file'><format type='raw'/><source file='/m/a'/><backingStore/></backingStore>\
             <target dev='vda'/><shareable/></disk></devices></domain>",
        );
        let disk = &found.disks[0];
        assert_eq!((disk.target.as_str(), disk.format, disk.shareable), ("vda", ImageFormat::Qcow2, true));
        assert_eq!(disk_layers(disk), [path("/m/a.snap"), path("/m/a")]);
        assert!(!disk.is_open_ended && found.others.is_empty());
    }

    #[test]
    fn chain_without_end_is_open_ended() {
        let of = |format: &str, below: &str| {
            let xml = format!(
                "<domain><devices><disk><driver type='{format}'/><source file='/l/o'/>{below}\
                 <target dev='vda'/></disk></devices></domain>"
            );
            files(&xml).disks[0].is_open_ended
        };
        let qcow2_below =
            "<backingStore type='file'><format type='qcow2'/><source file='/l/p'/></backingStore>";
        let raw_below = "<backingStore type='file'><format type='raw'/><source file='/l/p'/></backingStore>";
        assert!(of("qcow2", "") && of("qcow2", qcow2_below));
        assert!(!of("raw", "") && !of("qcow2", "<backingStore/>") && !of("qcow2", raw_below));
    }

    #[test]
    fn pool_volumes_and_mirrors_are_sources() {
        let found = files(
            "<domain><devices><disk type='volume'><source pool='p' volume='v'/><target dev='vda'/>\
             <mirror type='file' job='copy'><format type='raw'/><source file='/m/copy'/></mirror></disk>\
             </devices></domain>",
        );
        let pool = DescribedSource::PoolVolume { pool: "p".to_owned(), volume: "v".to_owned() };
        assert_eq!(disk_layers(&found.disks[0]), [pool]);
        let copy = &found.disks[1];
        assert_eq!(
            (copy.target.as_str(), copy.is_copy, disk_layers(copy)),
            ("vda", true, vec![path("/m/copy")])
        );
    }

    #[test]
    fn only_devices_and_os_name_files() {
        let found = files(
            "<domain><name>/m/n</name><title>/m/t</title><metadata><x a='/m/x'>/m/y</x></metadata>\
             <os><kernel>/m/kernel</kernel><cmdline>/m/c</cmdline><nvram template='/m/t'>/m/nvram</nvram></os>\
             <devices><emulator>/usr/bin/qemu</emulator><filesystem><source dir='/m/fs'/></filesystem>\
             <disk type='network'><source protocol='rbd' name='/m/i'/><target dev='vdb'/><serial>/m/s</serial></disk>\
             </devices></domain>",
        );
        let others: Vec<_> = found.others.iter().filter_map(|path| path.to_str()).collect();
        assert_eq!(others, ["/m/kernel", "/m/t", "/m/nvram", "/usr/bin/qemu", "/m/fs"]);
        assert!(found.disks.is_empty());
    }

    #[test]
    fn nova_is_known_by_its_metadata() {
        let is_novas =
            |metadata: &str| files(&format!("<domain><metadata>{metadata}</metadata></domain>")).is_novas;
        assert!(is_novas("<nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'/>"));
        assert!(!is_novas("<x xmlns='http://example.com/'>http://openstack.org/xmlns/libvirt/nova/1.1</x>"));
    }

    #[test]
    fn description_that_is_no_xml_is_an_error() {
        assert!(described_files("<domain").is_err());
    }
}
