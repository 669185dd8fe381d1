//! A libvirtd that is restarted: guests go on, and the numbers that it gives to their runs are given again. And one that
//! waits for the end of a guest whose share hangs.
//!
//! No other test runs meanwhile: all of a lab share one libvirtd.

use std::{thread, time::Duration};

use e2e::{
    Guest, Reply, Site,
    faults::{ALICE, BOB, Share, wait_for_request},
    restart_libvirtd,
};
use serde_json::json;

fn site_with_guest() -> (Site, Guest) {
    let site = Site::with_images(&[("one", "raw")]);
    let mut guest = Guest::define(site.scratch());
    site.attach(&guest, &site.info("one"), &[]).answer();
    guest.start_paused();
    (site, guest)
}

fn assert_lost(site: &Site, guest: &Guest, lost: bool, when: &str) {
    let attachment = site.attachment_of(guest);
    assert_eq!(attachment["lost"], json!(lost), "{when}: {attachment}");
}

#[test]
fn libvirtd_restart_changes_nothing() {
    let (site, mut guest) = site_with_guest();
    let run = guest.run_id();
    restart_libvirtd();
    assert_eq!(guest.run_id(), run);
    assert_lost(&site, &guest, false, "restarted libvirtd");
    site.reconcile().assert_agreed();

    site.crash_clients();
    assert!(site.reconcile().mended_codes().contains(&"remounted"));
    restart_libvirtd();
    assert_lost(&site, &guest, true, "it still runs");
    assert_eq!(site.reconcile().left_codes(), ["lost"]);
    guest.destroy();
    site.detach(&guest, "vda", &[]).answer();
    site.assert_nothing_is_left();
}

#[test]
fn reused_run_id_is_another_run() {
    // Small numbers are soon reached again.
    restart_libvirtd();
    let (site, mut guest) = site_with_guest();
    let run = guest.run_id();
    site.crash_clients();
    assert!(site.reconcile().mended_codes().contains(&"remounted"));
    assert_lost(&site, &guest, true, "its mount died");

    // A libvirtd that finds no domain running begins to count anew.
    guest.destroy();
    restart_libvirtd();
    loop {
        guest.start_paused();
        let now = guest.run_id();
        if now == run {
            break;
        }
        assert!(now < run, "run {now} comes after {run}: libvirtd still counts");
        guest.destroy();
    }
    assert_lost(&site, &guest, false, "it was restarted");
    let reconciled = site.reconcile();
    assert!(!reconciled.left_codes().contains(&"lost"), "{reconciled:?}");
    guest.destroy();
    site.detach(&guest, "vda", &[]).answer();
    site.assert_nothing_is_left();
}

#[test]
fn destroy_on_hung_share_blocks_no_call() {
    const TIMEOUTS: [&str; 4] = ["--probe-timeout", "1", "--libvirt-timeout", "2"];
    // The other share comes first: its client does not obey the control file that makes the next one hang.
    let site = Site::new(&[]);
    let other = site.volume().sibling(site.scratch(), "other");
    other.image("one", "raw", &[0; 4096]);
    let mut elsewhere = site.info("one");
    elsewhere["data"]["export"] = json!(other.export());
    site.connect(BOB, &elsewhere).answer();
    let share = Share::on(site);
    let site = share.site();
    let mut guest = Guest::define(site.scratch());
    site.attach(&guest, &site.info("two"), &[]).answer();
    guest.start_paused();

    let client = share.client_guard();
    share.fail("no-answer");
    thread::scope(|scope| {
        // libvirtd waits for QEMU, which waits for the client, and lists no domain as long.
        let destroyed = scope.spawn(|| guest.destroy());
        wait_for_request(share.mount_path());
        let client = client;
        let run = |arguments: &[&str], info: &serde_json::Value| {
            let program = site.command(arguments).args(TIMEOUTS).input(info.to_string());
            Reply::of(program.within(Duration::from_secs(30))).answer()
        };
        let disconnect = |instance| ["disconnect", "--connection-info", "-", "--instance", instance];
        let status = run(&["status"], &json!({}));
        assert_eq!(status["shares"].as_array().map(Vec::len), Some(2), "{status}");
        run(&["reconcile"], &json!({}));
        for (instance, info) in [(BOB, &elsewhere), (ALICE, &site.info("one"))] {
            let answer = run(&disconnect(instance), info);
            assert_eq!((&answer["changed"], &answer["mounted"]), (&json!(true), &json!(true)), "{answer}");
        }
        drop(client);
        destroyed.join().expect("it is destroyed");
    });
    share.fail("none");
    site.detach(&guest, "vda", &[]).answer();
    let reconciled = site.reconcile();
    assert_eq!(reconciled.left_codes(), [""; 0], "{reconciled:?}");
    site.assert_nothing_is_left();
}
