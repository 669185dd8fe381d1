//! A libvirtd that does not answer: every call returns, and nothing is taken for granted.

use std::fs;

use e2e::{
    Guest, PausedProgram, Reply, Site,
    faults::{ALICE, Share},
    mount_at,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

/// For a libvirtd that is stopped from the start.
const SHORT_TIMEOUT: [&str; 2] = ["--libvirt-timeout", "1"];
/// For one that answers until it is stopped.
const MEDIUM_TIMEOUT: [&str; 2] = ["--libvirt-timeout", "10"];

/// The lab's libvirtd, stopped until this is dropped.
struct StoppedLibvirtd(Pid);

impl StoppedLibvirtd {
    fn stop() -> Self {
        let id = fs::read_to_string("/run/libvirtd.pid").expect("libvirtd has a pid file");
        let libvirtd = Pid::from_raw(id.trim().parse().expect("a number")).expect("a process");
        kill_process(libvirtd, Signal::STOP).expect("stop libvirtd");
        Self(libvirtd)
    }
}

impl Drop for StoppedLibvirtd {
    fn drop(&mut self) {
        kill_process(self.0, Signal::CONT).expect("let libvirtd go on");
    }
}

fn assert_unanswered(reply: &Reply) {
    assert_eq!(reply.failure(), (8, "libvirt_error"));
    assert!(reply.message().contains("did not answer"), "{}", reply.message());
}

#[test]
fn hung_libvirt_does_not_block_calls() {
    let share = Share::connected();
    let site = share.site();
    let guest = Guest::define(site.scratch());
    let stopped = StoppedLibvirtd::stop();
    assert_unanswered(&site.attach(&guest, &site.info("two"), &SHORT_TIMEOUT));
    assert_unanswered(&site.detach(&guest, "vda", &SHORT_TIMEOUT));
    let status = site.run(&[&["status"], &SHORT_TIMEOUT[..]].concat()).answer();
    assert_eq!(status["shares"][0]["state"], "healthy", "{status}");
    let disconnect = [&["disconnect", "--instance", ALICE], &SHORT_TIMEOUT[..]].concat();
    let reply = site.run_with(&site.info("one"), &disconnect).answer();
    assert_eq!((&reply["changed"], &reply["reason"]), (&json!(true), &json!("unknown")), "{reply}");
    drop(stopped);
    site.run(&["reconcile"]).answer();
    site.assert_nothing_is_left();
}

#[test]
fn attach_timeout_keeps_volume_connected() {
    let site = Site::new(&[]);
    site.volume().image("disk", "raw", &[0; 1 << 20]);
    let guest = Guest::define(site.scratch());
    let client = PausedProgram::new(site.scratch(), "mount.quobyte");
    let attach =
        site.command(&[&["attach", guest.name(), "--connection-info", "-"], &MEDIUM_TIMEOUT[..]].concat());
    let attach = attach.env("PATH", client.path()).input(site.info("disk").to_string());
    let reply = std::thread::scope(|scope| {
        let attach = scope.spawn(|| Reply::of(attach));
        // libvirt has told of the guest by now, and has not yet been asked to add the disk.
        client.wait_until_started();
        let _stopped = StoppedLibvirtd::stop();
        client.resume();
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
