//! What Cinder, Nova or a person asks for.

use std::path::Path;

use quobyte_volume::pure::connection::{ConnectionInfo, Export, MAX_EXPORT_LEN};
use quobyte_volume::pure::disk::{Bus, Disk, DiskTarget, TargetDev};
use quobyte_volume::pure::io_policy::{Decision, HypervisorFacts, IoOptions};
use quobyte_volume::pure::mount_path::MountPath;

const BASE: &str = "/var/lib/nova/mnt";

/// An export that is accepted is its own normal form, no option of the client's, and mounted directly below the base.
///
/// # Panics
/// When it is not.
pub fn export(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(export) = Export::parse(text) {
        assert_valid_export(&export);
    }
}

fn assert_valid_export(export: &Export) {
    let text = export.as_str();
    assert_eq!(Export::parse(text).as_ref().map(Export::as_str).ok(), Some(text));
    assert!((3..=MAX_EXPORT_LEN).contains(&text.len()), "{text:?}");
    assert!(!text.starts_with('-') && !text.contains("//") && !text.ends_with('/'), "{text:?}");
    assert!(!text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '|'), "{text:?}");
    assert!(text.split('/').all(|part| !matches!(part, "" | "." | "..")), "{text:?}");
    let mount_path = MountPath::new(Path::new(BASE), export);
    assert_eq!(mount_path.as_path().parent(), Some(Path::new(BASE)));
}

/// A connection_info that is accepted names a file directly on its share, and its disk is described by well-formed XML
/// in which that file is the only one.
///
/// # Panics
/// When it does not, or it is not.
pub fn connection_info(input: &[u8]) {
    let Ok(info) = ConnectionInfo::parse(input) else { return };
    assert_valid_export(&info.export);
    let mount_path = MountPath::new(Path::new(BASE), &info.export);
    let path = mount_path.image(&info.name);
    assert_eq!(path.parent(), Some(mount_path.as_path()));
    assert!(!info.name.as_str().starts_with('-'), "{:?}", info.name);

    let facts = HypervisorFacts::default();
    let Ok(decision) = Decision::make(&info, &facts.into(), &IoOptions::default()) else { return };
    let target =
        DiskTarget { dev: TargetDev::parse("vda").expect("it is one"), bus: Bus::Virtio, unit: None };
    let Ok(disk) = Disk::new(&info, &path, &[], &target, &decision.policy) else { return };
    assert_only_file(&disk.to_xml(), &path);
}

fn assert_only_file(xml: &str, path: &Path) {
    let document = roxmltree::Document::parse(xml).unwrap_or_else(|error| panic!("{error}: {xml}"));
    let files: Vec<_> = document.descendants().filter_map(|node| node.attribute("file")).collect();
    assert_eq!(files.iter().map(Path::new).collect::<Vec<_>>(), [path]);
}
