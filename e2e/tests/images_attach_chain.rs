//! A chain in a running guest: QEMU opens what was described, as it was described, and nothing else.
#![expect(clippy::disallowed_methods, reason = "making a volume's files is Cinder's part here")]

use std::fs;

use e2e::{Guest, Program, Site};
use roxmltree::{Document, Node};
use serde_json::{Value, json};

const ID: &str = "8d2b8f5e-6f0a-4d9c-9b1e-0d7f6c5b4a39";
const MIB: usize = 1 << 20;
const SIZE: usize = 3 * MIB;

/// `text` on line after line.
fn lines(text: &str) -> Vec<u8> {
    format!("{text}\n").into_bytes().into_iter().cycle().take(SIZE).collect()
}

/// A driver or format, and the path of the file it is for.
type BlockNode = (String, String);

/// The layers that a `<disk>` names. Panics unless it says that there are no more.
fn layers_in_xml(xml: &str) -> Vec<BlockNode> {
    let document = Document::parse(xml).expect("a disk is XML");
    let disk = document.root_element();
    let mut layers = vec![(attribute(disk, "driver", "type"), attribute(disk, "source", "file"))];
    let mut below = child(disk, "backingStore");
    while below.has_children() {
        layers.push((attribute(below, "format", "type"), attribute(below, "source", "file")));
        below = child(below, "backingStore");
    }
    layers
}

fn child<'a>(node: Node<'a, 'a>, name: &str) -> Node<'a, 'a> {
    let child = node.children().find(|child| child.has_tag_name(name));
    child.unwrap_or_else(|| panic!("{node:?} has no {name}"))
}

fn attribute(node: Node<'_, '_>, name: &str, attribute: &str) -> String {
    let child = child(node, name);
    child.attribute(attribute).unwrap_or_else(|| panic!("{child:?} has no {attribute}")).to_owned()
}

/// Everything that the guest's QEMU has open as part of a disk: driver and file of each node, sorted. A raw image's is
/// its file's: libvirt 9 lays a node of format raw above that, libvirt 11 does not.
fn open_nodes(guest: &Guest) -> Vec<BlockNode> {
    let query = json!({"execute": "query-named-block-nodes", "arguments": {"flat": true}}).to_string();
    let answer: Value =
        serde_json::from_str(&guest.virsh("qemu-monitor-command", &[&query])).expect("QEMU answers in JSON");
    let text =
        |node: &Value, key| node[key].as_str().unwrap_or_else(|| panic!("no {key}: {node}")).to_owned();
    let nodes = answer["return"].as_array().unwrap_or_else(|| panic!("no nodes: {answer}"));
    let mut nodes: Vec<_> =
        nodes.iter().map(|node| (text(node, "drv"), file_name(&text(node, "file")))).collect();
    nodes.retain(|(driver, _)| driver != "raw");
    nodes.sort_unstable();
    nodes
}

/// The file that QEMU means. It answers with all options of a node that was opened in another way than the image's own
/// header would have it, which names the backing file by a relative path.
fn file_name(name: &str) -> String {
    let Some(options) = name.strip_prefix("json:") else { return name.to_owned() };
    let options: Value = serde_json::from_str(options).expect("QEMU writes JSON");
    options["file"]["filename"].as_str().unwrap_or_else(|| panic!("no file name in {options}")).to_owned()
}

/// What QEMU opens for these layers: for each its format, unless that is raw, and the file below that.
fn expected_nodes(layers: &[BlockNode]) -> Vec<BlockNode> {
    let files = layers.iter().map(|(_, path)| ("file".to_owned(), path.clone()));
    let formats = layers.iter().filter(|(format, _)| format != "raw").cloned();
    let mut nodes: Vec<_> = formats.chain(files).collect();
    nodes.sort_unstable();
    nodes
}

/// Runs commands in the store, as Cinder does on its own mount, and opens volumes and snapshots to guests.
fn run_in_store(site: &Site, script: &str) {
    Program::as_root("sh")
        .args(["-e", "-c", &format!("cd \"$0\"\n{script}\nchmod 666 volume-*")])
        .arg(site.volume().directory())
        .succeed();
}

/// What libvirt would be told of a volume that is attached.
fn describe(site: &Site, info: &Value) -> Vec<BlockNode> {
    let answer = site.run_with(info, &["disk-xml", "--target", "vda"]).answer();
    layers_in_xml(answer["xml"].as_str().expect("XML is text"))
}

