//! When a mount is probed, what is decided by it, and whom that is told.

use super::*;
use crate::pure::io_policy::{Cache, DirectIo, IoMode};

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
}

#[test]
fn mount_is_probed_only_once() {
    let f = fixture();
    for (name, guest) in [("a", 1), ("b", 1), ("c", 2), ("a", 1)] {
        assert_eq!(f.modes(name, guest), (Cache::None, Some(IoMode::Native)));
    }
    assert_eq!(f.probes(), 1);
    let examined = f.driver.inspect_image(&volume("c"), &HypervisorFacts::default()).unwrap();
    assert_eq!(examined.facts.probe, f.record().probe);
    assert_eq!(f.probes(), 1);
}

#[test]
fn replaced_mount_is_probed_again() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    f.becomes(Some(DirectIo::Synchronous));
    assert_eq!(f.modes("b", 1), (Cache::None, Some(IoMode::Native)));
    f.host.change(&f.at(&volume("a")), |layer| layer.client_state = ClientState::Dead);
    assert_eq!(f.modes("b", 1), (Cache::None, Some(IoMode::Threads)));
    assert_eq!(f.probes(), 2);
}

#[test]
fn remount_by_reconcile_clears_probe() {
    let f = fixture();
    f.becomes(Some(DirectIo::Refused));
    assert_eq!(f.modes("a", 1), (Cache::Writeback, Some(IoMode::Threads)));
    f.host.world().mounts.clear();
    f.driver.reconcile(false).unwrap();
    assert_eq!((f.record().probe, f.record().warned_rows), (None, Vec::new()));
    f.becomes(Some(DirectIo::Asynchronous));
    assert_eq!(f.modes("a", 1), (Cache::None, Some(IoMode::Native)));
}

#[test]
fn failed_probe_uses_defaults_and_is_retried() {
    let f = fixture();
    f.becomes(None);
    assert_eq!(f.modes("a", 1), (Cache::None, Some(IoMode::Native)));
    f.becomes(Some(DirectIo::Synchronous));
    assert_eq!(f.modes("b", 1), (Cache::None, Some(IoMode::Threads)));
}

#[test]
fn policy_cost_is_warned_once_per_mount() {
    let f = fixture();
    f.becomes(Some(DirectIo::Synchronous));
    f.connect(&volume("a"), 1).unwrap();
    assert_eq!(f.record().warned_rows, ["synchronous"]);
    assert!(!f.connect(&volume("a"), 1).unwrap().changed);
    f.connect(&volume("b"), 2).unwrap();
    assert_eq!(f.record().warned_rows, ["synchronous"]);
}

#[test]
fn multiattach_without_direct_io_is_rolled_back() {
    let f = fixture();
    f.becomes(Some(DirectIo::Refused));
    let shared = ConnectionInfo { multiattach: true, ..volume("a") };
    assert!(matches!(f.connect(&shared, 1), Err(Error::IoPolicy(_))));
    assert_eq!(f.probes(), 1);
    f.assert_clean("refused");
}

#[test]
fn inspect_image_does_not_change_record() {
    let f = fixture();
    f.becomes(None);
    f.connect(&volume("a"), 1).unwrap();
    let before = f.record();
    f.becomes(Some(DirectIo::Synchronous));
    let examined = f.driver.inspect_image(&volume("a"), &HypervisorFacts::default()).unwrap();
    assert_eq!(examined.decision.policy.io, Some(IoMode::Threads));
    assert_eq!(f.record(), before);
}
