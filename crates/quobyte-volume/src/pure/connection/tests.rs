mod hostile;

use serde_json::{Value, json};

use super::*;
use crate::error::Code;

/// What Cinder's Quobyte driver emits, as Nova stores it after an attach.
fn from_cinder() -> Value {
    json!({
        "driver_volume_type": "quobyte",
        "serial": "8d2b8f5e-6f0a-4d9c-9b1e-0d7f6c5b4a39",
        "data": {
            "export": "quobyte://reg1,reg2/openstack-volumes",
            "name": "volume-8d2b8f5e-6f0a-4d9c-9b1e-0d7f6c5b4a39",
            "format": "qcow2",
            "options": null,
            "qos_specs": {"total_iops_sec": "500", "read_bytes_sec": 1048576, "consumer": "front-end"},
            "access_mode": "rw",
            "discard": true,
            "encrypted": false,
            "cacheable": false
        },
        "mount_point_base": "/opt/stack/data/cinder/mnt",
        "multiattach": false
    })
}

fn parse(value: &Value) -> Result<ConnectionInfo, ConnectionError> {
    ConnectionInfo::parse(value.to_string().as_bytes())
}

/// `from_cinder()` with one value replaced.
fn with(pointer: &str, value: Value) -> Value {
    let mut info = from_cinder();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    info.pointer_mut(parent).unwrap()[key] = value;
    info
}

#[test]
fn cinder_connection_info_is_parsed() {
    let info = parse(&from_cinder()).unwrap();
    assert_eq!(info.export.as_str(), "reg1,reg2/openstack-volumes");
    assert_eq!(info.name.as_str(), "volume-8d2b8f5e-6f0a-4d9c-9b1e-0d7f6c5b4a39");
    assert_eq!(info.format, ImageFormat::Qcow2);
    assert_eq!(info.volume_id.to_string(), "8d2b8f5e-6f0a-4d9c-9b1e-0d7f6c5b4a39");
    assert_eq!(info.access_mode, AccessMode::ReadWrite);
    assert!(info.discard && !info.multiattach);
    let limits: Vec<_> = info.io_tune.iter().collect();
    assert_eq!(limits, [(IoLimit::ReadBytesSec, 1_048_576), (IoLimit::TotalIopsSec, 500)]);
}

#[test]
fn missing_format_defaults_to_raw() {
    let mut info = from_cinder();
    info["data"].as_object_mut().unwrap().remove("format");
    assert_eq!(parse(&info).unwrap().format, ImageFormat::Raw);
    assert_eq!(parse(&with("/data/format", Value::Null)).unwrap().format, ImageFormat::Raw);
}

#[test]
fn peer_paths_and_mount_options_are_ignored() {
    let plain = parse(&from_cinder()).unwrap();
    for (pointer, value) in [
        ("/mount_point_base", json!("/etc")),
        ("/data/device_path", json!("/etc/shadow")),
        ("/data/options", json!("-o suid,dev")),
        ("/data/mount_point_base", json!("/etc")),
    ] {
        assert_eq!(parse(&with(pointer, value)).unwrap(), plain, "{pointer}");
    }
}

#[test]
fn volume_id_prefers_serial_then_id_then_name() {
    let id = |info: &Value| parse(info).unwrap().volume_id.to_string();
    let mut info = with("/data/volume_id", json!("11111111-2222-4333-8444-555555555555"));
    assert_eq!(id(&info), "8d2b8f5e-6f0a-4d9c-9b1e-0d7f6c5b4a39");
    info.as_object_mut().unwrap().remove("serial");
    assert_eq!(id(&info), "11111111-2222-4333-8444-555555555555");
    info["data"].as_object_mut().unwrap().remove("volume_id");
    info["data"]["name"] = json!("volume-99999999-2222-4333-8444-555555555555.snap-1");
    assert_eq!(id(&info), "99999999-2222-4333-8444-555555555555");
    info["data"]["name"] = json!("disk.raw");
    let by_place = id(&info);
    assert_eq!(id(&info), by_place);
    info["data"]["name"] = json!("disk2.raw");
    assert_ne!(id(&info), by_place);
}