/// Takes a snapshot of a running guest's volume and deletes it again, each in the order that Cinder and Nova do: the
/// volume is described as QEMU has it opened throughout.
fn snapshot_and_commit(site: &Site, guest: &Guest, info: &Value) {
    let before = describe(site, info);
    let (_, device) = &before[0];
    let (newest, overlay) = (info["data"]["name"].as_str().expect("a name"), format!("{device}.live"));
    run_in_store(site, &format!(r#"qemu-img create -q -f qcow2 -b {newest} -F qcow2 "$PWD/{newest}.live""#));
    let spec = format!("vda,file={overlay}");
    let reuse = ["--disk-only", "--reuse-external", "--no-metadata", "--diskspec", &spec];
    guest.virsh("snapshot-create-as", &reuse);
    let mut of_overlay = info.clone();
    of_overlay["data"]["name"] = json!(format!("{newest}.live"));
    let snapshot = describe(site, &of_overlay);
    assert_eq!(snapshot.len(), before.len() + 1);
    assert_eq!(open_nodes(guest), expected_nodes(&snapshot));
    site.connect(guest.uuid(), &of_overlay).answer();

    guest.virsh("blockcommit", &["vda", "--active", "--shallow", "--pivot", "--wait"]);
    fs::remove_file(site.volume().directory().join(format!("{newest}.live"))).expect("delete a snapshot");
    assert_eq!(describe(site, info), before);
    assert_eq!(open_nodes(guest), expected_nodes(&before));
}

/// Attaches a volume whose newest file is `name` to a running guest, which reads `content` from it and overwrites it. The
/// layers have these formats, and the file of the second, `below`, stays as it is.
fn attach_and_use(site: &Site, name: &str, formats: &[&str], below: &str, content: &[u8]) {
    let mut info = site.info(name);
    info["serial"] = json!(ID);
    info["data"]["format"] = json!("qcow2");
    let below = site.volume().directory().join(below);
    let before = fs::read(&below).expect("read a layer");
    let mut guest = Guest::boot(site.scratch());
    assert_eq!(open_nodes(&guest), []);

    site.attach(&guest, &info, &[]).answer();
    let layers = describe(site, &info);
    assert_eq!(layers.iter().map(|(format, _)| format.as_str()).collect::<Vec<_>>(), formats);
    assert_eq!(open_nodes(&guest), expected_nodes(&layers));

    let disk = guest.virtio_disk(ID);
    let sum = guest.succeed(&format!("sha256sum <{disk}"));
    assert_eq!(sum, Program::as_root("sha256sum").input(content).succeed());
    guest.succeed(&format!("head -c {SIZE} /dev/zero | dd of={disk} bs=64k conv=notrunc,fsync"));

    snapshot_and_commit(site, &guest, &info);
    site.detach(&guest, "vda", &[]).answer();
    assert_eq!(open_nodes(&guest), []);
    assert!(fs::read(&below).expect("read a layer") == before, "the file below was written to");
    assert!(site.volume().contents(name, "qcow2") == [0; SIZE]);
    site.assert_nothing_is_left();
}

#[test]
fn qemu_opens_only_snapshot_and_raw_volume() {
    let site = Site::new(&[]);
    let volume = format!("volume-{ID}");
    let mut content = lines("written before the snapshot");
    site.volume().image(&volume, "raw", &content);
    run_in_store(
        &site,
        &format!(
            r#"qemu-img create -q -f qcow2 -o backing_file="$PWD/{volume}",backing_fmt=raw \
                "$PWD/{volume}.snapshot" {SIZE}
            qemu-img rebase -u -f qcow2 -b {volume} -F raw "$PWD/{volume}.snapshot"
            qemu-io -f qcow2 -c 'write -P 1 {MIB} {MIB}' {volume}.snapshot"#
        ),
    );
    content[MIB..2 * MIB].fill(1);
    attach_and_use(&site, &format!("{volume}.snapshot"), &["qcow2", "raw"], &volume, &content);
}

#[test]
fn qemu_opens_each_layer_on_cached_snapshot() {
    const CACHED: &str = "volume_from_snapshot_cache/9a8b7c6d-1111-4222-8333-0123456789ab";
    let site = Site::new(&[]);
    let volume = format!("volume-{ID}");
    let mut content = lines("written by another volume's guest");
    fs::create_dir(site.volume().directory().join("volume_from_snapshot_cache")).expect("make a directory");
    site.volume().image(CACHED, "qcow2", &content);
    run_in_store(
        &site,
        &format!(
            r#"qemu-img create -q -f qcow2 -o backing_file={CACHED},backing_fmt=qcow2 "$PWD/{volume}" {SIZE}
            qemu-io -f qcow2 -c 'write -P 1 0 {MIB}' {volume}
            qemu-img create -q -f qcow2 -o backing_file="$PWD/{volume}",backing_fmt=qcow2 \
                "$PWD/{volume}.snapshot" {SIZE}
            qemu-img rebase -u -f qcow2 -b {volume} -F qcow2 "$PWD/{volume}.snapshot"
            qemu-io -f qcow2 -c 'write -P 2 {MIB} {MIB}' {volume}.snapshot"#
        ),
    );
    content[..MIB].fill(1);
    content[MIB..2 * MIB].fill(2);
    attach_and_use(&site, &format!("{volume}.snapshot"), &["qcow2"; 3], &volume, &content);
}
