//! What reconcile repairs, and what it leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::pure::guests::{GuestQuestion, GuestSurvey};
use crate::pure::record::ShareRecord;

fn found(f: &Fixture, dry_run: bool) -> Vec<&'static str> {
    f.driver.reconcile(dry_run).unwrap().iter().map(Finding::code).collect()
}

#[test]
fn healthy_shares_yield_no_findings() {
    let f = fixture();
    assert!(found(&f, false).is_empty());
    f.connect(&volume("a"), 1).unwrap();
    f.run(1, &["a"]);
    assert!(found(&f, false).is_empty());
}

#[test]
fn dead_or_missing_mount_is_remounted() {
    for client_state in [Some(ClientState::Dead), None] {
        let f = fixture();
        f.connect(&volume("a"), 1).unwrap();
        f.run(1, &["a"]);
        match client_state {
            Some(client_state) => f.client_becomes(client_state),
            None => f.host.world().mounts.clear(),
        }
        let before = f.host.world().clone();
        assert_eq!(found(&f, true), ["remounted"]);
        assert_eq!(*f.host.world(), before, "a dry run changes nothing");
        assert_eq!(found(&f, false), ["remounted"]);
        assert_eq!(found(&f, false), ["lost"]);
        for connect in [Fixture::connect, Fixture::connect_compared] {
            let lost = connect(&f, &volume("a"), 1).unwrap().lost;
            assert_eq!(lost.len(), 1, "what the guest has open stays dead");
        }
        assert_eq!(found(&f, false), ["lost"]);
        f.stop(1);
        f.start(1);
        assert_eq!(found(&f, false), ["restarted"]);
        assert!(found(&f, false).is_empty());
    }
}

#[test]
fn failed_remount_is_reported_and_keeps_record() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    f.client_becomes(ClientState::Dead);
    f.host.world().mount_behavior = MountBehavior::Refuses;
    assert_eq!(found(&f, false), ["failed"]);
    assert_eq!(f.recorded(), [volume("a").volume_id]);
}

#[test]
fn dry_run_reports_guests_keeping_a_share() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    f.host.world().hypervisor.define(instance(2), vec![FakeUse::file(f.path("kernel"))]);
    f.disconnect(&volume("a"), 1);
    for dry_run in [true, false] {
        assert_eq!(found(&f, dry_run), ["guests"]);
    }
    f.hypervisor_answers(false);
    assert_eq!(found(&f, true), ["unknown"]);
    f.hypervisor_answers(true);
    f.undefine(2);
    for dry_run in [true, false] {
        assert_eq!(found(&f, dry_run), ["taken_down"]);
    }
}

#[test]
fn unused_share_is_unmounted() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    f.host.change(&f.at(&volume("a")), |layer| layer.busy = true);
    f.disconnect(&volume("a"), 1);
    assert_eq!(found(&f, false), ["busy"]);
    f.host.change(&f.at(&volume("a")), |layer| layer.busy = false);
    assert_eq!(found(&f, false), ["taken_down"]);
    f.assert_clean("after reconcile");
}

#[test]
fn guests_of_unrecorded_mount_are_adopted() {
    let f = fixture();
    f.mount_by_hand();
    assert_eq!(found(&f, false), ["not_recorded"]);
    f.hypervisor_answers(false);
    assert_eq!(found(&f, false), ["unknown"]);
    f.hypervisor_answers(true);
    f.run(7, &["a"]);
    assert_eq!(found(&f, false), ["adopted"]);
    assert_eq!(f.recorded(), [volume("a").volume_id]);
    assert!(found(&f, false).is_empty());
}

#[test]
fn hung_or_foreign_mount_is_only_reported() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    f.run(1, &["a"]);
    f.client_becomes(ClientState::Hung);
    assert_eq!(found(&f, false), ["hung"]);
    f.client_becomes(ClientState::Disconnected);
    assert_eq!(found(&f, false), ["disconnected"]);
    f.host.world().add_mount(&f.at(&volume("a")), "tmpfs", "tmpfs".to_owned(), ClientState::Healthy);
    assert_eq!(found(&f, false), ["foreign"]);
}

#[test]
fn attachment_without_guest_is_reported_and_kept() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    assert_eq!(found(&f, false), ["no_guest"]);
    assert_eq!(f.recorded(), [volume("a").volume_id]);
}

#[test]
fn client_of_killed_caller_never_mounts() {
    let f = fixture();
    let a = volume("a");
    // What a connect that is killed while the client runs leaves.
    let at = f.at(&a);
    let share = f.driver.context.lock(&at).unwrap();
    let record = ShareRecord::new(a.export.clone(), at.clone()).unwrap();
    share.store(&record).unwrap();
    drop(share);
    f.host.world().directories.insert(at.as_path().to_owned());
    f.host.world().pending_mounts.push((at.clone(), a.export.clone(), record.generation));
    assert_eq!(found(&f, false), ["taken_down"]);
    f.host.world().mount_pending();
    f.assert_clean("after reconcile");
}

