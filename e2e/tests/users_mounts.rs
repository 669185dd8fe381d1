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
fn left_by_reconcile(share: &Share) -> Vec<Value> {
    let mut answer = share.site().run(&["reconcile"]).answer();
    assert_eq!(answer["mended"], json!([]), "{answer}");
    answer["left"].as_array_mut().expect("reconcile lists").iter_mut().map(|one| one["what"].take()).collect()
}

fn state(share: &Share) -> Value {
    share.site().run(&["status"]).answer()["shares"][0]["state"].take()
}

#[test]
fn healthy_mount_of_other_user_is_used_and_kept() {
    for (user, options) in [(User::Root, &[][..]), (User::Nobody, &[]), (User::Nobody, &["--force"])] {
        let share = unused_share();
        let client = user.mounts(&share);
        let theirs = mount_at(share.mount_path());
        connect(&share, ALICE).answer();
        assert_eq!(state(&share), "healthy");
        let answer = disconnect(&share, ALICE, options);
        assert_eq!((&answer["mounted"], &answer["reason"]), (&json!(true), &json!("not_owner")), "{user:?}");
        assert_eq!(left_by_reconcile(&share), ["not_recorded"], "{user:?}");
        assert_eq!(mount_at(share.mount_path()), theirs, "{user:?}");
        assert_eq!(share.site().records(), [""; 0]);
        user.runs("umount.quobyte").arg(share.mount_path()).succeed();
        client.wait_for_end();
    }
}

#[test]
fn dead_mount_of_other_user_is_reported() {
    let share = unused_share();
    let client = User::Nobody.mounts(&share);
    connect(&share, ALICE).answer();
    client.crash();

    let theirs = mount_at(share.mount_path());
    let reply = connect(&share, BOB);
    assert_eq!(reply.failure(), (4, "mount_stale"));
    let command = format!("sudo -u 'nobody' fusermount3 -u {}", share.mount_path().display());
    assert!(reply.message().contains(&command), "{}", reply.message());
    assert_eq!(state(&share), "dead");
    assert!(left_by_reconcile(&share).contains(&json!("not_owner")));
    assert_eq!(mount_at(share.mount_path()), theirs);

    User::Nobody.runs("fusermount3").arg("-u").arg(share.mount_path()).succeed();
    // The owner's directory is in the way of an ordinary user's mount.
    User::Root.runs("chown").arg("nova").arg(share.mount_path()).succeed();
    let answer = connect(&share, BOB).answer();
    assert_eq!(answer["lost"], json!([]), "no guest of libvirt's ran");
    assert_eq!(state(&share), "healthy");
}

#[test]
fn disconnect_keeps_dead_mount_of_other_user() {
    let share = unused_share();
    let client = User::Nobody.mounts(&share);
    connect(&share, ALICE).answer();
    client.crash();
    let theirs = mount_at(share.mount_path());
    let answer = disconnect(&share, ALICE, &[]);
    assert_eq!((&answer["changed"], &answer["reason"]), (&json!(true), &json!("not_owner")));
    assert_eq!(mount_at(share.mount_path()), theirs);
    assert_eq!(share.site().records(), [""; 0]);
}

#[test]
fn inaccessible_mount_is_not_treated_as_dead() {
    let share = unused_share();
    let client = User::Nobody.mounts_privately(&share);
    let theirs = mount_at(share.mount_path()).expect("it is mounted");
    assert!(!theirs.super_options.contains("allow_other"), "{theirs:?}");
    let refused = |share: &Share| {
        let reply = connect(share, ALICE);
        assert_eq!(reply.failure(), (4, "mount_not_visible"));
        assert!(reply.message().contains("Permission denied"), "{}", reply.message());
        assert_eq!(left_by_reconcile(share), ["failed"]);
        assert_eq!(disconnect(share, ALICE, &["--force"])["reason"], "not_recorded");
        assert_eq!(mount_at(share.mount_path()).as_ref(), Some(&theirs));
    };
    refused(&share);
    // Nor is it taken for alive.
    client.crash();
    refused(&share);
}
