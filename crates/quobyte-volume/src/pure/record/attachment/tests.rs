use uuid::Uuid;

use super::*;
use crate::pure::image::{Identity, RelativePath};
use crate::pure::kernel_mount::Device;

fn name(text: &str) -> ImageName {
    ImageName::parse(text).unwrap()
}

fn volume(number: u128) -> VolumeId {
    Uuid::from_u128(number).into()
}

fn guest(number: u128) -> InstanceId {
    Uuid::from_u128(number).into()
}

fn layers(names: &[&str]) -> Vec<Layer> {
    let identity = Identity { device: Device { major: 0, minor: 1 }, inode: 1, btime: None };
    let layer = |name: &&str| {
        let path = RelativePath::parse(name).unwrap();
        Layer { path, format: ImageFormat::Qcow2, identity, virtual_size: 0 }
    };
    names.iter().map(layer).collect()
}

/// Guest 1's attachment of the first of those files, under that id.
fn attachment(id: u128, chain: &[&str]) -> Attachment {
    let attachment = Attachment::new(guest(1), volume(id), name(chain[0]), ImageFormat::Qcow2);
    Attachment { chain: layers(chain), ..attachment }
}

fn find(attachments: &[Attachment], file: Option<&str>, chain: &[&str], id: Option<u128>) -> Option<usize> {
    let (file, chain) = (file.map(name), layers(chain));
    let query = FileQuery { name: file.as_ref(), chain: &chain, volume: id.map(volume) };
    query.find(guest(1), attachments)
}

#[test]
fn file_is_found_before_volume() {
    let all = [attachment(1, &["a"]), attachment(2, &["b", "base"]), attachment(3, &["c", "base"])];
    for (file, chain, id, found) in [
        (Some("a"), &[][..], Some(2), Some(0)),
        (Some("x"), &[], Some(2), Some(1)),
        (None, &[], Some(3), Some(2)),
        (Some("x"), &["x", "b"], Some(1), Some(1)),
        (Some("base"), &[], Some(3), Some(2)),
        (Some("base"), &[], None, None),
        (Some("x"), &[], Some(9), None),
        (None, &[], None, None),
    ] {
        assert_eq!(find(&all, file, chain, id), found, "{file:?} {chain:?} {id:?}");
    }
}

#[test]
fn layer_alone_finds_no_disk() {
    let all = [attachment(1, &["a"]), attachment(2, &["b", "base"])];
    assert_eq!(find(&all, Some("base"), &[], None), None, "the base is another file than the disk");
}

#[test]
fn steps_and_aliases_find_the_attachment() {
    let stepped = Attachment { steps: vec![name("copy")], aliases: vec![volume(7)], ..attachment(1, &["a"]) };
    let all = [attachment(7, &["b"]), stepped];
    assert_eq!(find(&all, Some("copy"), &[], Some(7)), Some(1), "a step is a file, and counts before the id");
    assert_eq!(find(&all, Some("x"), &[], Some(7)), Some(0));
    assert_eq!(find(&all[1..], Some("x"), &[], Some(7)), Some(0));
}

#[test]
fn other_guests_attachments_are_not_found() {
    let all = [Attachment { instance: guest(2), ..attachment(1, &["a"]) }];
    assert_eq!(find(&all, Some("a"), &[], Some(1)), None);
}

#[test]
fn update_collects_ids_and_steps() {
    let mut known = attachment(1, &["a"]);
    known.update(attachment(2, &["b"]));
    assert_eq!(known.volumes().collect::<Vec<_>>(), [volume(2), volume(1)]);
    assert_eq!((known.name.as_str(), &known.steps[..]), ("b", &[name("a")][..]));
    known.update(attachment(1, &["c", "a"]));
    assert_eq!(known.volumes().collect::<Vec<_>>(), [volume(1), volume(2)]);
    assert_eq!(known.steps, [name("b")], "the chain protects its own layers");
}
