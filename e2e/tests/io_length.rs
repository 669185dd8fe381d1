//! Images of a length that QEMU cannot open with `O_DIRECT` for writing, or can after all, at every door.

use std::fs;

use e2e::{Guest, Program, Site};
use serde_json::{Value, json};

const ALICE: &str = "a11ce000-0000-4000-8000-000000000001";

/// A length that ends with no 4096 bytes, and the next that does.
const ODD: u64 = 2_048_512;
const EVEN: u64 = 2_052_096;

/// A site whose image `disk` of that format has that length.
fn site(settings: &[&str], format: &str, length: u64) -> Site {
    let site = Site::new(settings);
    site.volume().image("disk", format, &[7; 1 << 16]);
    set_length(&site, "disk", length);
    site
}

fn set_length(site: &Site, name: &str, length: u64) {
    let image = fs::File::options().write(true).open(site.volume().directory().join(name));
    image.and_then(|image| image.set_len(length)).expect("set an image's length");
}

fn info(site: &Site, name: &str, format: &str) -> Value {
    let mut info = site.info(name);
    info["data"]["format"] = json!(format);
    info
}

fn modes(answer: &Value) -> [&str; 2] {
    ["cache", "io"].map(|mode| answer[mode].as_str().expect("a mode"))
}

#[test]
fn odd_raw_length_opens_at_every_door() {
    let site = site(&[], "raw", ODD);
    let info = info(&site, "disk", "raw");
    let buffered = ["writeback", "threads"];
    let connected = site.connect(ALICE, &info).answer();
    assert_eq!(modes(&connected), buffered, "{connected}");
    let explained = site.run_with(&info, &["explain"]).answer();
    assert_eq!(modes(&explained["policy"]), buffered, "{explained}");
    assert_eq!(explained["rows"]["cache"]["name"], "odd_length");
    let described = site.run_with(&info, &["disk-xml", "--target", "vdb"]).answer();
    assert!(described["xml"].as_str().is_some_and(|xml| xml.contains("cache=\"writeback\"")), "{described}");
    site.disconnect(ALICE, &info).answer();

    let mut guest = Guest::boot(site.scratch());
    let attached = site.attach(&guest, &info, &[]).answer();
    assert_eq!(modes(&attached), buffered, "{attached}");
    guest.wait_for_disk("vda");
    guest.succeed("echo end >/run/end && dd if=/run/end of=/dev/vda bs=512 seek=4000 conv=notrunc,fsync");
    let content = fs::read(site.volume().directory().join("disk")).expect("read the image");
    assert_eq!(content.len() as u64, ODD);
    assert!(content[4000 * 512..].starts_with(b"end\n"));
    site.detach(&guest, "vda", &[]).answer();

    guest.destroy();
    let attached = site.attach(&guest, &info, &[]).answer();
    assert_eq!(modes(&attached), buffered, "{attached}");
    guest.start();
    guest.wait_for_disk("vda");
}

#[test]
fn fixed_direct_cache_refuses_odd_length() {
    for cache in ["none", "directsync"] {
        let site = site(&[], "raw", ODD);
        let fixed = ["--cache-mode", cache];
        let info = info(&site, "disk", "raw");
        let mut guest = Guest::define(site.scratch());
        let connect = ["connect", "--instance", ALICE, "--cache-mode", cache];
        for reply in [site.run_with(&info, &connect), site.attach(&guest, &info, &fixed)] {
            assert_eq!(reply.failure(), (6, "image_rejected"), "{cache}");
            assert!(reply.message().contains("truncate --size %4096"), "{}", reply.message());
        }
        site.assert_nothing_is_left();
        let image = site.volume().directory().join("disk");
        Program::as_root("truncate").args(["--size", "%4096"]).arg(image).succeed();
        assert_eq!(site.attach(&guest, &info, &fixed).answer()["cache"], cache);
        guest.start();
        guest.wait_for_disk("vda");
    }
}

#[test]
fn lengths_that_qemu_takes_are_opened_directly() {
    let site = site(&[], "raw", EVEN - 1);
    for (name, format) in [("qcow2", "qcow2"), ("read_only", "raw")] {
        site.volume().image(name, format, &[7; 1 << 16]);
    }
    let qcow2_length = fs::metadata(site.volume().directory().join("qcow2")).expect("it is there").len();
    set_length(&site, "qcow2", qcow2_length + 513);
    set_length(&site, "read_only", ODD);
    let mut read_only = info(&site, "read_only", "raw");
    read_only["data"]["access_mode"] = json!("ro");
    let mut guest = Guest::boot(site.scratch());
    for (info, target) in
        [(info(&site, "disk", "raw"), "vda"), (info(&site, "qcow2", "qcow2"), "vdb"), (read_only, "vdc")]
    {
        let attached = site.attach(&guest, &info, &[]).answer();
        assert_eq!(attached["cache"], "none", "{attached}");
        guest.wait_for_disk(target);
        guest.succeed(&format!("cat /dev/{target} >/dev/null"));
        if target != "vdc" {
            guest.succeed(&format!("dd if=/dev/zero of=/dev/{target} bs=512 count=1 conv=notrunc,fsync"));
        }
    }
}

#[test]
fn snapshot_on_odd_raw_length_can_be_deleted() {
    for (length, cache) in [(ODD, "writeback"), (EVEN, "none")] {
        let site = site(&[], "raw", length);
        site.volume().overlay("overlay", ("disk", "raw"));
        let mut guest = Guest::boot(site.scratch());
        let attached = site.attach(&guest, &info(&site, "overlay", "qcow2"), &[]).answer();
        assert_eq!(attached["cache"], cache, "{attached}");
        guest.wait_for_disk("vda");
        guest.commit_until_ready("vda");
        guest.pivot("vda");
        guest.succeed("dd if=/dev/zero of=/dev/vda bs=512 count=1 conv=notrunc,fsync");
    }
}
