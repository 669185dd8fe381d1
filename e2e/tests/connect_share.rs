//! connect and disconnect: one mount for all who use a volume, and nothing once nobody does.

use std::{
    fs::File,
    os::unix::fs::{MetadataExt, symlink},
    path::PathBuf,
};

use e2e::{Lab, MountEntry, Site, mount_at};
use serde_json::{Value, json};

const ALICE: &str = "a11ce000-0000-4000-8000-000000000001";
const BOB: &str = "b0b00000-0000-4000-8000-000000000002";

fn site() -> Site {
    let site = Site::new(&[]);
    for name in ["one", "two", "three"] {
        site.volume().image(name, "raw", &[0; 4096]);
    }
    site
}

fn path(answer: &Value, name: &str) -> PathBuf {
    let path = answer[name].as_str();
    path.unwrap_or_else(|| panic!("no {name} in {answer}")).into()
}

fn mount_of(answer: &Value) -> MountEntry {
    mount_at(&path(answer, "mount_path")).expect("the volume is mounted")
}

#[test]
fn first_connect_mounts_as_caller_for_all_users() {
    let site = site();
    let answer = site.connect(ALICE, &site.info("one")).answer();
    let entry = mount_of(&answer);
    assert_eq!((entry.fs_type.as_str(), entry.source.as_str()), ("fuse.quobyte", "quobyte@registry/volumes"));
    let nova = Lab::require().nova_home().metadata().expect("nova has a home");
    let options: Vec<_> = entry.super_options.split(',').collect();
    assert!(options.contains(&"allow_other"), "{options:?}");
    assert!(options.contains(&format!("user_id={}", nova.uid()).as_str()), "{options:?}");
    assert_eq!(path(&answer, "device_path"), path(&answer, "mount_path").join("one"));
    assert_eq!(site.records().len(), 1);
    assert_ne!(site.client_count(), 0);
}

#[test]
fn connect_reply_describes_disk() {
    let site = site();
    let mut info = site.info("one");
    info["data"]["discard"] = json!(true);
    let mut answer = site.connect(ALICE, &info).answer();
    let path = answer["device_path"].clone();
    for place in ["mount_path", "device_path"] {
        answer[place].take();
    }
    assert_eq!(
        answer,
        json!({
            "mount_path": null, "device_path": null, "changed": true,
            "format": "raw", "cache": "none", "io": "native", "discard": "unmap",
            "chain": [{"path": path, "format": "raw", "virtual_size": 4096}],
            "lost": [],
        })
    );
}

#[test]
fn last_disconnect_unmounts() {
    let site = site();
    let info = site.info("one");
    let mount_path = site.connect(ALICE, &info).answer()["mount_path"].take();
    let answer = site.disconnect(ALICE, &info).answer();
    assert_eq!(
        answer,
        json!({
            "mount_path": mount_path, "changed": true, "leaving": false, "mounted": false,
            "reason": null, "detail": null, "attachments": [], "guests": [],
        })
    );
    site.assert_nothing_is_left();
}

#[test]
fn later_connects_reuse_existing_mount() {
    let site = site();
    let first = mount_of(&site.connect(ALICE, &site.info("one")).answer());
    for (guest, name) in [(ALICE, "two"), (BOB, "three")] {
        let answer = site.connect(guest, &site.info(name)).answer();
        assert_eq!(mount_of(&answer), first);
        assert_eq!(answer["changed"], true);
    }
    assert_eq!(site.records().len(), 1);
}

#[test]
fn mount_stays_until_last_user_disconnects() {
    let site = site();
    let users = [(ALICE, "one"), (ALICE, "two"), (BOB, "three")];
    for (guest, name) in users {
        site.connect(guest, &site.info(name)).answer();
    }
    for (left, (guest, name)) in [2, 1, 0].into_iter().zip(users) {
        let answer = site.disconnect(guest, &site.info(name)).answer();
        assert_eq!(answer["attachments"].as_array().map(Vec::len), Some(left));
        assert_eq!(answer["mounted"], left > 0);
        assert_eq!(answer["reason"], if left > 0 { json!("attachments") } else { Value::Null });
        assert_eq!(mount_at(&path(&answer, "mount_path")).is_some(), left > 0, "{answer}");
    }
    site.assert_nothing_is_left();
}

