//! Guests by name and images by URL: what people type, and what they are told.

use e2e::{Finished, Guest, Program, Reply, Site};
use serde_json::json;

fn site(images: &[&str]) -> Site {
    let site = Site::new(&[]);
    site.close_base();
    for image in images {
        site.volume().image(image, "raw", &[0; 1 << 16]);
    }
    site
}

/// The answer for people.
fn text(site: &Site, arguments: &[&str]) -> Finished {
    site.with_text_options(Program::as_nova("nova-quobyte")).args(arguments).run()
}

fn url(site: &Site, image: &str) -> String {
    format!("{}/{image}", site.volume().export())
}

#[test]
fn one_url_names_volume_and_image() {
    let site = site(&["disk1.raw"]);
    let guest = Guest::define(site.scratch());
    let disk = url(&site, "disk1.raw");
    let attached = site.run(&["attach", guest.name(), &disk]).answer();
    assert_eq!((&attached["target"], &attached["format"]), (&json!("vda"), &json!("raw")));
    let schemeless = disk.trim_start_matches("quobyte://").to_owned();
    assert_eq!(site.run(&["attach", guest.name(), &schemeless]).answer()["changed"], json!(false));
    site.run(&["explain", &disk]).answer();
    let xml = site.run(&["disk-xml", &disk, "--target", "vdb"]).answer();
    assert!(xml["xml"].as_str().is_some_and(|xml| xml.contains("disk1.raw")), "{xml}");
    let detached = site.run(&["detach", guest.name(), &disk]).answer();
    assert_eq!((&detached["target"], &detached["mounted"]), (&json!("vda"), &json!(false)));

    site.run(&["connect", "--instance", guest.name(), &disk]).answer();
    assert_eq!(site.attachments(), [(guest.uuid().to_owned(), "disk1.raw".to_owned())]);
    let disconnected = site.run(&["disconnect", "--instance", guest.name(), &disk]).answer();
    assert_eq!((&disconnected["changed"], &disconnected["mounted"]), (&json!(true), &json!(false)));
    site.assert_nothing_is_left();
}

#[test]
fn url_without_image_or_format_is_refused() {
    let site = site(&["disk1"]);
    let guest = Guest::define(site.scratch());
    let volume = site.volume().export();
    for image in [volume, "disk1.raw", &format!("{volume}/"), "quobyte://registry"] {
        let reply = site.run(&["attach", guest.name(), image, "--format", "raw"]);
        assert_eq!(reply.failure(), (3, "invalid_export"), "{image}");
        assert!(reply.message().contains("host/volume/image"), "{}", reply.message());
    }
    let reply = site.run(&["attach", guest.name(), &url(&site, "disk1")]);
    assert_eq!(reply.failure(), (2, "usage"));
    assert!(reply.message().contains("--format"), "{}", reply.message());
    let reply = site.run(&["attach", guest.name(), &url(&site, "disk1"), "--format", "vmdk"]);
    assert_eq!(reply.failure(), (3, "unsupported_format"));
    site.assert_nothing_is_left();
}

#[test]
fn guest_name_is_taken_like_its_uuid() {
    let site = site(&["disk1.raw"]);
    let guest = Guest::define(site.scratch());
    let info = site.info("disk1.raw");
    site.connect(guest.name(), &info).answer();
    assert_eq!(site.attachments_of(guest.uuid()).len(), 1);
    assert_eq!(site.connect(guest.uuid(), &info).answer()["changed"], json!(false));
    site.disconnect(guest.name(), &info).answer();
    site.assert_nothing_is_left();
    for reply in [site.connect("no-such-guest", &info), site.disconnect("no-such-guest", &info)] {
        assert_eq!(reply.failure(), (8, "domain_not_found"));
    }
}

#[test]
fn image_name_of_two_disks_is_ambiguous() {
    let site = site(&["disk1.raw"]);
    let other = site.volume().sibling(site.scratch(), "others");
    other.image("disk1.raw", "raw", &[0; 1 << 16]);
    let guest = Guest::define(site.scratch());
    let other_url = format!("{}/disk1.raw", other.export());
    site.run(&["attach", guest.name(), &url(&site, "disk1.raw")]).answer();
    site.run(&["attach", guest.name(), &other_url]).answer();
    let reply = site.run(&["detach", guest.name(), "disk1.raw"]);
    assert_eq!(reply.failure(), (3, "image_ambiguous"));
    assert!(["vda", "vdb"].iter().all(|target| reply.message().contains(target)), "{}", reply.message());
    assert_eq!(site.run(&["detach", guest.name(), &other_url]).answer()["target"], json!("vdb"));
    assert_eq!(site.run(&["detach", guest.name(), "disk1.raw"]).answer()["target"], json!("vda"));
    let reply = site.run(&["detach", guest.name(), "disk1.raw"]);
    assert_eq!(reply.failure(), (8, "disk_not_found"));
    site.assert_nothing_is_left();
}

