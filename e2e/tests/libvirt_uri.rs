//! Which libvirt is asked: none but the system's gives leave to unmount, and every message says which it was.

use e2e::{
    DiskXml, Guest, Program, Reply, SessionLibvirtd, Site,
    faults::{ALICE, Share},
    mount_at,
};
use serde_json::{Value, json};

/// A share with one attachment, and a shut-off domain of the system's libvirt that another program gave an image.
fn share_with_guest() -> (Share, Guest) {
    let share = Share::connected();
    let guest = Guest::define(share.site().scratch());
    let disk = DiskXml::file(&share.mount_path().join("two"), "raw", "vda");
    guest.virsh_attach(share.site().scratch(), &disk, &["--config"]);
    (share, guest)
}

/// Disconnects the only attachment by a command that `environment` has changed.
fn disconnect(site: &Site, environment: impl FnOnce(Program) -> Program) -> Value {
    let disconnect = ["disconnect", "--instance", ALICE, "--connection-info", "-"];
    let program = site.command(&disconnect).input(site.info("one").to_string());
    Reply::of(environment(program)).answer()
}

#[test]
fn empty_libvirt_uri_means_the_systems() {
    let (share, guest) = share_with_guest();
    let site = share.site();
    let answer = disconnect(site, |program| program.env("LIBVIRT_DEFAULT_URI", ""));
    assert_eq!(answer["reason"], json!("guests"), "{answer}");
    assert_eq!(answer["guests"][0]["domain"], guest.name());
    let answer = disconnect(site, |program| program.args(["--connect-uri", ""]));
    assert_eq!(answer["reason"], json!("guests"), "{answer}");
    guest.virsh("detach-disk", &["vda", "--config"]);
    let answer = disconnect(site, |program| program.env("LIBVIRT_DEFAULT_URI", ""));
    assert_eq!(answer["mounted"], json!(false), "{answer}");
    site.assert_nothing_is_left();
}

#[test]
fn session_libvirt_alone_gives_no_leave_to_unmount() {
    let (share, guest) = share_with_guest();
    let site = share.site();
    let session = SessionLibvirtd::start(site.scratch());
    let answer = disconnect(site, |program| session.for_program(program));
    assert_eq!(answer["mounted"], json!(true), "{answer}");
    assert!(matches!(answer["reason"].as_str(), Some("guests" | "unknown")), "{answer}");
    let reconcile = session.for_program(site.command(&["reconcile"]));
    Reply::of(reconcile).answer();
    assert!(mount_at(share.mount_path()).is_some());
    // It may be on record by now.
    site.detach(&guest, "vda", &[]).answer();
    disconnect(site, |program| program);
    site.assert_nothing_is_left();
}

#[test]
fn unknown_domain_names_libvirt_uri() {
    let site = Site::with_images(&[("disk", "raw")]);
    let session = SessionLibvirtd::start(site.scratch());
    let guest = Guest::define(site.scratch());
    let attach = |domain: &str| {
        let attach = ["attach", domain, "--connection-info", "-"];
        site.command(&attach).input(site.info("disk").to_string())
    };
    for (program, uri) in [
        (attach("unheard-of"), "qemu:///system"),
        (attach("unheard-of").env("LIBVIRT_DEFAULT_URI", ""), "qemu:///system"),
        (session.for_program(attach(guest.name())), "qemu:///session"),
        (session.for_program(site.command(&["detach", guest.name(), "vda"])), "qemu:///session"),
    ] {
        let reply = Reply::of(program);
        assert_eq!(reply.failure(), (8, "domain_not_found"));
        assert!(reply.message().contains(uri), "{uri}: {}", reply.message());
    }
    site.assert_nothing_is_left();
}