#[test]
fn connect_is_idempotent() {
    let site = site();
    let first = site.connect(ALICE, &site.info("one")).answer();
    let mount = mount_of(&first);
    let mut again = site.connect(ALICE, &site.info("one")).answer();
    assert_eq!(again["changed"].take(), json!(false));
    again["changed"] = json!(true);
    assert_eq!(again, first);
    assert_eq!(mount_of(&first), mount);
    // One disconnect answers any number of connects.
    site.disconnect(ALICE, &site.info("one")).answer();
    site.assert_nothing_is_left();
}

#[test]
fn volume_in_use_is_refused_with_hint() {
    let site = site();
    site.connect(ALICE, &site.info("one")).answer();
    let reply = site.connect(BOB, &site.info("one"));
    assert_eq!(reply.failure(), (7, "volume_in_use"));
    assert!(reply.message().contains(ALICE), "{}", reply.message());
    let (_, drop) = reply.hint().split_once("nova-quobyte ").expect("a command");
    let dropped = site.run(&drop.split(' ').collect::<Vec<_>>()).answer();
    assert_eq!((&dropped["changed"], &dropped["mounted"]), (&json!(true), &json!(false)));
    site.connect(BOB, &site.info("one")).answer();
}

#[test]
fn disconnect_by_name_ignores_volume_id() {
    let site = site();
    let mut info = site.info("one");
    info["serial"] = json!("8d2b8f5e-6f0a-4d9c-9b1e-0d7f6c5b4a39");
    site.connect(ALICE, &info).answer();
    let named = ["--export", site.volume().export(), "--name", "one"];
    let answer = site.run(&[&["disconnect", "--instance", ALICE], &named[..]].concat()).answer();
    assert_eq!((&answer["changed"], &answer["mounted"]), (&json!(true), &json!(false)));
    site.assert_nothing_is_left();
}

#[test]
fn disconnect_is_idempotent() {
    let site = site();
    let answer = site.disconnect(ALICE, &site.info("one")).answer();
    assert_eq!((&answer["changed"], &answer["mounted"]), (&json!(false), &json!(false)));
    site.assert_nothing_is_left();

    site.connect(ALICE, &site.info("one")).answer();
    let answer = site.disconnect(BOB, &site.info("one")).answer();
    assert_eq!((&answer["changed"], &answer["reason"]), (&json!(false), &json!("attachments")));
    mount_of(&answer);
}

#[test]
fn two_shares_are_independent() {
    let site = site();
    let other = site.volume().sibling(site.scratch(), "archive");
    other.image("one", "raw", &[0; 4096]);
    let mut other_info = site.info("one");
    other_info["data"]["export"] = json!(other.export());

    let here = site.connect(ALICE, &site.info("one")).answer();
    let there = site.connect(ALICE, &other_info).answer();
    assert_ne!(mount_of(&here).device, mount_of(&there).device);
    assert_eq!(mount_of(&there).source, "quobyte@registry/archive");

    assert_eq!(site.disconnect(ALICE, &site.info("one")).answer()["mounted"], false);
    assert_eq!(mount_at(&path(&here, "mount_path")), None);
    mount_of(&there);
    assert_eq!(site.disconnect(ALICE, &other_info).answer()["mounted"], false);
    site.assert_nothing_is_left();
}

#[test]
fn equivalent_exports_share_a_mount() {
    let site = site();
    let spellings = [
        "quobyte://registry/volumes",
        "registry/volumes",
        "quobyte://registry/volumes/",
        "registry/volumes/",
    ];
    for (number, export) in spellings.into_iter().enumerate() {
        let mut info = site.info("one");
        info["data"]["export"] = json!(export);
        info["multiattach"] = json!(true);
        let answer = site.connect(&format!("a11ce000-0000-4000-8000-00000000000{number}"), &info).answer();
        assert_eq!(mount_of(&answer).source, "quobyte@registry/volumes");
        assert_eq!(site.mount_directories().len(), 1, "{export}");
    }
    let attached = site.disconnect(BOB, &site.info("one")).answer()["attachments"].take();
    assert_eq!(attached.as_array().map(Vec::len), Some(spellings.len()));
}