#[test]
fn invalid_field_is_refused_with_error_code() {
    for (pointer, value, code) in [
        ("/driver_volume_type", json!("nfs"), "invalid_connection"),
        ("/serial", json!("not-a-uuid"), "invalid_connection"),
        ("/data/access_mode", json!("rw "), "invalid_connection"),
        ("/data/access_mode", json!("wo"), "invalid_connection"),
        ("/data/encrypted", json!(true), "invalid_connection"),
        ("/data/discard", json!("yes"), "invalid_connection"),
        ("/multiattach", json!(1), "invalid_connection"),
        ("/data/qos_specs", json!("fast"), "invalid_connection"),
        ("/data/qos_specs", json!({"total_iops_sec": -1}), "invalid_connection"),
        ("/data/qos_specs", json!({"total_iops_sec": "many"}), "invalid_connection"),
        ("/data/qos_specs", json!({"total_iops_sec": "9", "write_iops_sec": "4"}), "invalid_connection"),
        ("/data/physical_block_size", json!(1000), "invalid_connection"),
        ("/data/logical_block_size", json!("-512"), "invalid_connection"),
        ("/data/logical_block_size", json!(1u64 << 60), "invalid_connection"),
        ("/data/export", json!("reg"), "invalid_export"),
        ("/data/export", json!(7), "invalid_connection"),
        ("/data/name", json!("../x"), "invalid_name"),
        ("/data/name", json!(["x"]), "invalid_connection"),
        ("/data/format", json!("QCOW2"), "unsupported_format"),
        ("/data/format", json!("auto"), "unsupported_format"),
        ("/data/format", json!("vmdk"), "unsupported_format"),
        ("/data/format", json!("luks"), "unsupported_format"),
        ("/data", json!(null), "invalid_connection"),
    ] {
        let error = parse(&with(pointer, value.clone())).expect_err(pointer);
        assert_eq!(error.code().as_str(), code, "{pointer} = {value}");
    }
}

#[test]
fn logical_block_size_above_physical_is_refused() {
    let block_size = |logical, physical| {
        let mut info = with("/data/logical_block_size", logical);
        info["data"]["physical_block_size"] = physical;
        parse(&info).map(|info| info.block_size)
    };
    for (logical, physical) in
        [(json!(512), Value::Null), (Value::Null, json!(4096)), (json!("4096"), json!(4096))]
    {
        assert!(block_size(logical, physical).is_ok());
    }
    for (logical, physical) in [(json!(1024), Value::Null), (json!(4096), json!("512"))] {
        let error = block_size(logical, physical).unwrap_err();
        assert_eq!(error.code(), Code::InvalidConnection);
        assert!(error.to_string().contains("data.logical_block_size"), "{error}");
    }
}

#[test]
fn malformed_connection_info_is_refused() {
    let twice = br#"{"driver_volume_type":"quobyte","data":{"export":"r/v","name":"a","name":"b"}}"#;
    for text in [&b""[..], b"{", b"[]", b"\xff", br#"{"driver_volume_type":"quobyte"}"#, twice] {
        let error = ConnectionInfo::parse(text).unwrap_err();
        assert_eq!(error.code(), Code::InvalidConnection, "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn error_text_is_sanitised_and_truncated() {
    let error = parse(&with("/data/name", json!(format!("\u{1b}[2J{}", "x".repeat(1000))))).unwrap_err();
    let shown = error.to_string();
    assert!(!shown.contains('\u{1b}') && shown.len() < 250, "{shown}");
}

proptest::proptest! {
    #[test]
    fn connection_info_parsing_never_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _ = ConnectionInfo::parse(&bytes);
    }
}

#[test]
fn image_url_is_split_at_its_last_part() {
    for (url, export, name) in [
        ("quobyte://registry/volume/disk1.raw", "registry/volume", "disk1.raw"),
        ("registry/volume/disk1.raw", "registry/volume", "disk1.raw"),
        ("a:7861,b/tenant/volume/disk1", "a:7861,b/tenant/volume", "disk1"),
        ("quobyte:7861/volume/disk1", "quobyte:7861/volume", "disk1"),
    ] {
        let image = VolumeReference::parse_url(url).unwrap();
        assert_eq!((image.export.as_str(), image.name.as_str()), (export, name), "{url}");
        assert_eq!(image.volume_id, VolumeId::derive(&image.export, &image.name));
    }
}

#[test]
fn image_url_without_volume_or_image_is_refused() {
    for url in
        ["", "disk1.raw", "registry/volume", "quobyte://registry/volume", "quobyte://", "quobyte://registry"]
    {
        let error = VolumeReference::parse_url(url).unwrap_err();
        assert_eq!(error.code(), Code::InvalidExport, "{url}");
        assert!(error.to_string().contains("host/volume/image"), "{url}: {error}");
    }
    for (url, code) in [
        ("registry/volume/disk1/", Code::InvalidExport),
        ("registry/volume//disk1", Code::InvalidExport),
        ("registry//volume/disk1", Code::InvalidExport),
        ("quobyte:/registry/volume/disk1", Code::InvalidExport),
        ("registry/volume/..", Code::InvalidName),
        ("registry/../volume/disk1", Code::InvalidExport),
        ("registry/volume/a,b", Code::InvalidName),
    ] {
        assert_eq!(VolumeReference::parse_url(url).unwrap_err().code(), code, "{url}");
    }
}
