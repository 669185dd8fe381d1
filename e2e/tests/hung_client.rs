//! A client that does not answer: every call returns, other shares are served, and the mount can be taken away.

use std::thread;

use e2e::{
    BackgroundProcess, Reply, Site,
    faults::{ALICE, BOB, Helper, Share, wait_for_request},
    mount_at,
};
use rustix::process::Signal;
use serde_json::{Value, json};

/// For a client that will not answer.
const SHORT_TIMEOUT: [&str; 2] = ["--probe-timeout", "1"];
/// The same where somebody must have come to ask it, however long this machine takes for that.
const MEDIUM_TIMEOUT: [&str; 2] = ["--probe-timeout", "5"];
/// For a client that will, however long this machine takes.
const NO_TIMEOUT: [&str; 2] = ["--probe-timeout", "3600"];

fn connect_bob(share: &Share, timeout: [&str; 2]) -> Reply {
    let site = share.site();
    site.run_with(&site.info("two"), &[&["connect", "--instance", BOB], &timeout[..]].concat())
}

fn disconnect(site: &Site, instance: &str, image: &str, options: &[&str]) -> Value {
    let arguments = [&["disconnect", "--instance", instance], &SHORT_TIMEOUT[..], options].concat();
    site.run_with(&site.info(image), &arguments).answer()
}

/// The state of each share on record.
fn states(site: &Site, timeout: [&str; 2]) -> Vec<Value> {
    let mut answer = site.run(&[&["status"], &timeout[..]].concat()).answer();
    let shares = answer["shares"].as_array_mut().expect("status lists shares");
    shares.iter_mut().map(|share| share["state"].take()).collect()
}

/// What reconcile leaves alone.
fn left_by_reconcile(site: &Site) -> Vec<Value> {
    let mut answer = site.run(&[&["reconcile"], &SHORT_TIMEOUT[..]].concat()).answer();
    answer["left"].as_array_mut().expect("reconcile lists").iter_mut().map(|one| one["what"].take()).collect()
}

/// Asks everything there is to ask of a share that hangs.
fn assert_every_call_returns(share: &Share) {
    let reply = connect_bob(share, SHORT_TIMEOUT);
    assert_eq!(reply.failure(), (5, "mount_hung"));
    assert!(reply.message().contains(ALICE), "whom it concerns: {}", reply.message());
    assert_eq!(states(share.site(), SHORT_TIMEOUT), ["hung"]);
    assert!(left_by_reconcile(share.site()).contains(&json!("hung")));
    let answer = disconnect(share.site(), BOB, "two", &[]);
    assert_eq!((&answer["changed"], &answer["reason"]), (&json!(false), &json!("attachments")));
    assert!(mount_at(share.mount_path()).is_some());
}

#[test]
fn stopped_client_times_out_and_recovers() {
    let share = Share::connected();
    share.client().stop();
    assert_every_call_returns(&share);
    assert!(Helper::all_at(share.mount_path()).is_empty(), "nobody is left waiting");

    share.client().signal(Signal::CONT);
    assert_eq!(connect_bob(&share, NO_TIMEOUT).answer()["changed"], true);
    assert_eq!(states(share.site(), NO_TIMEOUT), ["healthy"]);
    for (instance, image) in [(ALICE, "one"), (BOB, "two")] {
        share.site().disconnect(instance, &share.site().info(image)).answer();
    }
    share.site().assert_nothing_is_left();
}

#[test]
fn silent_client_times_out_every_call() {
    let share = Share::connected();
    share.fail("no-answer");
    assert_every_call_returns(&share);
}

#[test]
fn hung_share_does_not_block_others() {
    let share = Share::connected();
    let site = share.site();
    let other = site.volume().sibling(site.scratch(), "other");
    other.image("one", "raw", &[0; 4096]);
    let mut info = site.info("one");
    info["data"]["export"] = json!(other.export());

    share.client().stop();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| connect_bob(&share, NO_TIMEOUT));
        wait_for_request(share.mount_path());
        site.connect(BOB, &info).answer();
        assert_eq!(site.disconnect(BOB, &info).answer()["mounted"], false);
        assert!(!waiting.is_finished());
        share.client().signal(Signal::CONT);
        assert_eq!(waiting.join().expect("it answers").answer()["changed"], true);
    });
}

