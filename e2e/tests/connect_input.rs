//! connect when its input, an image or the state directory cannot be used: a code for each, and nothing is done.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::Path,
};

use e2e::{Finished, Program, Reply, Site};
use rustix::fs::{CWD, FileType, FlockOperation, Mode, flock, mknodat};
use serde_json::{Value, json};

const GUEST: &str = "a11ce000-0000-4000-8000-000000000001";

fn site() -> Site {
    let site = Site::new(&[]);
    site.volume().image("one", "raw", &[0; 4096]);
    site
}

/// A connection_info with the value at a JSON pointer changed.
fn with_value(mut info: Value, pointer: &str, value: Value) -> Value {
    let (holder, name) = pointer.rsplit_once('/').expect("a pointer starts with a slash");
    info.pointer_mut(holder).expect("its holder is there")[name] = value;
    info
}

#[test]
fn missing_image_is_reported_and_rolled_back() {
    let site = site();
    assert_eq!(site.connect(GUEST, &site.info("two")).failure(), (6, "image_missing"));
    site.assert_nothing_is_left();
}

#[test]
fn missing_image_keeps_other_attachments() {
    let site = site();
    site.connect(GUEST, &site.info("one")).answer();
    let record = || fs::read_to_string(site.state().join("shares").join(&site.records()[0]));
    let before = record().expect("read the record");
    assert_eq!(site.connect(GUEST, &site.info("two")).failure(), (6, "image_missing"));
    assert_eq!(site.mount_directories().len(), 1);
    assert_eq!(record().expect("read the record"), before);
}

#[test]
fn non_regular_image_file_is_rejected() {
    let site = site();
    let secret = site.scratch().file("secret", "of the host");
    let volume = site.volume().directory();
    symlink("one", volume.join("link")).expect("make a link");
    symlink(secret, volume.join("link-out")).expect("make a link");
    symlink("nothing", volume.join("link-to-nothing")).expect("make a link");
    Program::as_nova("mkdir").arg(volume.join("directory")).succeed();
    mknodat(CWD, volume.join("pipe"), FileType::Fifo, Mode::from_raw_mode(0o666), 0).expect("make a pipe");
    for name in ["link", "link-out", "link-to-nothing", "directory", "pipe"] {
        let reply = site.connect(GUEST, &site.info(name));
        assert_eq!(reply.failure(), (6, "image_rejected"), "{name}");
        site.assert_nothing_is_left();
    }
}

#[test]
fn hostile_connection_info_is_refused() {
    let site = site();
    let long = "n".repeat(64 * 1024);
    let values = [
        ("/driver_volume_type", json!("nfs"), "invalid_connection"),
        ("/driver_volume_type", Value::Null, "invalid_connection"),
        ("/serial", json!("../../etc"), "invalid_connection"),
        ("/serial", json!(7), "invalid_connection"),
        ("/data", json!([]), "invalid_connection"),
        ("/data/access_mode", json!("rwx"), "invalid_connection"),
        ("/data/encrypted", json!(true), "invalid_connection"),
        ("/data/qos_specs", json!({"read_iops_sec": -1}), "invalid_connection"),
        ("/data/logical_block_size", json!(513), "invalid_connection"),
        ("/data/export", json!(""), "invalid_export"),
        ("/data/export", json!("quobyte://registry"), "invalid_export"),
        ("/data/export", json!("-c/etc/passwd"), "invalid_export"),
        ("/data/export", json!("--help/x"), "invalid_export"),
        ("/data/export", json!("registry/../volumes"), "invalid_export"),
        ("/data/export", json!("registry/a b"), "invalid_export"),
        ("/data/export", json!("registry/volumes\n"), "invalid_export"),
        ("/data/export", json!("registry/volumes\0"), "invalid_export"),
        ("/data/name", json!(""), "invalid_name"),
        ("/data/name", json!(".."), "invalid_name"),
        ("/data/name", json!("../secret"), "invalid_name"),
        ("/data/name", json!("/etc/passwd"), "invalid_name"),
        ("/data/name", json!("directory/one"), "invalid_name"),
        ("/data/name", json!("--help"), "invalid_name"),
        ("/data/name", json!("one\0"), "invalid_name"),
        ("/data/name", json!("json:{}"), "invalid_name"),
        ("/data/name", json!(long), "invalid_name"),
        ("/data/format", json!("vmdk"), "unsupported_format"),
        ("/data/format", json!("RAW"), "unsupported_format"),
    ];
    for (pointer, value, code) in values {
        let info = with_value(site.info("one"), pointer, value.clone());
        let reply = site.connect(GUEST, &info);
        assert_eq!(reply.failure(), (3, code), "{pointer} {value}");
        // An error that repeats its input whole would flood a log.
        assert!(reply.message().len() < 1000, "{pointer} {value}");
    }
    site.assert_nothing_is_left();
    let touched = site.state().read_dir().expect("list the state directory").count();
    assert_eq!(touched, 0, "the state directory was used");
}

#[test]
fn name_that_is_a_pattern_is_refused() {
    let site = site();
    for name in ["one*", "on[e]", "{one}", "o?e", "one\""] {
        let info = with_value(site.info("one"), "/data/name", json!(name));
        assert_eq!(site.connect(GUEST, &info).failure(), (3, "invalid_name"), "{name}");
        let described = site.run_with(&info, &["disk-xml", "--target", "vdb"]);
        assert_eq!(described.failure(), (3, "invalid_name"), "{name}");
        assert_eq!(site.disconnect(GUEST, &info).answer()["changed"], json!(false), "{name}");
    }
    site.assert_nothing_is_left();
}

