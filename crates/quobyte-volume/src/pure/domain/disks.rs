//! The disks in a domain's XML.

use std::path::PathBuf;

use roxmltree::{Document, Node};

use crate::pure::connection::{ImageFormat, VolumeId};

/// A description that is not XML, so libvirt has not written it.
#[derive(Debug, thiserror::Error)]
#[error("a domain's description cannot be read")]
pub struct DomainError(#[from] roxmltree::Error);

/// One `<disk>` of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainDisk {
    /// Its name in the domain.
    pub target: String,
    /// The bus it is on, in libvirt's word.
    pub bus: Option<String>,
    /// What libvirt takes its file for; raw where it says nothing.
    pub format: ImageFormat,
    /// The file it is kept in; `None` for disks that are no files.
    pub source: Option<PathBuf>,
    /// Whether other domains may have it at the same time.
    pub shareable: bool,
    /// The serial number that the guest reads.
    pub serial: Option<String>,
    /// libvirt's or the user's name of the device.
    pub alias: Option<String>,
    /// The element itself, as libvirt wrote it.
    pub xml: String,
}

impl DomainDisk {
    /// The volume's ids as the disk's description carries them: in the alias this driver and Nova give it, and as the
    /// serial.
    #[must_use]
    pub fn volumes(&self) -> Vec<VolumeId> {
        let alias = self.alias.as_deref().and_then(|alias| alias.strip_prefix("ua-"));
        let ids = alias.into_iter().chain(self.serial.as_deref()).filter_map(|id| id.parse().ok());
        let mut volumes: Vec<VolumeId> = ids.collect();
        volumes.dedup();
        volumes
    }

    /// Every disk of the domain described by `xml`.
    ///
    /// # Errors
    /// [`DomainError`] when it is not XML.
    pub fn parse_all(xml: &str) -> Result<Vec<Self>, DomainError> {
        let document = Document::parse(xml)?;
        let devices = child(document.root_element(), "devices");
        let disks = devices
            .into_iter()
            .flat_map(|devices| devices.children().filter(|node| node.has_tag_name("disk")));
        Ok(disks.filter_map(|disk| Self::parse(disk, xml)).collect())
    }

    /// The disk that an element of the description `xml` describes; `None` for one without a name.
    pub(super) fn parse(disk: Node<'_, '_>, xml: &str) -> Option<Self> {
        Some(Self {
            target: attribute(disk, "target", "dev")?,
            bus: attribute(disk, "target", "bus"),
            format: attribute(disk, "driver", "type")
                .and_then(|format| format.parse().ok())
                .unwrap_or(ImageFormat::Raw),
            source: attribute(disk, "source", "file").map(PathBuf::from),
            shareable: child(disk, "shareable").is_some(),
            serial: child(disk, "serial").and_then(|serial| serial.text()).map(str::to_owned),
            alias: attribute(disk, "alias", "name"),
            xml: xml[disk.range()].to_owned(),
        })
    }
}

pub(super) fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.has_tag_name(name))
}

fn attribute(node: Node<'_, '_>, name: &str, attribute: &str) -> Option<String> {
    child(node, name)?.attribute(attribute).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domain_disk_fields_are_parsed() {
        let disk = "<disk type='file' device='disk'>\n\
                    <driver name='qemu' type='raw' cache='none' io='native'/>\n\
                    <source file='/mnt/a&amp;b/disk' index='1'/>\n<backingStore/>\n\
                    <target dev='vdb' bus='virtio'/>\n<serial>8d2b</serial>\n\
                    <alias name='ua-8d2b'/>\n</disk>";
        let xml = format!(
            "<domain type='qemu'><name>vm</name><devices>{disk}\
             <disk type='network' device='disk'><source protocol='rbd' name='p/i'/><target dev='vdc'/></disk>\
             <controller type='usb'/></devices></domain>"
        );
        let disks = DomainDisk::parse_all(&xml).unwrap();
        let quobyte = DomainDisk {
            target: "vdb".to_owned(),
            bus: Some("virtio".to_owned()),
            format: ImageFormat::Raw,
            source: Some("/mnt/a&b/disk".into()),
            shareable: false,
            serial: Some("8d2b".to_owned()),
            alias: Some("ua-8d2b".to_owned()),
            xml: disk.to_owned(),
        };
        assert_eq!(disks[0], quobyte);
        assert_eq!((disks[1].target.as_str(), &disks[1].source), ("vdc", &None));
        assert_eq!(disks.len(), 2);
    }

    #[test]
    fn domain_without_disks_is_accepted() {
        assert!(DomainDisk::parse_all("<domain type='qemu'><name>vm</name></domain>").unwrap().is_empty());
    }
}
