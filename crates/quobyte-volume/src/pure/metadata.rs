//! What a domain's metadata says of its volumes: an element of our own, which libvirt keeps for us in each of the domain's
//! descriptions, through saves, migrations and restarts of the host. No I/O.
//!
//! ```xml
//! <quobyte:volumes xmlns:quobyte="urn:nova-quobyte:volumes:1">
//!   <quobyte:volume target="vdb">{"driver_volume_type":"quobyte","data":{"export":…}}</quobyte:volume>
//! </quobyte:volumes>
//! ```
//!
//! A disk's path tells where a share is mounted, and of the share only a digest. This tells which share it is: each disk's
//! `connection_info`, by the disk's name, as far as connecting takes it.

use std::collections::BTreeMap;
use std::path::Path;

use quick_xml::Writer;
use quick_xml::events::BytesText;
use roxmltree::{Document, Node};
use serde_json::json;

use super::connection::{ConnectionError, ConnectionInfo, Export, ImageFormat, ImageName, InstanceId};
use super::disk::TargetDev;
use super::domain::{DomainDisk, DomainError, is_written_by_nova};
use super::mount_path::MountPath;

/// The element's namespace. Another form of the content would have another number.
pub const NAMESPACE: &str = "urn:nova-quobyte:volumes:1";
/// The prefix that the namespace is written with.
pub const PREFIX: &str = "quobyte";

/// A volume that a domain has as a disk, by its metadata.
#[derive(Debug)]
pub struct DescribedVolume {
    /// The disk's name.
    pub target: String,
    /// The volume, with the file that the disk is kept in now: a snapshot may have moved it.
    pub info: Result<ConnectionInfo, ConnectionError>,
}

/// The volumes in one description's metadata, by the name of each one's disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VolumeMetadata(BTreeMap<String, String>);

impl VolumeMetadata {
    /// Reads the element as libvirt hands it out alone, without its namespace.
    ///
    /// # Errors
    /// [`DomainError`] when it is not XML.
    pub fn parse(xml: &str) -> Result<Self, DomainError> {
        Ok(Self::read(Document::parse(xml)?.root_element()))
    }

    fn read(volumes: Node<'_, '_>) -> Self {
        let is_volume = |node: &Node<'_, '_>| node.has_tag_name("volume");
        let volume = |node: Node<'_, '_>| {
            Some((node.attribute("target")?.to_owned(), node.text().unwrap_or_default().to_owned()))
        };
        Self(volumes.children().filter(is_volume).filter_map(volume).collect())
    }

    /// Says that the disk of that name is that volume. Whether this changes anything.
    pub fn insert(&mut self, target: &TargetDev, info: &ConnectionInfo) -> bool {
        let text = connection_info(info);
        self.0.insert(target.to_string(), text.clone()).is_none_or(|before| before != text)
    }

    /// Says nothing of the disk of that name any more. Whether this changes anything.
    pub fn remove(&mut self, target: &TargetDev) -> bool {
        self.0.remove(target.as_str()).is_some()
    }

    /// The element without its namespace, which libvirt adds; `None` where there is nothing to say.
    #[must_use]
    pub fn to_xml(&self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let mut writer = Writer::new(Vec::new());
        writer
            .create_element("volumes")
            .write_inner_content(|writer| {
                for (target, info) in &self.0 {
                    writer
                        .create_element("volume")
                        .with_attribute(("target", target.as_str()))
                        .write_text_content(BytesText::new(info))?;
                }
                Ok(())
            })
            .expect("memory takes what is written");
        Some(String::from_utf8(writer.into_inner()).expect("text makes text"))
    }
}

/// The guest that a domain's description is of; `None` where it does not say.
///
/// # Errors
/// [`DomainError`] when it is not XML.
pub fn described_guest(xml: &str) -> Result<Option<InstanceId>, DomainError> {
    let document = Document::parse(xml)?;
    let uuid = document.root_element().children().find(|node| node.has_tag_name("uuid"));
    Ok(uuid.and_then(|uuid| uuid.text()?.trim().parse().ok()))
}

