//! Lost, dead and unused are observed, not assumed.

use super::*;
use crate::pure::guests::{GuestQuestion, GuestSurvey, RunId};
use crate::pure::io_policy::DirectIo;
use crate::pure::record::{ClientProcess, ClientSettings};

#[test]
fn lost_guest_is_named_once_and_only_if_it_ran() {
    let f = fixture();
    for (name, guest) in [("a", 1), ("b", 1), ("c", 2), ("d", 3)] {
        f.connect(&volume(name), guest).unwrap();
    }
    f.run(1, &["a", "b"]);
    f.define(2, &["c"]);
    f.run(3, &["d"]);
    f.save(3);
    f.client_becomes(ClientState::Dead);
    assert_eq!(f.disk_states()[..3], [DiskState::Lost, DiskState::Lost, DiskState::Unknown]);
    let findings = f.driver.reconcile(false).unwrap();
    let [Finding::Repaired(_, Repair::Remounted(lost))] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!(
        lost.iter().map(|one| (one.name.as_str(), one.attachments.len())).collect::<Vec<_>>(),
        [("vm-1", 2)]
    );
    let findings = f.driver.reconcile(false).unwrap();
    let [Finding::Unrepaired(_, Unrepaired::Lost(lost))] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!((lost.name.as_str(), lost.attachments.len()), ("vm-1", 2));
    let states = [DiskState::Lost, DiskState::Lost, DiskState::Ok, DiskState::Ok];
    assert_eq!(f.disk_states(), states);
}

#[test]
fn lost_is_over_once_the_run_has_ended() {
    let shut_off = |f: &Fixture| f.stop(1);
    let restarted = |f: &Fixture| {
        f.stop(1);
        f.start(1);
    };
    for end in [shut_off, restarted] as [fn(&Fixture); 2] {
        let f = fixture();
        f.connect(&volume("a"), 1).unwrap();
        f.run(1, &["a"]);
        f.client_becomes(ClientState::Dead);
        assert_eq!(f.reconcile(), ["remounted"]);
        assert_eq!(f.record().attachments[0].lost_in, Some(RunId::new(1)));
        end(&f);
        assert_eq!(f.disk_states(), [DiskState::Ok], "before anybody repairs the record");
        assert_eq!(f.reconcile(), ["restarted"]);
        assert!(f.reconcile().is_empty());
    }
}

#[test]
fn repair_uses_the_settings_on_record() {
    let directory = tempfile::tempdir().unwrap();
    let settings = ClientSettings {
        client_cfg: Some("/etc/quobyte/client.cfg".into()),
        launcher: Some("system".to_owned()),
        mount_timeout: Some(Duration::from_secs(7)),
    };
    let host = FakeHost::new();
    let mut configured = host.clone();
    configured.settings = settings.clone();
    let (a, facts) = (volume("a"), HypervisorFacts::default());
    driver(&directory, &configured, "/mnt").connect(&a, instance(1), &facts).unwrap();
    let plain = driver(&directory, &host, "/mnt");
    let f = Fixture { directory, host, driver: plain };
    let reconcile = |f: &Fixture| drop(f.driver.reconcile(false).unwrap());
    let connect = |f: &Fixture| drop(f.connect(&volume("b"), 2).unwrap());
    for repair in [reconcile, connect] as [fn(&Fixture); 2] {
        f.client_becomes(ClientState::Dead);
        f.host.world().client_settings = None;
        repair(&f);
        assert_eq!(f.host.world().client_settings, Some(settings.clone()));
    }
}

#[test]
fn dead_mount_that_cannot_be_put_back_stays() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    f.client_becomes(ClientState::Dead);
    f.host.world().mount_behavior = MountBehavior::IsMissing;
    assert_eq!(f.reconcile(), ["failed"]);
    assert_eq!(f.refusal(&volume("b"), 2), "client_not_found");
    assert_eq!((f.count_mounts(), f.recorded()), (1, vec![volume("a").volume_id]));
}

#[test]
fn adoption_outlives_a_failed_remount() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    f.define(1, &["a"]);
    f.run(7, &["x"]);
    f.client_becomes(ClientState::Dead);
    f.host.world().mount_behavior = MountBehavior::Refuses;
    assert_eq!(f.reconcile(), ["adopted", "lost", "failed"]);
    assert_eq!(f.attached(), [(instance(1), "a".to_owned()), (instance(7), "x".to_owned())]);
    assert_eq!(f.reconcile(), ["lost", "failed"], "the adoption is told once");
}

#[test]
fn client_of_a_killed_call_can_be_proven_dead() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    // The call was killed before it put the mount on record.
    let lock = f.driver.context.lock(&f.at(&volume("a"))).unwrap();
    let mut record = lock.load().unwrap().unwrap();
    record.mount = None;
    record.client.clear();
    lock.store(&record).unwrap();
    drop(lock);
    assert!(!f.connect(&volume("b"), 2).unwrap().mounted);
    assert_eq!(f.record().client.len(), 1);
    f.client_becomes(ClientState::Vanished);
    assert!(f.connect(&volume("b"), 2).unwrap().mounted);
}

/// A hypervisor during whose answer somebody opens a file on the new mount.
struct Opener(FakeHost, MountPath);

