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
fn fails(site: &Site, info: &Value, arguments: &[&str], expected: (i32, &str)) -> String {
    let connect = ["connect", "--instance", GUEST];
    let reply = site.run_with(info, &[&connect, arguments].concat());
    assert_eq!(reply.failure(), expected, "{}", reply.message());
    site.assert_nothing_is_left();
    reply.message().to_owned()
}

fn fails_with_setting(setting: &str, arguments: &[&str], expected: (i32, &str)) -> String {
    let site = site(&[setting]);
    fails(&site, &site.info("one"), arguments, expected)
}

/// Where the site mounts its volume.
fn mount_path(site: &Site) -> String {
    let path = site.connect(GUEST, &site.info("one")).answer()["mount_path"].take();
    site.disconnect(GUEST, &site.info("one")).answer();
    path.as_str().expect("a path").to_owned()
}

#[test]
fn a_client_that_reports_a_mount_that_is_not_there_is_not_believed() {
    fails_with_setting("standin.fault=exit-without-mounting", &[], (4, "mount_failed"));
}

#[test]
fn a_client_that_mounts_after_it_has_reported_leaves_no_late_mount() {
    fails_with_setting("standin.late_mount_ms=3600000", &[], (4, "mount_failed"));
}

#[test]
fn a_root_with_a_size_is_a_stale_mount() {
    fails_with_setting("standin.fault=stale-root", &[], (4, "mount_stale"));
}

#[test]
fn a_client_that_hangs_is_ended_at_the_deadline() {
    let setting = "standin.fault=hang-before-mount";
    fails_with_setting(setting, &["--mount-timeout", "1"], (5, "mount_timeout"));
}

#[test]
fn a_client_that_needs_longer_than_it_is_given_is_ended() {
    let setting = "standin.mount_delay_ms=3600000";
    fails_with_setting(setting, &["--mount-timeout", "1"], (5, "mount_timeout"));
}

#[test]
fn a_client_that_takes_its_time_is_waited_for() {
    let site = site(&["standin.mount_delay_ms=500"]);
    site.connect(GUEST, &site.info("one")).answer();
}

#[test]
fn what_the_client_says_of_an_unreachable_registry_reaches_the_caller() {
    let message = fails_with_setting("standin.fault=unreachable", &[], (4, "mount_failed"));
    assert!(message.contains("could not connect"), "{message}");
}

#[test]
fn a_volume_that_does_not_exist_is_not_mounted() {
    let site = site(&[]);
    let mut info = site.info("one");
    info["data"]["export"] = json!("quobyte://registry/unheard-of");
    fails(&site, &info, &[], (4, "mount_failed"));
}

#[test]
fn another_type_of_file_system_is_not_quobyte() {
    fails_with_setting("standin.subtype=xtreemfs", &[], (4, "not_quobyte"));
}

#[test]
fn a_client_of_the_first_generation_is_known_by_its_source() {
    let site = site(&["standin.subtype="]);
    let answer = site.connect(GUEST, &site.info("one")).answer();
    let mount_path = answer["mount_path"].as_str().expect("a path");
    let entry = mount_at(Path::new(mount_path)).expect("the volume is mounted");
    assert_eq!((entry.fs_type.as_str(), entry.source.as_str()), ("fuse", "quobyte@registry/volumes"));
    site.disconnect(GUEST, &site.info("one")).answer();
    site.assert_nothing_is_left();
}

#[test]
fn a_missing_client_configuration_is_the_clients_to_refuse() {
    let mut site = site(&[]);
    site.set("--quobyte-client-cfg", "/nonexistent/client.cfg");
    let message = fails(&site, &site.info("one"), &[], (4, "mount_failed"));
    assert!(message.contains("/nonexistent/client.cfg"), "{message}");
}

#[test]
fn a_client_that_is_not_installed_is_told_from_one_that_fails() {
    let site = site(&[]);
    let command = Program::as_nova(Lab::require().directory().join("bin/nova-quobyte"));
    let program = site
        .complete(command)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .args(["connect", "--instance", GUEST, "--connection-info", "-"])
        .input(site.info("one").to_string());
    assert_eq!(Reply::of(program).failure(), (4, "client_not_found"));
    site.assert_nothing_is_left();
}

#[test]
fn a_base_that_is_made_for_a_mount_goes_with_a_failed_one() {
    let mut site = site(&["standin.fault=unreachable"]);
    site.set("--quobyte-mount-point-base", site.base().join("new/mnt"));
    fails(&site, &site.info("one"), &[], (4, "mount_failed"));
}

#[test]
fn a_file_where_the_mount_should_be_is_left_alone() {
    let site = site(&[]);
    let path = mount_path(&site);
    File::create(&path).expect("make a file in the way");
    let reply = site.connect(GUEST, &site.info("one"));
    assert_eq!(reply.failure(), (4, "mount_failed"));
    assert!(Path::new(&path).is_file());
    assert_eq!(site.records(), [""; 0]);
}

/// Mounts something at the mount path first; connect has to refuse it and to leave it as it is.
fn refuses_what_is_mounted(mount: impl Fn(&Site, &Path), expected: (i32, &str)) {
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
fn a_foreign_mount_in_the_way_is_left_alone() {
    let tmpfs = |_: &Site, path: &Path| {
        Program::as_root("mount").args(["-t", "tmpfs", "foreign"]).arg(path).succeed();
    };
    refuses_what_is_mounted(tmpfs, (4, "not_quobyte"));
}

#[test]
fn another_volume_mounted_in_the_way_is_left_alone() {
    let other = |site: &Site, path: &Path| {
        site.volume().beside(site.scratch(), "other");
        Program::as_nova("mount.quobyte")
            .args(["--disable-xattrs", "registry/other"])
            .arg(path)
            .arg("-c")
            .arg(site.volume().config())
            .succeed();
    };
    refuses_what_is_mounted(other, (4, "wrong_volume"));
}
