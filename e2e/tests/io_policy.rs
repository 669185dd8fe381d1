//! From what is seen of host and mount to the disk that libvirt is told of.

use std::{fs, path::Path};

use e2e::{Program, Reply, Site, mount_at};
use serde_json::{Value, json};

const ALICE: &str = "a11ce000-0000-4000-8000-000000000001";

fn site(settings: &[&str]) -> Site {
    let site = Site::new(settings);
    site.volume().image("disk", "raw", &[0; 4096]);
    site
}

fn connect(site: &Site, info: &Value, options: &[&str]) -> Reply {
    site.run_with(info, &[&["connect", "--instance", ALICE], options].concat())
}

/// Has libvirt answer once, however long it takes: its first look at QEMU can take longer than the command waits for
/// facts that it can do without.
fn warm_up_libvirt(question: &str) {
    Program::as_nova("virsh").args(["--connect", "qemu:///system", question]).succeed();
}

/// The `<driver>` that disk-xml tells of.
fn driver(site: &Site, options: &[&str]) -> String {
    let arguments = [&["disk-xml", "--target", "vdb"], options].concat();
    let xml = site.run_with(&site.info("disk"), &arguments).answer()["xml"].take();
    let xml = xml.as_str().expect("XML").to_owned();
    xml.lines().find(|line| line.contains("<driver")).expect("a driver").trim().to_owned()
}

#[test]
fn client_without_o_direct_is_cached_or_refused() {
    let site = site(&["standin.o_direct=off"]);
    let mut info = site.info("disk");
    for options in [["--cache-mode", "none"], ["--io-mode", "native"]] {
        assert_eq!(connect(&site, &info, &options).failure(), (3, "invalid_config"));
        site.assert_nothing_is_left();
    }
    info["multiattach"] = json!(true);
    assert_eq!(connect(&site, &info, &[]).failure(), (3, "invalid_config"));
    site.assert_nothing_is_left();
    info["multiattach"] = json!(false);
    let answer = connect(&site, &info, &[]).answer();
    assert_eq!((&answer["cache"], &answer["io"]), (&json!("writeback"), &json!("threads")));
}

#[test]
fn async_direct_io_raises_max_background() {
    for (async_dio, own, expected) in [("on", 12, "256\n"), ("on", 300, "300\n"), ("off", 12, "12\n")] {
        let settings = [format!("standin.async_dio={async_dio}"), format!("standin.max_background={own}")];
        let site = site(&settings.each_ref().map(String::as_str));
        let limit = || {
            let path = site.connect(ALICE, &site.info("disk")).answer()["mount_path"].take();
            let mount = mount_at(Path::new(path.as_str().expect("a path"))).expect("it is mounted");
            fs::read_to_string(mount.control("max_background")).expect("ask the kernel")
        };
        assert_eq!(limit(), expected, "{settings:?}");
        site.crash_clients();
        assert_eq!(limit(), expected, "{settings:?}, mounted anew");
    }
}

#[test]
fn connect_disk_xml_and_explain_agree_on_policy() {
    for (async_dio, mode) in [("on", "native"), ("off", "threads")] {
        let site = site(&[&format!("standin.async_dio={async_dio}")]);
        let info = site.info("disk");
        assert_eq!(connect(&site, &info, &[]).answer()["io"], mode);
        assert!(driver(&site, &[]).ends_with(&format!("cache=\"none\" io=\"{mode}\"/>")));
        assert_eq!(site.run_with(&info, &["explain"]).answer()["policy"]["io"], mode);
    }
}

