//! connect when Quobyte's client fails before or at mounting: its own error code for each, and nothing is left.

use std::{fs::File, path::Path};

use e2e::{Lab, Program, Reply, Site, mount_at};
use serde_json::{Value, json};

const GUEST: &str = "a11ce000-0000-4000-8000-000000000001";

fn site(settings: &[&str]) -> Site {
    let site = Site::new(settings);
    site.volume().image("one", "raw", &[0; 4096]);
    site
}

/// Connects, which has to fail with the status and code given, and makes sure that nothing is left.
fn assert_connect_fails(site: &Site, info: &Value, arguments: &[&str], expected: (i32, &str)) -> String {
    let connect = ["connect", "--instance", GUEST];
    let reply = site.run_with(info, &[&connect, arguments].concat());
    assert_eq!(reply.failure(), expected, "{}", reply.message());
    site.assert_nothing_is_left();
    reply.message().to_owned()
}

fn assert_connect_fails_with(setting: &str, arguments: &[&str], expected: (i32, &str)) -> String {
    let site = site(&[setting]);
    assert_connect_fails(&site, &site.info("one"), arguments, expected)
}

/// Where the site mounts its volume.
fn mount_path(site: &Site) -> String {
    let path = site.connect(GUEST, &site.info("one")).answer()["mount_path"].take();
    site.disconnect(GUEST, &site.info("one")).answer();
    path.as_str().expect("a path").to_owned()
}

#[test]
fn client_success_without_mount_is_an_error() {
    assert_connect_fails_with("standin.fault=exit-without-mounting", &[], (4, "mount_failed"));
}

#[test]
fn client_mounting_late_leaves_no_mount() {
    assert_connect_fails_with("standin.late_mount_ms=3600000", &[], (4, "mount_failed"));
}

#[test]
fn root_with_size_is_a_stale_mount() {
    assert_connect_fails_with("standin.fault=stale-root", &[], (4, "mount_stale"));
}

#[test]
fn hung_client_is_killed_at_mount_timeout() {
    let setting = "standin.fault=hang-before-mount";
    assert_connect_fails_with(setting, &["--mount-timeout", "1"], (5, "mount_timeout"));
}

#[test]
fn slow_client_is_killed_at_mount_timeout() {
    let setting = "standin.mount_delay_ms=3600000";
    assert_connect_fails_with(setting, &["--mount-timeout", "1"], (5, "mount_timeout"));
}

#[test]
fn slow_client_is_awaited_until_mount_timeout() {
    let site = site(&["standin.mount_delay_ms=500"]);
    site.connect(GUEST, &site.info("one")).answer();
}

#[test]
fn unreachable_registry_error_is_passed_on() {
    let message = assert_connect_fails_with("standin.fault=unreachable", &[], (4, "mount_failed"));
    assert!(message.contains("could not connect"), "{message}");
}

#[test]
fn nonexistent_volume_is_not_mounted() {
    let site = site(&[]);
    let mut info = site.info("one");
    info["data"]["export"] = json!("quobyte://registry/unheard-of");
    assert_connect_fails(&site, &info, &[], (4, "mount_failed"));
}

#[test]
fn other_file_system_type_is_not_quobyte() {
    assert_connect_fails_with("standin.subtype=xtreemfs", &[], (4, "not_quobyte"));
}

#[test]
fn mount_without_subtype_is_known_by_source() {
    let site = site(&["standin.subtype="]);
    let answer = site.connect(GUEST, &site.info("one")).answer();
    let mount_path = answer["mount_path"].as_str().expect("a path");
    let entry = mount_at(Path::new(mount_path)).expect("the volume is mounted");
    assert_eq!((entry.fs_type.as_str(), entry.source.as_str()), ("fuse", "quobyte@registry/volumes"));
    site.disconnect(GUEST, &site.info("one")).answer();
    site.assert_nothing_is_left();
}

#[test]
fn missing_client_config_is_reported_by_client() {
    let mut site = site(&[]);
    site.set_option("--quobyte-client-cfg", "/nonexistent/client.cfg");
    let message = assert_connect_fails(&site, &site.info("one"), &[], (4, "mount_failed"));
    assert!(message.contains("/nonexistent/client.cfg"), "{message}");
}

#[test]
fn missing_client_is_client_not_found() {
    let site = site(&[]);
    let command = Program::as_nova(Lab::require().directory().join("bin/nova-quobyte"));
    let program = site
        .with_options(command)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .args(["connect", "--instance", GUEST, "--connection-info", "-"])
        .input(site.info("one").to_string());
    assert_eq!(Reply::of(program).failure(), (4, "client_not_found"));
    site.assert_nothing_is_left();
}

#[test]
fn created_mount_base_is_removed_on_failure() {
    let mut site = site(&["standin.fault=unreachable"]);
    site.set_option("--quobyte-mount-point-base", site.base().join("new/mnt"));
    assert_connect_fails(&site, &site.info("one"), &[], (4, "mount_failed"));
}

#[test]
fn file_at_mount_point_is_preserved() {
    let site = site(&[]);
    let path = mount_path(&site);
    File::create(&path).expect("make a file in the way");
    let reply = site.connect(GUEST, &site.info("one"));
    assert_eq!(reply.failure(), (4, "mount_failed"));
    assert!(Path::new(&path).is_file());
    assert_eq!(site.records(), [""; 0]);
}

/// Mounts something at the mount path first; connect has to refuse it and to leave it as it is.
fn assert_mount_refused(mount: impl Fn(&Site, &Path), expected: (i32, &str)) {
    let site = site(&[]);
    let path = mount_path(&site);
    let path = Path::new(&path);
    let name = path.file_name().expect("a mount directory has a name");
    site.scratch().directory(&format!("mnt/{}", name.to_string_lossy()));
    mount(&site, path);
    let before = mount_at(path);
    assert!(before.is_some());
    let reply = site.connect(GUEST, &site.info("one"));
    assert_eq!(mount_at(path), before);
    assert_eq!(reply.failure(), expected);
    assert_eq!(site.records(), [""; 0]);
}

#[test]
fn foreign_mount_is_refused_and_preserved() {
    let tmpfs = |_: &Site, path: &Path| {
        Program::as_root("mount").args(["-t", "tmpfs", "foreign"]).arg(path).succeed();
    };
    assert_mount_refused(tmpfs, (4, "not_quobyte"));
}

#[test]
fn wrong_volume_mount_is_refused_and_preserved() {
    let other = |site: &Site, path: &Path| {
        site.volume().sibling(site.scratch(), "other");
        Program::as_nova("mount.quobyte")
            .args(["--disable-xattrs", "registry/other"])
            .arg(path)
            .arg("-c")
            .arg(site.volume().config())
            .succeed();
    };
    assert_mount_refused(other, (4, "wrong_volume"));
}
