//! attach of a disk that the domain's machine cannot have: it is refused before anything is mounted.

use e2e::{Guest, Program, Reply, Site};

fn site() -> Site {
    Site::with_images(&[("one", "raw"), ("two", "raw")])
}

/// A PATH whose client fails: whatever is refused before it is started is refused all the same.
fn path_without_client(site: &Site) -> String {
    let client = site.scratch().path().join("broken/mount.quobyte");
    if !client.exists() {
        site.scratch().directory("broken");
        site.scratch().file("broken/mount.quobyte", "#!/bin/sh\nexit 1\n");
        Program::as_root("chmod").arg("755").arg(&client).succeed();
    }
    let path = std::env::var("PATH").expect("the lab has a PATH");
    format!("{}:{path}", client.parent().expect("it is in a directory").display())
}

/// An i440FX machine, which has one IDE controller and no PCI Express.
fn i440fx(xml: String) -> String {
    let lines = xml.lines().filter(|line| !line.contains("pcie-root"));
    lines.map(|line| line.replace("'q35'", "'pc'") + "\n").collect()
}

/// Makes sure that it was refused for the disk, that nothing was mounted, and that the domain is as it was.
fn assert_unsupported(site: &Site, guest: &Guest, options: &[&str]) {
    let before = guest.xml(&["--inactive"]);
    let attach = [&["attach", guest.name(), "--connection-info", "-"][..], options].concat();
    let command = site.command(&attach).env("PATH", path_without_client(site));
    let reply = Reply::of(command.input(site.info("one").to_string()));
    assert_eq!(reply.failure(), (3, "disk_unsupported"), "{options:?}: {}", reply.message());
    assert_eq!(guest.xml(&["--inactive"]), before, "{options:?}");
    site.assert_nothing_is_left();
}

fn assert_attached(site: &Site, guest: &Guest, options: &[&str]) {
    let answer = site.attach(guest, &site.info("one"), options).answer();
    site.detach(guest, answer["target"].as_str().expect("a target"), &[]).answer();
    site.assert_nothing_is_left();
}

#[test]
fn q35_guest_gets_no_ide_or_missing_usb_disk() {
    let site = site();
    let mut guest = Guest::define(site.scratch());
    for options in [
        &["--target", "hda"][..],
        &["--target", "hdd"],
        &["--bus", "ide"],
        // There is a controller for two disks at most.
        &["--target", "hdz"],
        // The lab's guests have no USB.
        &["--bus", "usb"],
        &["--target", "sda", "--bus", "usb"],
    ] {
        assert_unsupported(&site, &guest, options);
    }
    for options in [&["--target", "sda"][..], &["--bus", "sata"], &["--target", "vda"], &[]] {
        assert_attached(&site, &guest, options);
    }
    // What is attached can be started with.
    for options in [&["--target", "sda", "--bus", "sata"][..], &["--target", "vdz"]] {
        site.attach(&guest, &site.info("one"), options).answer();
        guest.start_paused();
        guest.destroy();
        site.detach(&guest, options[1], &[]).answer();
    }
}

#[test]
fn i440fx_guest_gets_ide_disks_of_one_controller() {
    let site = site();
    let mut guest = Guest::define_with(site.scratch(), i440fx);
    assert_unsupported(&site, &guest, &["--target", "hde"]);
    for options in [&["--target", "hda"][..], &["--target", "hdd"], &["--bus", "sata"]] {
        assert_attached(&site, &guest, options);
    }
    site.attach(&guest, &site.info("one"), &["--target", "hdc"]).answer();
    guest.start_paused();
    guest.destroy();
    site.detach(&guest, "hdc", &[]).answer();
}

#[test]
fn running_guest_gets_no_disk_without_hotplug() {
    let site = site();
    let mut guest = Guest::define_with(site.scratch(), i440fx);
    guest.start_paused();
    for options in [&["--target", "hda"][..], &["--bus", "sata"], &["--bus", "ide"], &["--bus", "usb"]] {
        assert_unsupported(&site, &guest, options);
    }
    guest.destroy();
    assert_attached(&site, &guest, &["--target", "hda"]);
}

#[test]
fn domain_that_cannot_start_anyway_gets_disk() {
    let site = site();
    let guest = Guest::define(site.scratch());
    let local = site.scratch().file("local", vec![0; 1 << 20]);
    // libvirt itself adds what the machine cannot have.
    guest.virsh("attach-disk", &[&local.to_string_lossy(), "hda", "--config"]);
    assert_attached(&site, &guest, &[]);
}

#[test]
fn taken_target_is_refused_before_mount() {
    let site = site();
    let mut guest = Guest::define(site.scratch());
    for is_running in [false, true] {
        if is_running {
            guest.start();
        }
        site.attach(&guest, &site.info("two"), &["--target", "vda"]).answer();
        let reply = site.attach(&guest, &site.info("one"), &["--target", "vda"]);
        assert_eq!(reply.failure(), (8, "libvirt_error"));
        let expected = format!("domain {} has another disk vda", guest.name());
        assert!(reply.message().contains(&expected), "{}", reply.message());
        assert_eq!(site.attachments_of(guest.uuid()).len(), 1);
        site.detach(&guest, "vda", &[]).answer();
    }
}
