//! The disks that the library describes, as its golden files hold them, shown to libvirt.

use std::{fs, path::Path};

use e2e::{Program, Reply, Scratch, Site};
use serde_json::{Value, json};

const VOLUME: &str = "volume-8d2b8f5e-6f0a-4d9c-9b1e-0d7f6c5b4a39";
const ALICE: &str = "a11ce000-0000-4000-8000-000000000001";
/// Where the golden files have their images.
const GOLDEN_MOUNT_PATH: &str = "/var/lib/nova/mnt/93ebb11c53e18e5d2fa3ca60f647e18c";

/// A golden file's name and its whole `<disk>`.
struct Golden {
    name: String,
    disk: String,
}

fn golden_disks() -> Vec<Golden> {
    let directory =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/quobyte-volume/src/pure/disk/snapshots");
    let files = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let golden: Vec<_> = files
        .map(|file| file.expect("read the golden files' directory").path())
        .filter(|path| path.extension() == Some("snap".as_ref()))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("read a golden file");
            // insta puts a header between two lines of dashes in front.
            let (_, disk) = text.split_once("\n---\n").expect("a golden file has a header");
            Golden {
                name: path.file_name().expect("a file has a name").to_string_lossy().into_owned(),
                disk: disk.to_owned(),
            }
        })
        .collect();
    assert!(!golden.is_empty(), "{} is empty", directory.display());
    golden
}

/// The least domain that libvirt's schema and QEMU driver take, with the disk in it.
fn domain(disk: &str) -> String {
    format!(
        "<domain type='qemu'>
  <name>disk-xml</name>
  <uuid>5b0f3c1e-7d0a-4f0e-9a63-2f6f7c1d8e42</uuid>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
{disk}
  </devices>
</domain>
"
    )
}

fn validate_schema(scratch: &Scratch, golden: &Golden) -> Result<(), String> {
    let file = scratch.file(&golden.name, domain(&golden.disk));
    let finished = Program::as_root("virt-xml-validate").arg(&file).arg("domain").run();
    if finished.status.success() { Ok(()) } else { Err(format!("{}: {finished:?}", golden.name)) }
}

fn describe(site: &Site, info: &Value) -> Reply {
    site.run_with(info, &["disk-xml", "--target", "vdb"])
}

#[test]
fn disk_xml_matches_libvirt_schema() {
    let scratch = Scratch::new();
    for golden in golden_disks() {
        validate_schema(&scratch, &golden).unwrap();
    }
}

#[test]
fn disk_xml_matches_golden_files() {
    let site = Site::new(&[]);
    let described = [
        ("raw", "format", json!("raw")),
        ("qcow2", "format", json!("qcow2")),
        ("read_only", "access_mode", json!("ro")),
        ("sector_size_physical", "physical_block_size", json!(4096)),
    ];
    let golden = golden_disks();
    for (name, field, value) in described {
        let mut info = site.info(VOLUME);
        info["data"][field] = value;
        let format = info["data"]["format"].as_str().expect("a format is text");
        site.volume().image(VOLUME, format, &[0; 4096]);
        let connected = site.connect(ALICE, &info).answer();
        let mount_path = connected["mount_path"].as_str().expect("a path is text");
        let answer = describe(&site, &info).answer();
        site.disconnect(ALICE, &info).answer();

        let file = format!("quobyte_volume__pure__disk__tests__{name}.snap");
        let golden = golden.iter().find(|golden| golden.name == file).expect("there is such a golden file");
        let golden = golden.disk.trim_end().replace(GOLDEN_MOUNT_PATH, mount_path);
        assert_eq!(answer, json!({"xml": golden}), "{name}");
    }
    site.assert_nothing_is_left();
}

#[test]
fn disk_xml_of_unmounted_volume_is_refused() {
    let site = Site::new(&[]);
    for format in ["raw", "qcow2"] {
        site.volume().image(VOLUME, format, &[0; 4096]);
        let mut info = site.info(VOLUME);
        info["data"]["format"] = json!(format);
        assert_eq!(describe(&site, &info).failure(), (4, "not_mounted"), "never connected");
        site.connect(ALICE, &info).answer();
        site.disconnect(ALICE, &info).answer();
        assert_eq!(describe(&site, &info).failure(), (4, "not_mounted"), "disconnected");
        site.assert_nothing_is_left();
    }
}

#[test]
fn schema_check_rejects_invalid_cache_mode() {
    let scratch = Scratch::new();
    for mut golden in golden_disks() {
        golden.disk = golden.disk.replace(" cache=\"", " cache=\"x");
        let refusal = validate_schema(&scratch, &golden).unwrap_err();
        assert!(refusal.contains("fails to validate"), "{refusal}");
    }
}