#[test]
fn mount_path_matches_nova_and_cinder() {
    let site = site();
    let volume = site.volume().sibling(site.scratch(), "openstack-volumes");
    volume.image("one", "raw", &[0; 4096]);
    let mut info = site.info("one");
    info["data"]["export"] = json!("quobyte://quobyte-host/openstack-volumes");
    let answer = site.connect(ALICE, &info).answer();
    assert_eq!(path(&answer, "mount_path"), site.base().join("93ebb11c53e18e5d2fa3ca60f647e18c"));
}

#[test]
fn connection_info_is_read_from_file_or_stdin() {
    let site = site();
    let file = site.scratch().file("info.json", site.info("one").to_string());
    let file = file.to_string_lossy();
    site.run(&["connect", "--instance", ALICE, "--connection-info", &file]).answer();
    // The same volume to both ways of reading, or this would not be its last user.
    site.disconnect(ALICE, &site.info("one")).answer();
    site.assert_nothing_is_left();
}

#[test]
fn mount_options_of_connection_info_are_ignored() {
    let site = site();
    let elsewhere = site.scratch().directory("elsewhere");
    let mut info = site.info("one");
    for holder in ["/data", ""] {
        let holder = info.pointer_mut(holder).expect("it is there");
        holder["mount_point_base"] = json!(elsewhere);
        holder["device_path"] = json!("/etc/passwd");
        holder["options"] = json!("-o ro --unheard-of");
    }
    let answer = site.connect(ALICE, &info).answer();
    assert_eq!(path(&answer, "mount_path").parent(), Some(site.base()));
    assert_eq!(path(&answer, "device_path"), path(&answer, "mount_path").join("one"));
    assert!(mount_of(&answer).options.starts_with("rw"));
    assert_eq!(elsewhere.read_dir().expect("list it").count(), 0);
}

#[test]
fn open_file_keeps_mount_until_next_disconnect() {
    let site = site();
    let info = site.info("one");
    let answer = site.connect(ALICE, &info).answer();
    let file = File::open(path(&answer, "device_path")).expect("open the image");

    let answer = site.disconnect(ALICE, &info).answer();
    assert_eq!(
        (&answer["changed"], &answer["mounted"], &answer["reason"]),
        (&json!(true), &json!(true), &json!("busy"))
    );
    mount_of(&answer);

    drop(file);
    let answer = site.disconnect(ALICE, &info).answer();
    assert_eq!((&answer["changed"], &answer["mounted"]), (&json!(false), &json!(false)));
    site.assert_nothing_is_left();
}

#[test]
fn disconnect_uses_recorded_mount_path() {
    let mut site = site();
    let info = site.info("one");
    let connected = site.connect(ALICE, &info).answer();
    // The operator has moved the base since.
    let moved = site.scratch().directory("moved");
    site.set_option("--quobyte-mount-point-base", moved);
    let answer = site.disconnect(ALICE, &info).answer();
    assert_eq!(answer["mounted"], false);
    assert_eq!(answer["mount_path"], connected["mount_path"]);
    site.assert_nothing_is_left();
}

#[test]
fn symlinked_mount_base_shares_the_record() {
    let mut site = site();
    let (base, link) = (site.base().to_owned(), site.scratch().path().join("link"));
    symlink(&base, &link).expect("make a link to the base");
    let alice = site.connect(ALICE, &site.info("one")).answer();
    site.set_option("--quobyte-mount-point-base", &link);
    let bob = site.connect(BOB, &site.info("two")).answer();
    assert_eq!(bob["changed"], json!(true));
    assert_eq!(path(&bob, "mount_path").file_name(), path(&alice, "mount_path").file_name());
    assert_ne!(path(&bob, "mount_path"), path(&alice, "mount_path"));
    assert_eq!(site.records().len(), 1);

    site.set_option("--quobyte-mount-point-base", &base);
    let left = site.disconnect(ALICE, &site.info("one")).answer();
    assert_eq!((&left["mounted"], &left["reason"]), (&json!(true), &json!("attachments")), "{left}");
    mount_of(&alice);
    assert_eq!(site.disconnect(BOB, &site.info("two")).answer()["mounted"], json!(false));
    site.assert_nothing_is_left();
}
