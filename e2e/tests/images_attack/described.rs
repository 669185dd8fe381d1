//! A swap between connect and disk-xml: what is described is what was looked at.

use std::{fs, path::PathBuf};

use e2e::{Program, Reply, Site};
use image_corpus::{Content, Qcow2};
use serde_json::{Value, json};

use crate::{ALICE, place, refused::assert_refused, swapper::swap};

/// A site with a file of each name and content.
fn site(files: &[(&str, Content)]) -> Site {
    let site = Site::new(&[]);
    for (name, content) in files {
        place(site.volume().directory(), name, content.clone());
    }
    site
}

fn stored(site: &Site, name: &str) -> PathBuf {
    site.volume().directory().join(name)
}

fn info(site: &Site, name: &str, format: &str) -> Value {
    let mut info = site.info(name);
    info["data"]["format"] = json!(format);
    info["data"]["volume_id"] = json!("8d2b8f5e-6f0a-4d9c-9b1e-0d7f6c5b4a39");
    info
}

fn describe(site: &Site, info: &Value) -> Reply {
    site.run_with(info, &["disk-xml", "--target", "vdb"])
}

#[test]
fn swapped_image_is_rejected_until_reconnect() {
    for (format, content) in [("raw", Content::zeroes(1 << 20)), ("qcow2", Qcow2::v3().into())] {
        let site = site(&[("disk", content.clone()), ("other", content)]);
        let info = info(&site, "disk", format);
        site.connect(ALICE, &info).answer();
        let described = describe(&site, &info).answer();

        swap(&stored(&site, "disk"), &stored(&site, "other"));
        assert_refused(format, &describe(&site, &info), "swapped");
        assert_eq!(site.connect(ALICE, &info).answer()["changed"], json!(true));
        assert_eq!(describe(&site, &info).answer(), described);

        swap(&stored(&site, "disk"), &stored(&site, "other"));
        assert_refused(format, &describe(&site, &info), "swapped");
        site.disconnect(ALICE, &info).answer();
        site.assert_nothing_is_left();
    }
}

#[test]
fn swapped_backing_file_is_rejected() {
    let base = Content::zeroes(1 << 20);
    let (overlay, snapshot) = (Qcow2::v3().on("base", "raw"), Qcow2::v3().on("disk", "qcow2"));
    let files =
        [("disk", overlay.into()), ("snapshot", snapshot.into()), ("base", base.clone()), ("other", base)];
    let site = site(&files);
    let info = info(&site, "disk", "qcow2");
    site.connect(ALICE, &info).answer();
    let of_snapshot = self::info(&site, "snapshot", "qcow2");
    for info in [&info, &of_snapshot] {
        describe(&site, info).answer();
    }
    swap(&stored(&site, "base"), &stored(&site, "other"));
    for info in [&info, &of_snapshot] {
        assert_refused("base", &describe(&site, info), "swapped");
    }
}

#[test]
fn snapshot_and_deletion_are_no_swap() {
    let site = site(&[("disk", Content::zeroes(1 << 20))]);
    let before = info(&site, "disk", "raw");
    site.connect(ALICE, &before).answer();

    let snapshot = info(&site, "disk.snapshot", "qcow2");
    Program::as_nova("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "disk"])
        .arg(stored(&site, "disk.snapshot"))
        .succeed();
    let described = describe(&site, &snapshot).answer();
    assert!(described["xml"].as_str().expect("text").contains("/disk\""), "{described}");
    assert_eq!(site.connect(ALICE, &snapshot).answer()["changed"], json!(true));
    assert_eq!(describe(&site, &snapshot).answer(), described);

    fs::remove_file(stored(&site, "disk.snapshot")).expect("delete a snapshot");
    describe(&site, &before).answer();
    site.disconnect(ALICE, &before).answer();
    site.assert_nothing_is_left();
}
