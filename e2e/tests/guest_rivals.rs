//! One image is one guest's: by whatever id, name, mount base or link it is asked for.

use std::{fs, path::PathBuf};

use e2e::{DiskXml, Guest, Program, Reply, Site};
use serde_json::{Value, json};

/// Guests that need not exist.
const ALICE: &str = "a11ce000-0000-4000-8000-000000000001";
const BOB: &str = "b0b00000-0000-4000-8000-000000000002";
const IDS: [&str; 2] = ["8d2b8f5e-6f0a-4d9c-9b1e-0d7f6c5b4a31", "7c1b9a52-3f64-4c0b-9b59-1f2d3e4c5a62"];

fn with_id(mut info: Value, id: &str) -> Value {
    info["serial"] = json!(id);
    info
}

fn multiattach(mut info: Value) -> Value {
    info["multiattach"] = json!(true);
    info
}

/// Makes sure that the command refused because that instance uses the file, and named it.
fn assert_held(reply: &Reply, instance: &str) {
    assert_eq!(reply.failure(), (7, "volume_in_use"), "{}", reply.message());
    assert!(reply.message().contains(instance), "{}", reply.message());
}

fn disconnect_all(site: &Site, infos: &[(&str, &Value)]) {
    for (instance, info) in infos {
        site.disconnect(instance, info).answer();
    }
    site.assert_nothing_is_left();
}

#[test]
fn file_under_two_ids_has_one_guest() {
    let site = Site::with_images(&[("disk", "raw")]);
    let [first, second] = IDS.map(|id| with_id(site.info("disk"), id));
    site.connect(ALICE, &first).answer();
    assert_held(&site.connect(BOB, &second), ALICE);
    assert_held(&site.connect(BOB, &site.info("disk")), ALICE);
    let guest = Guest::define(site.scratch());
    assert_held(&site.attach(&guest, &second, &[]), ALICE);
    // One guest may know it by both, and disconnects it by either.
    site.connect(ALICE, &second).answer();
    assert_eq!(site.attachments_of(ALICE).len(), 1);
    disconnect_all(&site, &[(ALICE, &first)]);
}

#[test]
fn hard_link_is_the_same_image() {
    let site = Site::with_images(&[("disk", "raw")]);
    let path = |name: &str| site.volume().directory().join(name);
    fs::hard_link(path("disk"), path("link")).expect("link an image");
    site.connect(ALICE, &site.info("disk")).answer();
    assert_held(&site.connect(BOB, &site.info("link")), ALICE);
    // So is the base of a chain.
    site.volume().overlay("over", ("link", "raw"));
    assert_held(&site.connect(BOB, &site.info_of("over", "qcow2")), ALICE);
    disconnect_all(&site, &[(ALICE, &site.info("disk"))]);
}

#[test]
fn base_of_one_guest_is_no_top_of_another() {
    let site = Site::with_images(&[("base", "raw")]);
    site.volume().overlay("over", ("base", "raw"));
    let (base, over) = (site.info("base"), site.info_of("over", "qcow2"));
    for (first, second) in [(&base, &over), (&over, &base)] {
        site.connect(ALICE, first).answer();
        assert_held(&site.connect(BOB, second), ALICE);
        disconnect_all(&site, &[(ALICE, first)]);
    }
}

#[test]
fn multiattach_needs_every_guest_and_raw() {
    let site = Site::with_images(&[("raw", "raw"), ("qcow2", "qcow2")]);
    let raw = site.info("raw");
    for (first, second) in [(raw.clone(), multiattach(raw.clone())), (multiattach(raw.clone()), raw.clone())]
    {
        site.connect(ALICE, &first).answer();
        assert_held(&site.connect(BOB, &second), ALICE);
        disconnect_all(&site, &[(ALICE, &first)]);
    }
    let qcow2 = multiattach(site.info_of("qcow2", "qcow2"));
    assert_eq!(site.connect(ALICE, &qcow2).failure(), (3, "invalid_connection"));

    let both = multiattach(raw);
    site.connect(ALICE, &both).answer();
    site.connect(BOB, &both).answer();
    disconnect_all(&site, &[(ALICE, &both), (BOB, &both)]);
}