#[test]
fn failed_guest_query_is_reported() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    f.hypervisor_answers(false);
    assert_eq!(found(&f, false), ["unknown"]);
}

#[test]
fn only_guest_disks_are_adopted() {
    let f = fixture();
    f.mount_by_hand();
    let volume = VolumeId::from(Uuid::from_u128(99));
    let disk = f.disk("a").over([f.path("a.base")]).of_volume(volume);
    let uses = vec![disk, FakeUse::file(f.path("a.base")), FakeUse::file(f.path("kernel"))];
    f.host.world().hypervisor.define(instance(7), uses);
    assert_eq!(found(&f, false), ["adopted", "not_adopted", "not_adopted"]);
    assert_eq!(f.recorded(), [volume]);
    assert_eq!(found(&f, false), ["not_adopted", "not_adopted"]);
}

/// A hypervisor that counts how often it is asked.
struct Counting(FakeHost, Arc<AtomicUsize>);

impl Guests for Counting {
    fn survey(
        &self,
        question: &GuestQuestion<'_>,
    ) -> Result<GuestSurvey, Box<dyn std::error::Error + Send + Sync>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.survey(question)
    }
}

#[test]
fn hypervisor_is_queried_at_most_once() {
    let f = fixture();
    let query_count = Arc::new(AtomicUsize::new(0));
    let guests = Box::new(Counting(f.host.clone(), query_count.clone()));
    let (config, state) = (f.driver.context.config.clone(), f.driver.context.state.clone());
    let driver = Driver::new(config, state, Box::new(f.host.clone()), guests).unwrap();
    let mut infos = Vec::new();
    for export in ["reg/one", "reg/two", "reg/three"] {
        let info = ConnectionInfo { export: Export::parse(export).unwrap(), ..volume("a") };
        driver.connect(&info, instance(1), &HypervisorFacts::default()).unwrap();
        infos.push(info);
    }
    assert_eq!(query_count.swap(0, Ordering::Relaxed), 3, "once for each new mount");
    let codes =
        |dry_run| -> Vec<_> { driver.reconcile(dry_run).unwrap().iter().map(Finding::code).collect() };
    assert_eq!((codes(false), query_count.swap(0, Ordering::Relaxed)), (vec!["no_guest"; 3], 1));
    f.host.world().mounts.clear();
    let expected = ["remounted", "no_guest"].repeat(3);
    assert_eq!((codes(false), query_count.swap(0, Ordering::Relaxed)), (expected, 1));
    for info in &infos {
        driver.connect(info, instance(1), &HypervisorFacts::default()).unwrap();
    }
    assert_eq!(query_count.load(Ordering::Relaxed), 0, "what was compared is known");
}

/// A hypervisor whose guest 7 releases its disks while nobody has the share's lock: right after the first answer.
struct Releasing(FakeHost);

impl Guests for Releasing {
    fn survey(
        &self,
        question: &GuestQuestion<'_>,
    ) -> Result<GuestSurvey, Box<dyn std::error::Error + Send + Sync>> {
        let survey = self.0.survey(question);
        self.0.world().hypervisor.define(instance(7), Vec::new());
        survey
    }
}

#[test]
fn adoption_needs_an_answer_under_the_lock() {
    let f = fixture();
    f.mount_by_hand();
    f.define(7, &["a"]);
    let (config, state) = (f.driver.context.config.clone(), f.driver.context.state.clone());
    let guests = Box::new(Releasing(f.host.clone()));
    let driver = Driver::new(config, state, Box::new(f.host.clone()), guests).unwrap();
    let codes: Vec<_> = driver.reconcile(false).unwrap().iter().map(Finding::code).collect();
    assert_eq!(codes, ["not_recorded"]);
    assert_eq!(f.recorded(), []);
}

#[test]
fn dry_run_predicts_client_that_cannot_be_started() {
    for is_dead in [false, true] {
        let f = fixture();
        f.connect(&volume("a"), 1).unwrap();
        f.define(1, &["a"]);
        if is_dead {
            f.client_becomes(ClientState::Dead);
        } else {
            f.host.world().mounts.clear();
        }
        f.host.world().mount_behavior = MountBehavior::IsMissing;
        for dry_run in [true, false] {
            assert_eq!(found(&f, dry_run), ["failed"], "dead: {is_dead}, dry run: {dry_run}");
        }
    }
}
