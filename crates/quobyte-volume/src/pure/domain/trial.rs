//! A domain's description with one more disk, to have libvirt judge it.

use roxmltree::Document;

use super::DomainError;
use crate::pure::disk::DiskTarget;

/// The description `xml` with a disk of that name on that bus: what is refused of it is refused for the disk's place in the
/// machine, as it names no image. `None` for a description without devices.
///
/// # Errors
/// [`DomainError`] when it is not XML.
pub fn with_trial_disk(xml: &str, target: &DiskTarget) -> Result<Option<String>, DomainError> {
    const END: &str = "</devices>";
    let document = Document::parse(xml)?;
    let devices = document.root_element().children().find(|node| node.has_tag_name("devices"));
    let Some(end) = devices.map(|devices| devices.range().end).filter(|end| xml[..*end].ends_with(END))
    else {
        return Ok(None);
    };
    let (before, after) = xml.split_at(end - END.len());
    let DiskTarget { dev, bus, .. } = target;
    let disk = format!(
        "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/dev/null'/><target dev='{dev}' \
         bus='{bus}'/></disk>"
    );
    Ok(Some([before, &disk, after].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::disk::{Bus, TargetDev};
    use crate::pure::domain::DomainDisk;

    #[test]
    fn trial_disk_is_the_domains_last() {
        let target = DiskTarget::new(TargetDev::parse("sdb").unwrap(), Some(Bus::Sata)).unwrap();
        let xml = "<domain><metadata><x:devices xmlns:x='urn:x'></x:devices></metadata>\
                   <devices><disk><target dev='vda'/></disk></devices>\
                   <seclabel/><q:commandline xmlns:q='urn:q'><devices></devices></q:commandline></domain>";
        let trial = with_trial_disk(xml, &target).unwrap().unwrap();
        let disks = DomainDisk::parse_all(&trial).unwrap();
        let names: Vec<_> = disks.iter().map(|disk| (disk.target.as_str(), disk.bus.as_deref())).collect();
        assert_eq!(names, [("vda", None), ("sdb", Some("sata"))]);
    }

    #[test]
    fn description_without_devices_has_no_trial() {
        let target = DiskTarget::new(TargetDev::parse("vda").unwrap(), None).unwrap();
        for xml in ["<domain/>", "<domain><devices/></domain>"] {
            assert_eq!(with_trial_disk(xml, &target).unwrap(), None);
        }
        with_trial_disk("<domain>", &target).unwrap_err();
    }
}
