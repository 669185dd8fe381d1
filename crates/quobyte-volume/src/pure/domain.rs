//! What a libvirt domain's description says of images: its disks, and the paths on a share that it uses. No I/O: the
//! caller has the description, and [`crate::host::paths`] knows where paths lead.

mod disks;

use std::path::{Path, PathBuf};

use roxmltree::{Document, Node};

pub use self::disks::{DomainDisk, DomainError};
use super::connection::InstanceId;
use super::guests::{GuestDisk, GuestUse};

/// Every use of a path on a share that the descriptions of one guest mention: as it runs, as it will start, as it was
/// saved. `locate` tells whether a path is on a share, and how that share's own mount path spells it.
///
/// # Errors
/// [`DomainError`] when one is not XML.
pub(crate) fn uses(
    instance: InstanceId,
    name: &str,
    descriptions: &[String],
    locate: &dyn Fn(&Path) -> Option<PathBuf>,
) -> Result<Vec<GuestUse>, DomainError> {
    let mut uses = Vec::new();
    for xml in descriptions {
        for (path, disk) in located_paths(xml, locate)? {
            let found = GuestUse { instance, name: name.to_owned(), path, disk };
            if !uses.contains(&found) {
                uses.push(found);
            }
        }
    }
    Ok(uses)
}

/// Every path on a share that the description mentions, wherever it stands: a disk, one of its backing files, a file
/// system, a kernel.
fn located_paths(
    xml: &str,
    locate: &dyn Fn(&Path) -> Option<PathBuf>,
) -> Result<Vec<(PathBuf, Option<GuestDisk>)>, DomainError> {
    let document = Document::parse(xml)?;
    let disks = DomainDisk::parse_all(xml)?;
    let mut paths = Vec::new();
    for node in document.descendants().filter(Node::is_element) {
        let values = node.attributes().map(|attribute| attribute.value()).chain(node.text());
        for path in values.filter_map(|value| locate(Path::new(value))) {
            let is_disk_source =
                node.has_tag_name("source") && node.parent().is_some_and(|disk| disk.has_tag_name("disk"));
            let has_path =
                |disk: &&DomainDisk| disk.source.as_deref().and_then(locate).as_ref() == Some(&path);
            let disk = disks.iter().find(has_path).filter(|_| is_disk_source);
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
