//! Descriptions of domains: libvirt's words, with a tenant's in between.

use std::path::Path;

use quobyte_volume::pure::domain::{DescribedFiles, DescribedSource, DomainDisk, described_files};
use roxmltree::{Document, Node};

/// What a description says of files is said in its devices or its boot loader alone; no file of a disk is missed, and each
/// disk is understood the same way by itself.
///
/// # Panics
/// When it is not so.
pub fn domain(input: &[u8]) {
    let Ok(xml) = std::str::from_utf8(input) else { return };
    let Ok(files) = described_files(xml) else {
        assert!(DomainDisk::parse_all(xml).is_err(), "it is XML to one and not to the other");
        return;
    };
    let document = Document::parse(xml).expect("it was understood");
    let part =
        |name| document.root_element().children().find(|child: &Node<'_, '_>| child.has_tag_name(name));
    let (os, devices) = (part("os"), part("devices"));
    assert_depends_on(&files, [os, devices].into_iter().flatten().map(|part| &xml[part.range()]));
    assert!(files.others.iter().all(|path| path.is_absolute()), "{:?}", files.others);
    assert!(files.disks.iter().all(|disk| !disk.layers.is_empty()), "{:?}", files.disks);
    for disk in devices.iter().flat_map(Node::children).filter(|node| node.has_tag_name("disk")) {
        assert_has_file(&files, disk);
    }
    for disk in DomainDisk::parse_all(xml).expect("it was understood") {
        let alone = format!("<domain><devices>{}</devices></domain>", disk.xml);
        // It may depend on what the whole declares: namespaces, entities.
        if let Ok(alone) = DomainDisk::parse_all(&alone) {
            assert_eq!(alone, [disk]);
        }
    }
}

/// Makes sure that the same files are found where nothing is left of the description but these parts of it.
fn assert_depends_on<'a>(files: &DescribedFiles, parts: impl Iterator<Item = &'a str>) {
    let rest = format!("<domain>{}</domain>", parts.collect::<String>());
    // They may depend on what the whole declares.
    if let Ok(found) = described_files(&rest) {
        assert_eq!((&found.disks, &found.others), (&files.disks, &files.others));
    }
}

fn assert_has_file(files: &DescribedFiles, disk: Node<'_, '_>) {
    let source = disk.children().find(|child| child.has_tag_name("source"));
    let Some(source) = source.filter(|source| source.attribute("pool").is_none()) else { return };
    if let Some(file) = source.attribute("file") {
        let is_first = |source: &DescribedSource| matches!(source, DescribedSource::Path(path) if path == Path::new(file));
        assert!(files.disks.iter().any(|disk| is_first(&disk.layers[0].source)), "{file} is missed");
    }
}