/// The volumes that the domain described by `xml` has as disks, each on its share's `mount_path`, by its metadata. None of a
/// domain that Nova has written: Nova connects the volumes of its instances.
///
/// # Errors
/// [`DomainError`] when it is not XML.
pub fn described_volumes(
    xml: &str,
    mount_path: impl Fn(&Export) -> MountPath,
) -> Result<Vec<DescribedVolume>, DomainError> {
    let document = Document::parse(xml)?;
    let metadata = document.root_element().children().find(|node| node.has_tag_name("metadata"));
    let Some(metadata) = metadata.filter(|metadata| !is_written_by_nova(*metadata)) else {
        return Ok(Vec::new());
    };
    let element = metadata.children().find(|node| node.has_tag_name((NAMESPACE, "volumes")));
    let Some(VolumeMetadata(known)) = element.map(VolumeMetadata::read) else { return Ok(Vec::new()) };
    let disks = DomainDisk::parse_all(xml)?.into_iter();
    let volume = |disk: DomainDisk| {
        let (source, text) = (disk.source?, known.get(&disk.target)?);
        let info = ConnectionInfo::parse(text.as_bytes());
        // What lies elsewhere is another disk, which was given the name of one that is gone.
        let info = match info {
            Ok(info) => Ok(in_file(info, disk.format, &source, &mount_path)?),
            Err(error) => Err(error),
        };
        Some(DescribedVolume { target: disk.target, info })
    };
    Ok(disks.filter_map(volume).collect())
}

/// The volume in that file of its share; `None` for a file that is not on the share.
fn in_file(
    info: ConnectionInfo,
    format: ImageFormat,
    source: &Path,
    mount_path: impl Fn(&Export) -> MountPath,
) -> Option<ConnectionInfo> {
    let at = mount_path(&info.export);
    let name = ImageName::parse(source.strip_prefix(at.as_path()).ok()?.to_str()?).ok()?;
    Some(ConnectionInfo { name, format, ..info })
}

