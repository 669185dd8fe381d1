//! Each golden file holds one whole `<disk>`; the lab checks all of them against libvirt's own schema.

use std::path::PathBuf;

use strum::VariantArray as _;

use super::*;
use crate::error::Code;
use crate::pure::connection::{BlockSize, Export, ImageName, IoLimit};
use crate::pure::image::{Identity, RelativePath};
use crate::pure::io_policy::{Cache, Choice, Decision, HypervisorFacts, IoMode, IoOptions, Version};
use crate::pure::kernel_mount::Device;

const VOLUME: &str = "volume-8d2b8f5e-6f0a-4d9c-9b1e-0d7f6c5b4a39";
const MOUNT: &str = "/var/lib/nova/mnt/93ebb11c53e18e5d2fa3ca60f647e18c";

/// A connection and the place of its disk; what each test changes is its subject.
struct Case {
    info: ConnectionInfo,
    path: PathBuf,
    chain: Vec<Layer>,
    target: DiskTarget,
    host: HypervisorFacts,
    options: IoOptions,
}

fn case(format: ImageFormat) -> Case {
    let export = Export::parse("quobyte-host/openstack-volumes").unwrap();
    let name = ImageName::parse(VOLUME).unwrap();
    Case {
        info: ConnectionInfo::new(export, name, format),
        path: PathBuf::from(MOUNT).join(VOLUME),
        chain: vec![layer(VOLUME, format)],
        target: DiskTarget { dev: TargetDev::parse("vdb").unwrap(), bus: Bus::Virtio, unit: None },
        host: HypervisorFacts::new(Some(Version::new(7, 2, 22))),
        options: IoOptions::default(),
    }
}

fn layer(name: &str, format: ImageFormat) -> Layer {
    Layer {
        path: RelativePath::parse(name).unwrap(),
        format,
        identity: Identity { device: Device { major: 0, minor: 45 }, inode: 7, btime: None },
        virtual_size: 1 << 30,
    }
}

impl Case {
    fn disk(&self) -> Result<Disk, DiskError> {
        let policy = Decision::make(&self.info, &self.host.into(), &self.options).unwrap().policy;
        Disk::new(&self.info, &self.path, &self.chain, &self.target, &policy)
    }

    fn xml(&self) -> String {
        self.disk().unwrap().to_xml()
    }
}

#[test]
fn disk_xml_for_raw_image() {
    insta::assert_snapshot!("raw", case(ImageFormat::Raw).xml());
}

#[test]
fn disk_xml_for_qcow2_image() {
    insta::assert_snapshot!("qcow2", case(ImageFormat::Qcow2).xml());
}

#[test]
fn backing_store_lists_every_layer() {
    let mut case = case(ImageFormat::Qcow2);
    case.chain = vec![
        layer(VOLUME, ImageFormat::Qcow2),
        layer(&format!("{VOLUME}.snap"), ImageFormat::Qcow2),
        layer("volume_from_snapshot_cache/snap", ImageFormat::Raw),
    ];
    insta::assert_snapshot!("chain", case.xml());
}

#[test]
fn given_serial_is_passed_to_guest() {
    let mut case = case(ImageFormat::Raw);
    case.info.serial = Some("8D2B8F5E-6F0A-4D9C-9B1E-0D7F6C5B4A39".to_owned());
    insta::assert_snapshot!("serial", case.xml());
}

#[test]
fn read_only_volume_is_marked_readonly() {
    let mut case = case(ImageFormat::Raw);
    case.info.access_mode = AccessMode::ReadOnly;
    insta::assert_snapshot!("read_only", case.xml());
}

#[test]
fn discard_is_passed_as_unmap() {
    let mut case = case(ImageFormat::Qcow2);
    case.info.discard = true;
    insta::assert_snapshot!("discard", case.xml());
}

#[test]
fn multiattach_volume_is_marked_shareable() {
    let mut case = case(ImageFormat::Raw);
    case.info.multiattach = true;
    insta::assert_snapshot!("multiattach", case.xml());
}

/// Every limit with a value of its own, so that none can stand for another.
fn limits(pick: impl Fn(IoLimit) -> bool) -> IoTune {
    let numbered = IoLimit::VARIANTS.iter().copied().zip(1_000..);
    IoTune::new(numbered.filter(|(limit, _)| pick(*limit))).unwrap()
}

#[test]
fn read_and_write_limits_are_in_iotune() {
    let mut case = case(ImageFormat::Raw);
    case.info.io_tune = limits(|limit| !limit.as_str().starts_with("total_"));
    assert_eq!(case.info.io_tune.iter().count(), 9);
    insta::assert_snapshot!("limits_apart", case.xml());
}

#[test]
fn total_limits_are_in_iotune() {
    let mut case = case(ImageFormat::Raw);
    case.info.io_tune = limits(|limit| limit.as_str().starts_with("total_"));
    assert_eq!(case.info.io_tune.iter().count(), 4);
    insta::assert_snapshot!("limits_together", case.xml());
}

