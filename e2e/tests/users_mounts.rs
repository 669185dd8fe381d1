//! Mounts of other users at our mount points: used where they serve, and never taken from their owners.

use e2e::{
    Reply,
    faults::{ALICE, BOB, Share, User},
    mount_at,
};
use serde_json::{Value, json};

/// A share of which nothing is left but that it is known.
fn unused_share() -> Share {
    let share = Share::connected();
    disconnect(&share, ALICE, &[]);
    share.site().assert_nothing_is_left();
    share
}

fn connect(share: &Share, instance: &str) -> Reply {
    let image = if instance == ALICE { "one" } else { "two" };
    share.site().connect(instance, &share.site().info(image))
}

fn disconnect(share: &Share, instance: &str, options: &[&str]) -> Value {
    let arguments = [&["disconnect", "--instance", instance], options].concat();
    share.site().run_with(&share.site().info("one"), &arguments).answer()
}

/// What reconcile leaves alone.
fn left(share: &Share) -> Vec<Value> {
    let mut answer = share.site().run(&["reconcile"]).answer();
    assert_eq!(answer["mended"], json!([]), "{answer}");
    answer["left"].as_array_mut().expect("reconcile lists").iter_mut().map(|one| one["what"].take()).collect()
}

fn state(share: &Share) -> Value {
    share.site().run(&["status"]).answer()["shares"][0]["state"].take()
}

#[test]
fn a_healthy_mount_of_another_user_is_used_and_never_taken_down() {
    for (user, options) in [(User::Root, &[][..]), (User::Nobody, &[]), (User::Nobody, &["--force"])] {
        let share = unused_share();
        let client = user.mounts(&share);
        let theirs = mount_at(share.at());
        connect(&share, ALICE).answer();
        assert_eq!(state(&share), "healthy");
        let answer = disconnect(&share, ALICE, options);
        assert_eq!((&answer["mounted"], &answer["reason"]), (&json!(true), &json!("not_owner")), "{user:?}");
        assert_eq!(left(&share), ["not_recorded"], "{user:?}");
        assert_eq!(mount_at(share.at()), theirs, "{user:?}");
        assert_eq!(share.site().records(), [""; 0]);
        user.runs("umount.quobyte").arg(share.at()).succeed();
        client.wait_for_end();
    }
}

#[test]
fn a_dead_mount_of_another_user_is_told_with_the_command_that_its_owner_must_run() {
    let share = unused_share();
    let client = User::Nobody.mounts(&share);
    connect(&share, ALICE).answer();
    client.crash();

    let theirs = mount_at(share.at());
    let reply = connect(&share, BOB);
    assert_eq!(reply.failure(), (4, "mount_stale"));
    let command = format!("user {} has to run: fusermount3 -u {}", User::Nobody.id(), share.at().display());
    assert!(reply.message().contains(&command), "{}", reply.message());
    assert_eq!(state(&share), "dead");
    assert!(left(&share).contains(&json!("not_owner")));
    assert_eq!(mount_at(share.at()), theirs);

    User::Nobody.runs("fusermount3").arg("-u").arg(share.at()).succeed();
    // The owner's directory is in the way of an ordinary user's mount.
    User::Root.runs("chown").arg("nova").arg(share.at()).succeed();
    let answer = connect(&share, BOB).answer();
    assert_eq!(answer["lost"][0]["instance"], ALICE);
    assert_eq!(state(&share), "healthy");
}

#[test]
fn disconnecting_from_a_dead_mount_of_another_user_succeeds_and_leaves_it() {
    let share = unused_share();
    let client = User::Nobody.mounts(&share);
    connect(&share, ALICE).answer();
    client.crash();
    let theirs = mount_at(share.at());
    let answer = disconnect(&share, ALICE, &[]);
    assert_eq!((&answer["changed"], &answer["reason"]), (&json!(true), &json!("not_owner")));
    assert_eq!(mount_at(share.at()), theirs);
    assert_eq!(share.site().records(), [""; 0]);
}

#[test]
fn a_mount_that_is_closed_to_us_is_never_taken_for_dead() {
    let share = unused_share();
    let client = User::Nobody.mounts_for_itself(&share);
    let theirs = mount_at(share.at()).expect("it is mounted");
    assert!(!theirs.super_options.contains("allow_other"), "{theirs:?}");
    let refused = |share: &Share| {
        let reply = connect(share, ALICE);
        assert_eq!(reply.failure(), (4, "mount_not_visible"));
        assert!(reply.message().contains("Permission denied"), "{}", reply.message());
        assert_eq!(left(share), ["failed"]);
        assert_eq!(disconnect(share, ALICE, &["--force"])["reason"], "not_recorded");
        assert_eq!(mount_at(share.at()).as_ref(), Some(&theirs));
    };
    refused(&share);
    // Nor is it taken for alive.
    client.crash();
    refused(&share);
}