#[test]
fn malformed_connection_info_is_refused() {
    let site = site();
    for input in ["", "{}", "[]", "null", "{\"data\"", "\u{feff}{}", "{}{}"] {
        let program = site.command(&["connect", "--instance", GUEST, "--connection-info", "-"]).input(input);
        assert_eq!(Reply::of(program).failure(), (3, "invalid_connection"), "{input:?}");
    }
}

#[test]
fn unknown_fields_are_never_shown() {
    const SECRET: &str = "open-sesame";
    let site = site();
    let good = with_value(site.info("one"), "/data/auth_password", json!(SECRET));
    let secret = json!({"auth_password": SECRET});
    let text = json!(secret.to_string());
    let run = |info: &Value, operation: &str| {
        let arguments = ["-vv", operation, "--instance", GUEST, "--connection-info", "-"];
        site.command(&arguments).input(info.to_string()).run()
    };
    for info in [
        text.clone(),
        json!([SECRET]),
        with_value(good.clone(), "/data", text.clone()),
        with_value(good.clone(), "/data", json!([SECRET])),
        with_value(good.clone(), "/data/name", secret.clone()),
        with_value(good.clone(), "/serial", secret.clone()),
        with_value(good.clone(), "/data/export", json!(vec![SECRET; 50_000])),
    ] {
        for operation in ["connect", "disconnect"] {
            let Finished { status, stdout, stderr } = run(&info, operation);
            let said = stdout + &stderr;
            assert_eq!(status.code(), Some(3), "{said}");
            assert!(!said.contains(SECRET) && said.contains("invalid_connection"), "{said}");
            assert!(said.len() < 300, "{said}");
        }
    }
    for operation in ["connect", "explain", "connect", "disconnect"] {
        let arguments = ["-vv", operation, "--connection-info", "-"];
        let instance: &[&str] = if operation == "explain" { &[] } else { &["--instance", GUEST] };
        let ended = site.command(&[&arguments[..], instance].concat()).input(good.to_string()).run();
        let said = ended.stdout + &ended.stderr;
        assert!(ended.status.success() && !said.contains(SECRET), "{operation}: {said}");
    }
    site.assert_nothing_is_left();
}

#[test]
fn disconnect_reads_export_name_and_ids_only() {
    let site = site();
    for (pointer, value) in [
        ("/driver_volume_type", json!("nfs")),
        ("/multiattach", json!("yes")),
        ("/data/format", json!("vmdk")),
        ("/data/access_mode", json!("wo")),
        ("/data/encrypted", json!(true)),
        ("/data/discard", json!(1)),
        ("/data/qos_specs", json!({"total_iops_sec": "9", "read_iops_sec": "9"})),
        ("/data/logical_block_size", json!(513)),
        ("/data/physical_block_size", json!([])),
    ] {
        site.connect(GUEST, &site.info("one")).answer();
        let changed = with_value(site.info("one"), pointer, value);
        assert_eq!(site.connect(GUEST, &changed).failure().0, 3, "{pointer}");
        assert_eq!(site.disconnect(GUEST, &changed).answer()["mounted"], json!(false), "{pointer}");
        site.assert_nothing_is_left();
    }
}

#[test]
fn missing_format_means_raw() {
    let site = site();
    let mut info = site.info("one");
    info["data"].as_object_mut().expect("an object").remove("format");
    assert_eq!(site.connect(GUEST, &info).answer()["format"], "raw");
}

/// Connects with another state directory, which has to be refused with a remedy.
fn assert_state_dir_refused(site: &mut Site, directory: &Path, remedy: &str) {
    site.set_option("--state-dir", directory);
    let reply = site.connect(GUEST, &site.info("one"));
    assert_eq!(reply.failure(), (9, "state_unavailable"));
    assert!(reply.message().contains(remedy), "{}", reply.message());
    site.assert_nothing_is_left();
}

#[test]
fn uncreatable_state_dir_has_no_fallback() {
    let mut site = site();
    let missing = site.scratch().path().join("missing/state");
    assert_state_dir_refused(&mut site, &missing, "--state-dir");
}

#[test]
fn state_dir_of_other_user_is_refused() {
    let mut site = site();
    let foreign = site.scratch().path().join("foreign");
    Program::as_root("mkdir").arg("--mode=777").arg(&foreign).succeed();
    assert_state_dir_refused(&mut site, &foreign, "sudo -u 'root'");
    assert_eq!(foreign.read_dir().expect("list it").count(), 0);
}

/// Holds the lock of the site's only share.
fn lock_share(site: &Site) -> File {
    let mut locks = fs::read_dir(site.state().join("locks")).expect("list the locks").flatten();
    let lock = locks.find(|lock| lock.path().extension() == Some("lock".as_ref())).expect("there is a lock");
    let lock = File::open(lock.path()).expect("open the lock");
    flock(&lock, FlockOperation::LockExclusive).expect("hold the lock");
    lock
}

#[test]
fn lock_timeout_is_reported() {
    let site = site();
    let info = site.info("one");
    // Lock files stay, and so tell their names.
    site.connect(GUEST, &info).answer();
    site.disconnect(GUEST, &info).answer();
    let lock = lock_share(&site);
    let late = ["--lock-timeout", "0.2"];
    for command in ["connect", "disconnect"] {
        let reply = site.run_with(&info, &[&[command, "--instance", GUEST], &late[..]].concat());
        assert_eq!(reply.failure(), (5, "lock_timeout"), "{command}");
    }
    site.assert_nothing_is_left();

    // Another share has a lock of its own.
    let other = site.volume().sibling(site.scratch(), "other");
    other.image("one", "raw", &[0; 4096]);
    let other = with_value(info.clone(), "/data/export", json!(other.export()));
    site.run_with(&other, &[&["connect", "--instance", GUEST], &late[..]].concat()).answer();

    drop(lock);
    site.connect(GUEST, &info).answer();
}