#[test]
fn virsh_guest_shares_only_if_shareable() {
    let site = Site::with_images(&[("disk", "raw"), ("other", "raw")]);
    site.connect(ALICE, &site.info("other")).answer();
    let info = multiattach(site.info("disk"));
    let foreign = Guest::define(site.scratch());
    let disk = DiskXml::file(&site.mounted_image("disk"), "raw", "vda");
    let ours = Guest::define(site.scratch());

    foreign.virsh_attach(site.scratch(), &disk, &["--config"]);
    site.attach(&ours, &info, &[]).assert_held_by(&foreign);
    foreign.virsh("detach-disk", &["vda", "--config"]);
    foreign.virsh_attach(site.scratch(), &disk.shareable(), &["--config"]);
    site.attach(&ours, &site.info("disk"), &[]).assert_held_by(&foreign);
    site.attach(&ours, &info, &[]).answer();
    site.detach(&ours, "vda", &[]).answer();
    // It was found and put on record meanwhile.
    site.detach(&foreign, "vda", &[]).answer();
    disconnect_all(&site, &[(ALICE, &site.info("other"))]);
}

/// A site with a guest that runs with its image, whose configuration file was then forgotten: the command would mount
/// the same volume elsewhere.
fn forgotten_base() -> (Site, Guest, PathBuf) {
    let mut site = Site::with_images(&[("disk", "raw"), ("other", "raw")]);
    let mut guest = Guest::define(site.scratch());
    site.attach(&guest, &site.info("disk"), &[]).answer();
    guest.start_paused();
    let forgotten = site.base().to_owned();
    let other = site.scratch().directory("other-base");
    site.set_option("--quobyte-mount-point-base", &other);
    (site, guest, forgotten)
}

#[test]
fn other_mount_base_finds_rival() {
    let (mut site, mut guest, forgotten) = forgotten_base();
    let second = Guest::define(site.scratch());
    site.attach(&second, &site.info("disk"), &[]).assert_held_by(&guest);
    site.connect(BOB, &site.info("disk")).assert_held_by(&guest);
    site.volume().overlay("over", ("disk", "raw"));
    site.attach(&second, &site.info_of("over", "qcow2"), &[]).assert_held_by(&guest);
    assert!(!second.xml(&[]).contains("<disk"));
    site.reconcile().assert_agreed();

    guest.destroy();
    site.set_option("--quobyte-mount-point-base", forgotten);
    assert_eq!(site.detach(&guest, "vda", &[]).answer()["mounted"], json!(false));
    site.assert_nothing_is_left();
}

#[test]
fn hard_link_below_other_base_is_the_same_image() {
    let (mut site, mut guest, forgotten) = forgotten_base();
    let path = |name: &str| site.volume().directory().join(name);
    fs::hard_link(path("disk"), path("link")).expect("link an image");
    site.connect(BOB, &site.info("link")).assert_held_by(&guest);
    assert_eq!(site.connect(BOB, &site.info_of("disk", "qcow2")).failure().0, 6);
    guest.destroy();
    site.set_option("--quobyte-mount-point-base", forgotten);
    site.detach(&guest, "vda", &[]).answer();
    site.assert_nothing_is_left();
}

#[test]
fn rivals_below_two_bases_are_told() {
    let (mut site, mut guest, forgotten) = forgotten_base();
    let answer = site.connect(BOB, &site.info("other")).answer();
    let second_image = PathBuf::from(answer["mount_path"].as_str().expect("a path")).join("disk");
    let foreign = Guest::define(site.scratch());
    foreign.virsh_attach(site.scratch(), &DiskXml::file(&second_image, "raw", "vda"), &["--config"]);
    let reconciled = site.reconcile();
    let rivals = reconciled.of_kind("rivals");
    assert!(!rivals.is_empty(), "{reconciled:?}");
    let told = json!(rivals).to_string();
    for one in [&guest, &foreign] {
        assert!(told.contains(one.name()) || told.contains(one.uuid()), "{told}");
    }
    foreign.virsh("detach-disk", &["vda", "--config"]);
    site.disconnect(BOB, &site.info("other")).answer();
    guest.destroy();
    site.set_option("--quobyte-mount-point-base", forgotten);
    site.run(&["reconcile"]).answer();
    site.detach(&guest, "vda", &[]).answer();
}

#[test]
fn forgotten_base_hint_names_mounts() {
    let (mut site, mut guest, forgotten) = forgotten_base();
    let closed = site.scratch().directory("closed");
    Program::as_root("chown").arg("root:root").arg(&closed).succeed();
    site.set_option("--quobyte-mount-point-base", closed.join("mnt"));
    let reply = site.connect(BOB, &site.info("other"));
    let hint = reply.hint();
    assert!(hint.contains(&*forgotten.to_string_lossy()), "{hint}");
    guest.destroy();
    site.set_option("--quobyte-mount-point-base", forgotten);
    site.detach(&guest, "vda", &[]).answer();
    site.assert_nothing_is_left();
}