#[test]
fn hung_clients_are_probed_in_parallel() {
    let site = Site::new(&[]);
    let mut mounts = Vec::new();
    for name in ["first", "second", "third"] {
        let share = site.volume().sibling(site.scratch(), name);
        share.image("one", "raw", &[0; 4096]);
        let mut info = site.info("one");
        info["data"]["export"] = json!(share.export());
        let answer = site.connect(ALICE, &info).answer();
        mounts.push(answer["mount_path"].as_str().expect("a path").to_owned());
    }
    for verb in ["status", "reconcile"] {
        site.stop_clients();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| site.run(&[&[verb], &NO_TIMEOUT[..]].concat()).answer());
            // None of them has been answered, and yet all are asked.
            mounts.iter().for_each(|at| wait_for_request(at.as_ref()));
            assert!(!waiting.is_finished());
            site.signal_clients(Signal::CONT);
            waiting.join().expect("it answers");
        });
    }
    assert_eq!(states(&site, NO_TIMEOUT), ["healthy"; 3]);
}

#[test]
fn hung_share_has_a_single_stuck_helper() {
    let share = Share::connected();
    share.fail("no-answer");
    assert_eq!(connect_bob(&share, MEDIUM_TIMEOUT).failure(), (5, "mount_hung"));
    let stuck = Helper::only_at(share.mount_path());
    assert!(stuck.is_uninterruptible(), "the helper that was given up is not where no signal reaches it");

    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(states(share.site(), SHORT_TIMEOUT), ["hung"]));
        }
    });
    assert_eq!(connect_bob(&share, SHORT_TIMEOUT).failure(), (5, "mount_hung"));
    assert_eq!(Helper::only_at(share.mount_path()).id(), stuck.id());

    let answer = disconnect(share.site(), ALICE, "one", &["--force"]);
    assert_eq!((&answer["changed"], &answer["mounted"]), (&json!(true), &json!(false)));
    stuck.wait_for_end();
    share.site().assert_nothing_is_left();
}

#[test]
fn hung_mount_in_use_needs_double_force() {
    let share = Share::connected();
    connect_bob(&share, NO_TIMEOUT).answer();
    share.fail("no-answer");
    let answer = disconnect(share.site(), ALICE, "one", &["--force"]);
    assert_eq!((&answer["changed"], &answer["reason"]), (&json!(true), &json!("attachments")));
    assert!(mount_at(share.mount_path()).is_some());
    let answer = disconnect(share.site(), ALICE, "one", &["--force", "--force"]);
    assert_eq!((&answer["changed"], &answer["mounted"]), (&json!(false), &json!(false)));
    assert!(mount_at(share.mount_path()).is_none());
    assert_eq!(states(share.site(), NO_TIMEOUT), ["absent"], "bob's attachment stays on record");
}

#[test]
fn caller_of_hung_client_can_be_killed() {
    let share = Share::connected();
    let site = share.site();
    let info = site.scratch().file("info.json", site.info("two").to_string());
    share.client().stop();
    let arguments =
        ["--state-dir", "--quobyte-mount-point-base", "--quobyte-client-cfg", "--connection-info"]
            .into_iter()
            .zip([site.state(), site.base(), site.volume().config(), &info])
            .flat_map(|(option, path)| [option.as_ref(), path]);
    let words = ["connect", "--instance", BOB, NO_TIMEOUT[0], NO_TIMEOUT[1]].map(AsRef::as_ref);
    let mut caller =
        BackgroundProcess::start("nova-quobyte", &words.into_iter().chain(arguments).collect::<Vec<_>>());
    wait_for_request(share.mount_path());
    let helper = Helper::only_at(share.mount_path());
    caller.kill();
    caller.wait_for_end();

    // The helper still asks, so nobody else does.
    assert_eq!(connect_bob(&share, SHORT_TIMEOUT).failure(), (5, "mount_hung"));
    assert_eq!(Helper::only_at(share.mount_path()).id(), helper.id());
    share.client().signal(Signal::CONT);
    helper.wait_for_end();
    connect_bob(&share, NO_TIMEOUT).answer();
}