#[test]
fn image_below_a_snapshot_names_its_disk() {
    let site = site(&["disk1.raw"]);
    let guest = Guest::boot(site.scratch());
    let attached = site.run(&["attach", guest.name(), &url(&site, "disk1.raw")]).answer();
    let target = attached["target"].as_str().expect("a target");
    let share = attached["mount_path"].as_str().expect("a path");
    site.volume().overlay("disk1.overlay", ("disk1.raw", "raw"));
    guest.snapshot(target, &std::path::Path::new(share).join("disk1.overlay"));
    let detached = site.run(&["detach", guest.name(), "disk1.raw"]).answer();
    assert_eq!(detached["target"], attached["target"]);
}

#[test]
fn users_of_a_volume_are_told_by_name() {
    let site = site(&["disk1.raw", "disk2.raw", "disk3.raw"]);
    let (one, two) = (Guest::define(site.scratch()), Guest::define(site.scratch()));
    for (guest, image) in [(&one, "disk1.raw"), (&two, "disk2.raw"), (&two, "disk3.raw")] {
        site.run(&["attach", guest.name(), &url(&site, image)]).answer();
    }
    let detached = text(&site, &["detach", one.name(), "disk1.raw"]).stdout;
    assert!(detached.ends_with(&format!(": {} (vda, vdb) uses it\n", two.name())), "{detached}");
    site.run(&["attach", one.name(), &url(&site, "disk1.raw")]).answer();
    let disconnected =
        text(&site, &["disconnect", "--instance", two.name(), &url(&site, "disk3.raw")]).stdout;
    assert!(disconnected.contains(&format!("{} (vda)", one.name())), "{disconnected}");
    assert!(disconnected.contains(" use it\n"), "{disconnected}");
}

#[test]
fn lost_guests_are_told_in_one_line() {
    let site = site(&["disk1.raw", "disk2.raw", "disk3.raw"]);
    let guests = [Guest::boot(site.scratch()), Guest::boot(site.scratch())];
    site.run(&["attach", guests[0].name(), &url(&site, "disk1.raw")]).answer();
    site.run(&["attach", guests[1].name(), &url(&site, "disk2.raw")]).answer();
    site.crash_clients();
    let other = Guest::define(site.scratch());
    let reply = site.run(&["attach", other.name(), &url(&site, "disk3.raw")]);
    let lines: Vec<_> = reply.warnings().lines().filter(|line| line.contains(guests[0].name())).collect();
    assert_eq!(lines.len(), 1, "{}", reply.warnings());
    assert!(lines[0].contains(guests[1].name()) && lines[0].contains("disk2.raw"), "{}", lines[0]);
    reply.answer();
}

#[test]
fn qcow2_declared_raw_is_told() {
    let site = site(&[]);
    let guest = Guest::define(site.scratch());
    // As it is made, such an image is of a length that QEMU does not open with O_DIRECT.
    for name in ["disk1", "disk2.qcow2"] {
        let image = site.volume().directory().join(name);
        Program::as_root("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&image).arg("1G").succeed();
        Program::as_root("chmod").arg("666").arg(&image).succeed();
        let reply = site.run(&["attach", guest.name(), &url(&site, name), "--format", "raw"]);
        assert!(
            reply.warnings().contains("if it is a qcow2 image, declare it as one"),
            "{}",
            reply.warnings()
        );
        assert_eq!(reply.warnings().contains("its name says qcow2"), name.ends_with(".qcow2"));
        assert_eq!(reply.answer()["format"], json!("raw"));
    }
}

#[test]
fn missing_client_tells_whose_path_was_searched() {
    let site = site(&["disk1.raw"]);
    let instance = "a11ce000-0000-4000-8000-000000000001";
    let command = std::env::var("NOVA_QUOBYTE_LAB").expect("the lab") + "/bin/nova-quobyte";
    let program = site.with_options(Program::as_nova(command));
    let program = program.args(["connect", "--launcher", "direct", "--instance", instance]);
    let reply = Reply::of(program.arg(url(&site, "disk1.raw")).env("PATH", "/opt/elsewhere:/usr/bin:/bin"));
    assert_eq!(reply.failure(), (4, "client_not_found"));
    assert!(
        reply.message().contains("this process's PATH, then the system's: /opt/elsewhere:"),
        "{}",
        reply.message()
    );
    site.assert_nothing_is_left();
}

#[test]
fn missing_connection_file_is_invalid_connection() {
    let site = site(&[]);
    for operation in ["connect", "disconnect"] {
        let instance = "a11ce000-0000-4000-8000-000000000001";
        let reply = Reply::of(site.command(&[
            operation,
            "--instance",
            instance,
            "--connection-info",
            "/nonexistent",
        ]));
        assert_eq!(reply.failure(), (3, "invalid_connection"), "{operation}");
    }
}
