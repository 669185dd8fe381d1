//! When a mount is probed, what is decided by it, and whom that is told.

use super::*;
use crate::pure::io_policy::{Cache, DirectIo, IoMode};
use crate::pure::record::ShareRecord;

impl Fixture {
    fn becomes(&self, direct_io: Option<DirectIo>) {
        self.host.world().direct_io = direct_io;
    }

    fn modes(&self, name: &str, guest: u128) -> (Cache, Option<IoMode>) {
        let policy = self.connect(&volume(name), guest).unwrap().policy;
        (policy.cache, policy.io)
    }

    fn probes(&self) -> u32 {
        self.host.world().probes
    }

    fn record(&self) -> ShareRecord {
        self.driver.status().unwrap().0.remove(0).record
    }
}

#[test]
fn a_mount_is_probed_once_for_all_who_use_it() {
    let f = fixture();
    for (name, guest) in [("a", 1), ("b", 1), ("c", 2), ("a", 1)] {
        assert_eq!(f.modes(name, guest), (Cache::None, Some(IoMode::Native)));
    }
    assert_eq!(f.probes(), 1);
    let examined = f.driver.inspect_image(&volume("c"), &HostFacts::default()).unwrap();
    assert_eq!(examined.facts.probe, f.record().probe);
    assert_eq!(f.probes(), 1);
}

#[test]
fn a_mount_that_replaces_another_is_probed_anew() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    f.becomes(Some(DirectIo::Synchronous));
    assert_eq!(f.modes("b", 1), (Cache::None, Some(IoMode::Native)));
    f.host.change(&f.at(&volume("a")), |layer| layer.life = Life::Gone);
    assert_eq!(f.modes("b", 1), (Cache::None, Some(IoMode::Threads)));
    assert_eq!(f.probes(), 2);
}

#[test]
fn what_was_seen_of_a_mount_is_forgotten_when_reconcile_mounts_again() {
    let f = fixture();
    f.becomes(Some(DirectIo::Refused));
    assert_eq!(f.modes("a", 1), (Cache::Writeback, Some(IoMode::Threads)));
    f.host.world().mounts.clear();
    f.driver.reconcile(false).unwrap();
    assert_eq!((f.record().probe, f.record().warned), (None, Vec::new()));
    f.becomes(Some(DirectIo::Asynchronous));
    assert_eq!(f.modes("a", 1), (Cache::None, Some(IoMode::Native)));
}

#[test]
fn a_mount_that_cannot_be_probed_is_treated_as_nova_does_and_tried_again() {
    let f = fixture();
    f.becomes(None);
    assert_eq!(f.modes("a", 1), (Cache::None, Some(IoMode::Native)));
    f.becomes(Some(DirectIo::Synchronous));
    assert_eq!(f.modes("b", 1), (Cache::None, Some(IoMode::Threads)));
}

#[test]
fn an_operator_is_told_of_a_cost_once_for_each_mount() {
    let f = fixture();
    f.becomes(Some(DirectIo::Synchronous));
    f.connect(&volume("a"), 1).unwrap();
    assert_eq!(f.record().warned, ["synchronous"]);
    assert!(!f.connect(&volume("a"), 1).unwrap().changed);
    f.connect(&volume("b"), 2).unwrap();
    assert_eq!(f.record().warned, ["synchronous"]);
}

#[test]
fn a_mount_that_does_not_suit_a_shared_image_is_taken_down_again() {
    let f = fixture();
    f.becomes(Some(DirectIo::Refused));
    let shared = ConnectionInfo { multiattach: true, ..volume("a") };
    assert!(matches!(f.connect(&shared, 1), Err(Error::IoPolicy(_))));
    assert_eq!(f.probes(), 1);
    f.assert_clean("refused");
}

#[test]
fn examining_puts_nothing_on_record() {
    let f = fixture();
    f.becomes(None);
    f.connect(&volume("a"), 1).unwrap();
    let before = f.record();
    f.becomes(Some(DirectIo::Synchronous));
    let examined = f.driver.inspect_image(&volume("a"), &HostFacts::default()).unwrap();
    assert_eq!(examined.decision.policy.io, Some(IoMode::Threads));
    assert_eq!(f.record(), before);
}
