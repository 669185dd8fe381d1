//! Other users of the host and the images of guests: who may pass the directory to mount below.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use e2e::{Finished, Guest, Program, Reply, SessionLibvirtd, Site};
use serde_json::json;

const ALICE: &str = "a11ce000-0000-4000-8000-000000000001";

/// A program of a user who is neither the service's nor QEMU's.
fn as_stranger(program: &str) -> Program {
    Program::as_root("setpriv").args(["--reuid=65534", "--regid=65534", "--clear-groups", "--", program])
}

fn assert_denied(finished: &Finished) {
    assert!(!finished.status.success(), "{finished:?}");
    assert!(finished.stderr.contains("Permission denied"), "{finished:?}");
}

/// Has another user try to list the base, and to read and write an image whose path it knows.
fn assert_stranger_is_kept_out(base: &Path, image: &Path) {
    assert_denied(&as_stranger("ls").arg(base).run());
    assert_denied(&as_stranger("head").args(["-c", "1"]).arg(image).run());
    let output = format!("of={}", image.display());
    assert_denied(
        &as_stranger("dd").args(["if=/dev/zero", &output, "bs=1", "count=1", "conv=notrunc"]).run(),
    );
}

/// Has a guest use an image below the base while another user tries to.
fn assert_guest_works_alone(site: &Site, base: &Path) {
    let mut guest = Guest::boot(site.scratch());
    let answer = site.attach(&guest, &site.info("disk"), &[]).answer();
    let image = Path::new(answer["device_path"].as_str().expect("a path"));
    guest.write_text("vda", "before");
    assert_stranger_is_kept_out(base, image);
    guest.write_text("vda", "afterwards");
    assert!(site.volume().contents("disk", "raw").starts_with(b"afterwards"));
    // What is closed to others is not closed to a guest's next start.
    guest.destroy();
    guest.start();
    assert_eq!(guest.read_text("vda", 10), "afterwards");
    assert_stranger_is_kept_out(base, image);
    assert_eq!(site.detach(&guest, "vda", &[]).answer()["mounted"], json!(false));
}

#[test]
fn new_base_is_closed_to_other_users() {
    let mut site = Site::with_images(&[("disk", "raw")]);
    let base = site.scratch().path().join("new/mnt");
    site.set_option("--quobyte-mount-point-base", &base);
    let reply = site.connect(ALICE, &site.info("disk"));
    assert_eq!(reply.warnings(), "");
    reply.answer();
    assert_eq!(fs::metadata(&base).expect("a base was made").permissions().mode() & 0o777, 0o710);
    site.disconnect(ALICE, &site.info("disk")).answer();
    assert_guest_works_alone(&site, &base);
}

#[test]
fn session_libvirt_closes_base_to_no_system_guest() {
    let mut site = Site::with_images(&[("disk", "raw")]);
    let base = site.scratch().path().join("new/mnt");
    site.set_option("--quobyte-mount-point-base", &base);
    let session = SessionLibvirtd::start(site.scratch());
    let connect = site.command(&["connect", "--instance", ALICE, "--connection-info", "-"]);
    Reply::of(session.for_program(connect.input(site.info("disk").to_string()))).answer();
    site.disconnect(ALICE, &site.info("disk")).answer();
    assert_guest_works_alone(&site, &base);
}

#[test]
fn open_base_is_told_once_per_mount() {
    let site = Site::with_images(&[("disk", "raw")]);
    for _ in 0..2 {
        let first = site.connect(ALICE, &site.info("disk"));
        assert!(first.warnings().contains(&format!("may pass {} and", site.base().display())), "{first:?}");
        assert_eq!(site.connect(ALICE, &site.info("disk")).warnings(), "");
        site.disconnect(ALICE, &site.info("disk")).answer();
    }
    // As the warning has it.
    site.close_base();
    let reply = site.connect(ALICE, &site.info("disk"));
    assert_eq!(reply.warnings(), "");
    site.disconnect(ALICE, &site.info("disk")).answer();
    assert_guest_works_alone(&site, site.base());
    site.assert_nothing_is_left();
}
