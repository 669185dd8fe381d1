//! What reconcile repairs, and what it leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::pure::guests::GuestUse;
use crate::pure::record::ShareRecord;

fn found(f: &Fixture, dry_run: bool) -> Vec<String> {
    let findings = f.driver.reconcile(dry_run).unwrap();
    findings
        .iter()
        .map(|finding| match finding {
            Finding::Repaired(_, repair) => format!("{repair:?}").split('(').next().unwrap().to_owned(),
            Finding::Unrepaired(_, left) => format!("left: {left:?}").split('(').next().unwrap().to_owned(),
            other => format!("{other:?}"),
        })
        .collect()
}

fn uses(f: &Fixture, guest: u128, name: &str) {
    let path = f.at(&volume(name)).image(&ImageName::parse(name).unwrap());
    let using = GuestUse {
        instance: instance(guest),
        name: "vm".to_owned(),
        path,
        disk: Some(disk(None, ImageFormat::Raw)),
    };
    f.host.world().guests.as_mut().unwrap().push(using);
}

#[test]
fn healthy_shares_yield_no_findings() {
    let f = fixture();
    assert!(found(&f, false).is_empty());
    f.connect(&volume("a"), 1).unwrap();
    uses(&f, 1, "a");
    assert!(found(&f, false).is_empty());
}

#[test]
fn dead_or_missing_mount_is_remounted() {
    for client_state in [Some(ClientState::Dead), None] {
        let f = fixture();
        f.connect(&volume("a"), 1).unwrap();
        uses(&f, 1, "a");
        match client_state {
            Some(client_state) => {
                f.host.change(&f.at(&volume("a")), |layer| layer.client_state = client_state);
            }
            None => f.host.world().mounts.clear(),
        }
        let before = f.host.world().clone();
        assert_eq!(found(&f, true), ["Remounted"]);
        assert_eq!(*f.host.world(), before, "a dry run changes nothing");
        assert_eq!(found(&f, false), ["Remounted"]);
        assert_eq!(found(&f, false), ["left: Lost"]);
        let open = f.driver.connect_running(&volume("a"), instance(1), &HypervisorFacts::default()).unwrap();
        assert!(open.lost.iter().any(|lost| lost.instance == instance(1)), "what is open stays dead");
        assert_eq!(found(&f, false), ["left: Lost"]);
        f.connect(&volume("a"), 1).unwrap();
        assert!(found(&f, false).is_empty());
    }
}

#[test]
fn failed_remount_is_reported_and_keeps_record() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    f.host.change(&f.at(&volume("a")), |layer| layer.client_state = ClientState::Dead);
    f.host.world().mount_behavior = MountBehavior::Refuses;
    assert_eq!(found(&f, false), ["left: Failed"]);
    assert_eq!(f.recorded(), [volume("a").volume_id]);
}

#[test]
fn dry_run_reports_guests_keeping_a_share() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    uses(&f, 2, "a");
    f.disconnect(&volume("a"), 1);
    for dry_run in [true, false] {
        assert_eq!(found(&f, dry_run), ["left: StillMounted"]);
    }
    f.host.world().guests = None;
    assert_eq!(found(&f, true), ["left: StillMounted"]);
    f.host.world().guests = Some(Vec::new());
    for dry_run in [true, false] {
        assert_eq!(found(&f, dry_run), ["TakenDown"]);
    }
}

#[test]
fn unused_share_is_unmounted() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    f.host.change(&f.at(&volume("a")), |layer| layer.busy = true);
    f.disconnect(&volume("a"), 1);
    assert_eq!(found(&f, false), ["left: StillMounted"]);
    f.host.change(&f.at(&volume("a")), |layer| layer.busy = false);
    assert_eq!(found(&f, false), ["TakenDown"]);
    f.assert_clean("after reconcile");
}

#[test]
fn guests_of_unrecorded_mount_are_adopted() {
    let f = fixture();
    let a = volume("a");
    f.host.world().add_mount(&f.at(&a), "fuse.quobyte", a.export.mount_source(), ClientState::Healthy);
    assert_eq!(found(&f, false), ["left: NotRecorded"]);
    f.host.world().guests = None;
    assert_eq!(found(&f, false), ["left: Unknown"]);
    f.host.world().guests = Some(Vec::new());
    uses(&f, 7, "a");
    assert_eq!(found(&f, false), ["Adopted"]);
    assert_eq!(f.recorded(), [a.volume_id]);
    assert!(found(&f, false).is_empty());
}

#[test]
fn hung_or_foreign_mount_is_only_reported() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    uses(&f, 1, "a");
    f.host.change(&f.at(&volume("a")), |layer| layer.client_state = ClientState::Hung);
    assert_eq!(found(&f, false), ["left: Hung"]);
    f.host.change(&f.at(&volume("a")), |layer| layer.client_state = ClientState::Disconnected);
    assert_eq!(found(&f, false), ["left: Disconnected"]);
    f.host.world().add_mount(&f.at(&volume("a")), "tmpfs", "tmpfs".to_owned(), ClientState::Healthy);
    assert_eq!(found(&f, false), ["left: Foreign"]);
}

#[test]
fn attachment_without_guest_is_reported_and_kept() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    assert_eq!(found(&f, false), ["left: NoGuest"]);
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
    assert_eq!(found(&f, false), ["TakenDown"]);
    f.host.world().mount_pending();
    f.assert_clean("after reconcile");
}

#[test]
fn failed_guest_query_is_reported() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    f.host.world().guests = None;
    assert_eq!(found(&f, false), ["left: Unknown"]);
}

#[test]
fn only_guest_disks_are_adopted() {
    let f = fixture();
    let a = volume("a");
    f.host.world().add_mount(&f.at(&a), "fuse.quobyte", a.export.mount_source(), ClientState::Healthy);
    let using = |name: &str, disk| GuestUse {
        instance: instance(7),
        name: "vm".to_owned(),
        path: f.at(&a).image(&ImageName::parse(name).unwrap()),
        disk,
    };
    let volume = VolumeId::from(Uuid::from_u128(99));
    let disk = disk(Some(volume), ImageFormat::Qcow2);
    f.host.world().guests = Some(vec![using("a", Some(disk)), using("a.base", None), using("kernel", None)]);
    assert_eq!(found(&f, false), ["Adopted"]);
    assert_eq!(f.recorded(), [volume]);
}

/// A hypervisor that counts how often it is query_count.
struct Counting(FakeHost, Arc<AtomicUsize>);

impl Guests for Counting {
    fn uses_below(
        &self,
        places: &[MountPath],
    ) -> Result<Vec<GuestUse>, Box<dyn std::error::Error + Send + Sync>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.uses_below(places)
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
    let left = driver.reconcile(false).unwrap();
    assert!(
        left.iter().all(|one| matches!(one, Finding::Unrepaired(_, Unrepaired::NoGuest(..)))),
        "{left:?}"
    );
    assert_eq!((left.len(), query_count.swap(0, Ordering::Relaxed)), (3, 1));

    f.host.world().mounts.clear();
    assert_eq!(driver.reconcile(false).unwrap().len(), 3);
    assert_eq!(query_count.load(Ordering::Relaxed), 0, "to mount again nobody needs to be asked");
}
