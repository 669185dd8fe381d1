//! A libvirtd that does not answer: every call returns, and nothing is taken for granted.

use std::fs;

use e2e::{
    Guest, Held, Reply, Site,
    faults::{ALICE, Share},
    mount_at,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

/// For a libvirtd that is stopped from the start.
const SOON: [&str; 2] = ["--libvirt-timeout", "1"];
/// For one that answers until it is stopped.
const LATER: [&str; 2] = ["--libvirt-timeout", "10"];

/// The lab's libvirtd, stopped until this is dropped.
struct Stopped(Pid);

impl Stopped {
    fn stop() -> Self {
        let id = fs::read_to_string("/run/libvirtd.pid").expect("libvirtd has a pid file");
        let libvirtd = Pid::from_raw(id.trim().parse().expect("a number")).expect("a process");
        kill_process(libvirtd, Signal::STOP).expect("stop libvirtd");
        Self(libvirtd)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        kill_process(self.0, Signal::CONT).expect("let libvirtd go on");
    }
}

fn assert_unanswered(reply: &Reply) {
    assert_eq!(reply.failure(), (8, "libvirt_error"));
    assert!(reply.message().contains("did not answer"), "{}", reply.message());
}

#[test]
fn every_call_returns_although_libvirt_does_not_answer() {
    let share = Share::connected();
    let site = share.site();
    let guest = Guest::define(site.scratch());
    let stopped = Stopped::stop();
    assert_unanswered(&site.attach(&guest, &site.info("two"), &SOON));
    assert_unanswered(&site.detach(&guest, "vda", &SOON));
    let status = site.run(&[&["status"], &SOON[..]].concat()).answer();
    assert_eq!(status["shares"][0]["state"], "healthy", "{status}");
    let disconnect = [&["disconnect", "--instance", ALICE], &SOON[..]].concat();
    let kept = site.run_with(&site.info("one"), &disconnect).answer();
    assert_eq!((&kept["changed"], &kept["reason"]), (&json!(true), &json!("unknown")), "{kept}");
    drop(stopped);
    site.run(&["reconcile"]).answer();
    site.assert_nothing_is_left();
}

#[test]
fn a_volume_stays_connected_while_libvirt_may_yet_give_it_to_the_guest() {
    let site = Site::new(&[]);
    site.volume().image("disk", "raw", &[0; 1 << 20]);
    let guest = Guest::define(site.scratch());
    let client = Held::new(site.scratch(), "mount.quobyte");
    let attach = site.command(&[&["attach", guest.name(), "--connection-info", "-"], &LATER[..]].concat());
    let attach = attach.env("PATH", client.path()).input(site.info("disk").to_string());
    let reply = std::thread::scope(|scope| {
        let attach = scope.spawn(|| Reply::of(attach));
        // libvirt has told of the guest by now, and has not yet been asked to add the disk.
        client.wait();
        let _stopped = Stopped::stop();
        client.let_go();
        attach.join().expect("it answers")
    });
    assert_unanswered(&reply);
    assert!(reply.message().contains(guest.name()), "{}", reply.message());
    assert_eq!(site.attachments(), [(guest.uuid().to_owned(), "disk".to_owned())]);
    let directories = site.mount_directories();
    assert!(mount_at(&site.base().join(&directories[0])).is_some());

    let instance = guest.uuid().to_owned();
    drop(guest);
    site.disconnect(&instance, &site.info("disk")).answer();
    site.assert_nothing_is_left();
}