/// Of a volume what connecting it takes. What the guest sees of it is in the disk's own description.
fn connection_info(info: &ConnectionInfo) -> String {
    json!({
        "driver_volume_type": "quobyte",
        "multiattach": info.multiattach,
        "data": {
            "export": info.export.as_str(),
            "name": info.name.as_str(),
            "format": info.format.as_str(),
            "volume_id": info.volume_id.to_string(),
        },
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const BASE: &str = "/mnt";

    fn volume(export: &str, name: &str) -> ConnectionInfo {
        let (export, name) = (Export::parse(export).unwrap(), ImageName::parse(name).unwrap());
        ConnectionInfo { multiattach: true, ..ConnectionInfo::new(export, name, ImageFormat::Qcow2) }
    }

    fn target(name: &str) -> TargetDev {
        TargetDev::parse(name).unwrap()
    }

    fn at(export: &Export) -> MountPath {
        MountPath::new(Path::new(BASE), export)
    }

    /// The element among a domain's metadata, where libvirt has given it its namespace.
    fn with_namespace(metadata: &VolumeMetadata) -> String {
        let xml = metadata.to_xml().unwrap();
        xml.replacen("<volumes", &format!("<volumes xmlns='{NAMESPACE}'"), 1)
    }

    /// A domain with that metadata whose disks are kept in those files.
    fn domain(metadata: &str, disks: &[(&str, &str, PathBuf)]) -> String {
        let disk = |(target, format, source): &(&str, &str, PathBuf)| {
            format!(
                "<disk type='file'><driver type='{format}'/><source file='{}'/><target dev='{target}'/></disk>",
                source.display()
            )
        };
        let disks: String = disks.iter().map(disk).collect();
        format!("<domain><metadata>{metadata}</metadata><devices>{disks}</devices></domain>")
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut metadata = VolumeMetadata::default();
        assert_eq!(metadata.to_xml(), None);
        let (one, two) = (volume("quobyte://a:7861,b/v", "disk"), volume("a/v", "<&\"'é>"));
        assert!(metadata.insert(&target("vdb"), &one) && metadata.insert(&target("vdc"), &two));
        assert!(!metadata.insert(&target("vdb"), &one), "it says so already");
        let xml = metadata.to_xml().unwrap();
        assert_eq!(VolumeMetadata::parse(&xml).unwrap(), metadata);
        let disks = [("vdb", "qcow2", at(&one.export).image(&one.name))];
        let found = described_volumes(&domain(&with_namespace(&metadata), &disks), at).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].target.as_str(), found[0].info.as_ref().unwrap()), ("vdb", &one));
        assert!(metadata.remove(&target("vdb")) && !metadata.remove(&target("vdb")));
        assert!(metadata.remove(&target("vdc")));
        assert_eq!(metadata.to_xml(), None);
    }

    #[test]
    fn disk_of_the_domain_decides_over_metadata() {
        let info = volume("a/v", "disk");
        let mut metadata = VolumeMetadata::default();
        metadata.insert(&target("vdb"), &info);
        let xml = with_namespace(&metadata);
        let share = at(&info.export);
        let names = |disks: &[(&str, &str, PathBuf)]| -> Vec<(String, ImageFormat)> {
            let found = described_volumes(&domain(&xml, disks), at).unwrap();
            let infos = found.into_iter().map(|volume| volume.info.unwrap());
            infos.map(|info| (info.name.to_string(), info.format)).collect()
        };
        let on_share = |name: &str| share.as_path().join(name);
        // A snapshot has moved the volume to another file.
        assert_eq!(
            names(&[("vdb", "qcow2", on_share("disk.snap"))]),
            [("disk.snap".to_owned(), ImageFormat::Qcow2)]
        );
        assert_eq!(names(&[("vdb", "raw", on_share("disk"))]), [("disk".to_owned(), ImageFormat::Raw)]);
        for elsewhere in ["/var/lib/disk", "/mnt/disk", "/mnt"].map(PathBuf::from) {
            assert!(names(&[("vdb", "raw", elsewhere)]).is_empty());
        }
        for outside in ["..", "a/b", ""] {
            assert!(names(&[("vdb", "raw", on_share(outside))]).is_empty(), "{outside}");
        }
        assert!(names(&[("vdc", "raw", on_share("disk"))]).is_empty(), "another disk");
        assert!(names(&[]).is_empty());
    }

    #[test]
    fn broken_entry_is_an_error_of_its_own() {
        let info = volume("a/v", "disk");
        let mut metadata = VolumeMetadata::default();
        metadata.insert(&target("vdb"), &info);
        metadata.0.insert("vdc".to_owned(), "{".to_owned());
        let source = at(&info.export).image(&info.name);
        let disks = [("vdb", "raw", source.clone()), ("vdc", "raw", source)];
        let found = described_volumes(&domain(&with_namespace(&metadata), &disks), at).unwrap();
        let are_known: Vec<_> = found.iter().map(|volume| volume.info.is_ok()).collect();
        assert_eq!(are_known, [true, false]);
    }

    #[test]
    fn other_metadata_names_no_volumes() {
        let info = volume("a/v", "disk");
        let mut metadata = VolumeMetadata::default();
        metadata.insert(&target("vdb"), &info);
        let ours = with_namespace(&metadata);
        let novas = "<nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'/>";
        let disks = [("vdb", "raw", at(&info.export).image(&info.name))];
        for other in [String::new(), format!("{ours}{novas}"), ours.replace(NAMESPACE, "urn:other")] {
            assert!(described_volumes(&domain(&other, &disks), at).unwrap().is_empty(), "{other}");
        }
        assert!(described_volumes("<domain/>", at).unwrap().is_empty());
        described_volumes("<domain>", at).unwrap_err();
    }
}
