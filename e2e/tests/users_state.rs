//! A state directory that other users may change or hold: refused, with what to do about it.

use std::{fs, os::unix::fs::chown, path::Path};

use e2e::{Program, Reply, Site};
use serde_json::json;

const ALICE: &str = "a11ce000-0000-4000-8000-000000000001";
const STRANGER: u32 = 65534;

/// A site whose state directory has all its parts.
fn site() -> Site {
    let site = Site::with_images(&[("disk", "raw")]);
    site.connect(ALICE, &site.info("disk")).answer();
    site.disconnect(ALICE, &site.info("disk")).answer();
    site
}

/// Makes sure that every operation is refused, and says how to go on; then does that, after which they work.
fn assert_refused(site: &Site, remedy: &str, repair: Program) {
    for reply in [site.connect(ALICE, &site.info("disk")), site.run(&["status"]), site.run(&["reconcile"])] {
        assert_eq!(reply.failure(), (9, "state_unavailable"), "{}", reply.message());
        assert!(reply.message().contains(remedy), "{}", reply.message());
    }
    assert_eq!(site.mount_directories(), [""; 0]);
    repair.succeed();
    site.connect(ALICE, &site.info("disk")).answer();
    site.disconnect(ALICE, &site.info("disk")).answer();
}

fn chmod(mode: &str, path: &Path) -> Program {
    Program::as_root("chmod").arg(mode).arg(path)
}

#[test]
fn state_dir_writable_by_others_is_refused() {
    let site = site();
    for mode in ["0777", "0770", "1777"] {
        chmod(mode, site.state()).succeed();
        assert_refused(&site, "chmod go-w", chmod("go-w", site.state()));
    }
    let locks = site.state().join("locks");
    chmod("0755", &locks).succeed();
    assert_refused(&site, &format!("chmod go= {}", locks.display()), chmod("go=", &locks));
}

#[test]
fn parts_of_other_user_are_refused() {
    let site = site();
    for part in ["locks", "shares", "released"] {
        let path = site.state().join(part);
        chown(&path, Some(STRANGER), None).expect("give a directory away");
        assert_refused(&site, "belongs to user nobody", Program::as_root("chown").arg("nova").arg(&path));
    }
    // A lock file of another user may be held by that user.
    let locks = fs::read_dir(site.state().join("locks")).expect("list locks");
    let locks = locks.map(|entry| entry.expect("list locks").path());
    let lock =
        locks.into_iter().find(|path| path.extension().is_some_and(|one| one == "lock")).expect("a lock");
    chown(&lock, Some(STRANGER), None).expect("give a file away");
    let reply = site.connect(ALICE, &site.info("disk"));
    assert_eq!(reply.failure(), (9, "state_unavailable"), "{}", reply.message());
    assert!(reply.message().contains("belongs to user nobody"), "{}", reply.message());
    Program::as_root("rm").arg(&lock).succeed();
    site.connect(ALICE, &site.info("disk")).answer();
    site.disconnect(ALICE, &site.info("disk")).answer();
    site.assert_nothing_is_left();
}

#[test]
fn other_users_state_dir_names_its_owner() {
    let site = site();
    site.connect(ALICE, &site.info("disk")).answer();
    // Root would go past the records with another state directory, so none is spoken of.
    let reply = Reply::of(site.with_options(Program::as_root("nova-quobyte")).args(["status"]));
    assert_eq!(reply.failure(), (9, "state_unavailable"));
    assert!(reply.message().contains("sudo -u 'nova' nova-quobyte"), "{}", reply.message());
    assert!(!reply.message().contains("--state-dir"), "{}", reply.message());
    assert_eq!(site.disconnect(ALICE, &site.info("disk")).answer()["mounted"], json!(false));
}