#[test]
fn explain_lists_facts_costs_and_alternatives() {
    warm_up_libvirt("version");
    let site = site(&["standin.async_dio=off"]);
    let info = site.info("disk");
    let answer = site.run_with(&info, &["explain"]).answer();
    assert_eq!((&answer["mounted"], &answer["facts"]["direct_io"]), (&json!(false), &Value::Null));
    assert_eq!(answer["rows"]["io"]["name"], "io_unprobed");
    site.assert_nothing_is_left();

    connect(&site, &info, &[]).answer();
    let answer = site.run_with(&info, &["explain"]).answer();
    assert_eq!((&answer["mounted"], &answer["facts"]["direct_io"]), (&json!(true), &json!("synchronous")));
    assert_eq!(answer["rows"]["cache"]["name"], "direct_io");
    assert_eq!(answer["rows"]["io"]["name"], "synchronous");
    assert!(answer["rows"]["io"]["cost"]["remedy"].is_string(), "{answer}");
    let otherwise: Vec<_> = answer["otherwise"].as_array().expect("a list").iter().collect();
    assert_eq!(otherwise[0]["then"]["io"], "native");
    assert_eq!(otherwise[1]["then"]["cache"], "writeback");
    for fact in ["qemu", "libvirt"] {
        assert!(answer["facts"][fact].is_string(), "{answer}");
    }
}

#[test]
fn io_cost_is_logged_once_per_mount() {
    let site = site(&["standin.async_dio=off"]);
    let log = || {
        let program = site.command(&["connect", "--instance", ALICE, "--connection-info", "-"]);
        program.input(site.info("disk").to_string()).run().stderr
    };
    assert!(log().contains("asynchronous direct I/O"));
    assert_eq!(log(), "");
    site.crash_clients();
    assert!(log().contains("asynchronous direct I/O"));
}

#[test]
fn io_uring_requires_qemu_support() {
    let site = site(&[]);
    let info = site.info("disk");
    let image = site.volume().directory().join("disk");
    let opens = Program::as_nova("qemu-img")
        .args(["bench", "-c", "1", "-f", "raw", "-i", "io_uring"])
        .arg(image)
        .run();
    ["version", "domcapabilities"].into_iter().for_each(warm_up_libvirt);
    let reply = connect(&site, &info, &["--io-mode", "io_uring"]);
    if opens.status.success() {
        assert_eq!(reply.answer()["io"], "io_uring");
        assert!(driver(&site, &["--io-mode", "io_uring"]).ends_with("io=\"io_uring\"/>"));
    } else {
        assert_eq!(reply.failure(), (3, "invalid_config"));
    }
    let unknown = ["--io-mode", "io_uring", "--connect-uri", "qemu+unix:///system?socket=/nonexistent"];
    assert_eq!(connect(&site, &info, &unknown).failure(), (3, "invalid_config"));
}

#[test]
fn physical_block_size_option_is_in_disk_xml() {
    let site = site(&[]);
    connect(&site, &site.info("disk"), &[]).answer();
    let arguments = ["disk-xml", "--target", "vdb", "--physical-block-size", "4096"];
    let answer = site.run_with(&site.info("disk"), &arguments).answer();
    let xml = answer["xml"].as_str().expect("XML");
    assert!(xml.contains("<blockio physical_block_size=\"4096\"/>"), "{xml}");
}

#[test]
fn nova_disk_cachemodes_go_before_all() {
    let site = site(&["standin.async_dio=on"]);
    let mut info = site.info("disk");
    connect(&site, &info, &[]).answer();
    for (modes, cache, io) in [
        ("block=writeback", "none", "native"),
        ("\"file=directsync\"", "directsync", "native"),
        ("network=none, file=writeback", "writeback", "threads"),
        ("file=unsafe,file=fast", "unsafe", "threads"),
        ("file=default", "default", "threads"),
    ] {
        let config = site.scratch().file("nova.conf", format!("[libvirt]\ndisk_cachemodes = {modes}\n"));
        let options = ["--config", &config.to_string_lossy()];
        let driver = driver(&site, &options);
        assert!(driver.contains(&format!(" cache=\"{cache}\"")), "{modes}: {driver}");
        let explained = site.run_with(&info, &[&["explain"], &options[..]].concat()).answer();
        assert_eq!(explained["policy"]["cache"], cache, "{modes}");
        assert_eq!(explained["policy"]["io"], json!(io), "{modes}: {explained}");
        info["multiattach"] = json!(true);
        let explained = site.run_with(&info, &[&["explain"], &options[..]].concat()).answer();
        assert_eq!(explained["policy"]["cache"], "none", "{modes}");
        info["multiattach"] = json!(false);
    }
}