#[test]
fn sector_sizes() {
    let mut case = case(ImageFormat::Raw);
    case.info.block_size = BlockSize { logical: Some(512), physical: Some(4096) };
    insta::assert_snapshot!("sector_sizes", case.xml());
    case.info.block_size.logical = None;
    insta::assert_snapshot!("sector_size_physical", case.xml());
}

#[test]
fn only_scsi_disk_has_an_address() {
    for (bus, dev) in [(Bus::Scsi, "sdc"), (Bus::Sata, "sdc"), (Bus::Usb, "sdc"), (Bus::Ide, "hdc")] {
        let mut case = case(ImageFormat::Raw);
        case.target = DiskTarget { dev: TargetDev::parse(dev).unwrap(), bus, unit: Some(2) };
        insta::assert_snapshot!(format!("bus_{bus}"), case.xml());
    }
}

#[test]
fn scsi_disk_without_unit_has_no_address() {
    let mut case = case(ImageFormat::Raw);
    case.target.bus = Bus::Scsi;
    assert!(!case.xml().contains("<address"));
}

#[test]
fn disk_xml_for_qemu_before_2_0() {
    let mut case = case(ImageFormat::Raw);
    case.host = HypervisorFacts::new(Some(Version::new(1, 7, 2)));
    insta::assert_snapshot!("old_qemu", case.xml());
}

#[test]
fn disk_xml_for_every_cache_mode() {
    for cache in Cache::OURS {
        let mut case = case(ImageFormat::Raw);
        case.options.cache = Choice::Fixed(cache);
        insta::assert_snapshot!(format!("cache_{cache}"), case.xml());
    }
}

#[test]
fn disk_xml_for_every_io_mode() {
    for &io in IoMode::VARIANTS {
        let mut case = case(ImageFormat::Raw);
        case.host.io_uring = Some(true);
        case.options.io = Choice::Fixed(io);
        insta::assert_snapshot!(format!("io_{io}"), case.xml());
    }
}

#[test]
fn disk_xml_with_all_options() {
    let mut case = case(ImageFormat::Raw);
    case.info.serial = Some("8d2b8f5e-6f0a-4d9c-9b1e-0d7f6c5b4a39".to_owned());
    case.info.access_mode = AccessMode::ReadOnly;
    case.info.discard = true;
    case.info.multiattach = true;
    case.info.io_tune = limits(|limit| limit.as_str().starts_with("total_"));
    case.info.block_size = BlockSize { logical: Some(4096), physical: Some(4096) };
    case.target = DiskTarget { dev: TargetDev::parse("sdaa").unwrap(), bus: Bus::Scsi, unit: Some(26) };
    insta::assert_snapshot!("everything", case.xml());
}

#[test]
fn markup_in_path_is_escaped() {
    let mut case = case(ImageFormat::Raw);
    case.path = Path::new(MOUNT).join("a'b\"c<disk>&amp; größe ]]>.raw");
    insta::assert_snapshot!("escaped", case.xml());
}

#[test]
fn invalid_device_path_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    for bytes in [
        &b"relative/image"[..],
        b"",
        b"/mnt/a\nb",
        b"/mnt/a\tb",
        b"/mnt/a\x01b",
        b"/mnt/a\x7fb",
        b"/mnt/a\xffb",
        "/mnt/a\u{85}b".as_bytes(),
        "/mnt/a\u{ffff}b".as_bytes(),
    ] {
        let mut case = case(ImageFormat::Raw);
        case.path = std::ffi::OsStr::from_bytes(bytes).into();
        let error = case.disk().expect_err("a path that cannot be told");
        assert_eq!(error.code(), Code::InvalidConfig, "{error}");
    }
}

#[test]
fn invalid_serial_is_refused() {
    for serial in ["", "{8d2b8f5e-6f0a-4d9c-9b1e-0d7f6c5b4a39}", "urn:uuid:x", "<serial>", "ä"] {
        let mut case = case(ImageFormat::Raw);
        case.info.serial = Some(serial.to_owned());
        let error = case.disk().expect_err(serial);
        assert_eq!(error.code(), Code::InvalidConnection, "{error}");
    }
}

proptest::proptest! {
    #[test]
    fn accepted_path_round_trips_through_xml(name in "\\PC{1,40}") {
        let mut case = case(ImageFormat::Raw);
        case.path = PathBuf::from(format!("{MOUNT}/{name}"));
        if let Ok(disk) = case.disk() {
            let path = source_file(&disk.to_xml());
            proptest::prop_assert_eq!(path, case.path.to_str().map(str::to_owned));
        }
    }
}

/// The `file` attribute of `<source>`, as an XML reader sees it.
fn source_file(xml: &str) -> Option<String> {
    let mut reader = quick_xml::Reader::from_str(xml);
    loop {
        match reader.read_event().unwrap() {
            quick_xml::events::Event::Empty(element) if element.name().as_ref() == "source" => {
                let file = element.try_get_attribute("file").unwrap()?;
                return Some(file.normalized_value(quick_xml::XmlVersion::Explicit1_0).unwrap().into_owned());
            }
            quick_xml::events::Event::Eof => return None,
            _ => {}
        }
    }
}