impl Guests for Opener {
    fn survey(
        &self,
        question: &GuestQuestion<'_>,
    ) -> Result<GuestSurvey, Box<dyn std::error::Error + Send + Sync>> {
        self.0.change(&self.1, |layer| layer.busy = true);
        self.0.survey(question)
    }
}

#[test]
fn rollback_keeps_a_mount_with_open_files() {
    let f = fixture();
    let shared = ConnectionInfo { multiattach: true, ..volume("a") };
    f.host.world().direct_io = Some(DirectIo::Refused);
    let guests = Box::new(Opener(f.host.clone(), f.at(&shared)));
    let (config, state) = (f.driver.context.config.clone(), f.driver.context.state.clone());
    let driver = Driver::new(config, state, Box::new(f.host.clone()), guests).unwrap();
    let error = driver.connect_compared(&shared, instance(1), &HypervisorFacts::default()).unwrap_err();
    assert!(matches!(&error, Error::RollbackFailed { cause, .. } if matches!(**cause, Error::IoPolicy(_))));
    assert_eq!((f.count_mounts(), f.recorded()), (1, Vec::new()));
    assert_eq!(f.reconcile(), ["busy"]);
    f.host.change(&f.at(&shared), |layer| layer.busy = false);
    assert_eq!(f.reconcile(), ["taken_down"]);
    f.assert_clean("once the files are closed");
}

#[test]
fn rollback_keeps_a_hung_mount_of_a_running_guest() {
    for is_running in [false, true] {
        let f = fixture();
        f.host.world().mount_behavior = MountBehavior::MountsAndHangs;
        if is_running {
            f.run(7, &["x"]);
        }
        assert_eq!(f.refusal(&volume("a"), 1), "mount_hung");
        assert_eq!(f.count_mounts(), usize::from(is_running));
    }
}

#[test]
fn live_client_that_answers_estale_is_not_dead() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    f.run(1, &["a"]);
    f.host.change(&f.at(&volume("a")), |layer| layer.busy = true);
    let before = f.host.world().mounts.clone();
    f.client_becomes(ClientState::Stale);
    assert_eq!(f.reconcile(), ["disconnected"]);
    assert_eq!(f.refusal(&volume("b"), 2), "mount_stale");
    f.client_becomes(ClientState::Healthy);
    assert_eq!(f.host.world().mounts, before);
    assert!(f.reconcile().is_empty(), "it has recovered, and nobody has lost anything");
    f.client_becomes(ClientState::Vanished);
    assert_eq!(f.reconcile(), ["remounted"], "its process is gone");
}

#[test]
fn process_that_a_client_starts_later_keeps_it_alive() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    f.run(1, &["a"]);
    // What is on record has ended, and what it had started serves.
    let lock = f.driver.context.lock(&f.at(&volume("a"))).unwrap();
    let mut record = lock.load().unwrap().unwrap();
    record.client = vec![ClientProcess { pid: 1, start_time: 0 }];
    lock.store(&record).unwrap();
    drop(lock);
    f.client_becomes(ClientState::Stale);
    assert_eq!(f.reconcile(), ["disconnected"]);
    f.client_becomes(ClientState::Vanished);
    assert_eq!(f.reconcile(), ["remounted"]);
}

#[test]
fn forced_disconnect_keeps_a_running_guest_on_record() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    f.run(1, &["a"]);
    f.host.change(&f.at(&volume("a")), |layer| layer.busy = true);
    f.client_becomes(ClientState::Hung);
    let left = f.disconnect_by(&volume("a"), 1, Force::IfAlone);
    assert!(left.leaving && left.still_mounted.is_some(), "{left:?}");
    f.client_becomes(ClientState::Dead);
    assert_eq!(f.reconcile(), ["remounted", "leaving"]);
    assert_eq!(f.reconcile(), ["lost", "leaving"]);
    f.stop(1);
    assert_eq!(f.reconcile(), ["released", "taken_down"]);
}

#[test]
fn force_twice_takes_mount_and_record() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    f.run(1, &["a"]);
    f.host.change(&f.at(&volume("a")), |layer| layer.busy = true);
    let gone = f.disconnect_by(&volume("a"), 1, Force::Always);
    assert_eq!((gone.changed, gone.leaving, gone.still_mounted), (true, false, None));
    f.assert_clean("the operator said so twice");
}

#[test]
fn dead_share_names_guests_that_no_record_has() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    f.define(1, &["a"]);
    f.run(7, &["x"]);
    f.client_becomes(ClientState::Dead);
    assert_eq!(f.reconcile(), ["adopted", "remounted"]);
    let findings = f.driver.reconcile(false).unwrap();
    let [Finding::Unrepaired(_, Unrepaired::Lost(lost))] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!(lost.name, "vm-7");
}

#[test]
fn dead_share_of_an_unrecorded_guest_stays() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    f.host.change(&f.at(&volume("a")), |layer| layer.busy = true);
    assert_eq!(f.disconnect(&volume("a"), 1).still_mounted, Some(StillMounted::Busy));
    f.run(7, &["x"]);
    f.client_becomes(ClientState::Dead);
    assert_eq!(f.reconcile(), ["adopted", "remounted"]);
    assert_eq!(f.reconcile(), ["lost"]);
}
