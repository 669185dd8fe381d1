//! What reconcile mends, and what it leaves.

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
            Finding::Repaired(_, mended) => format!("{mended:?}").split('(').next().unwrap().to_owned(),
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
fn where_all_is_well_there_is_nothing_to_find() {
    let f = fixture();
    assert!(found(&f, false).is_empty());
    f.connect(&volume("a"), 1).unwrap();
    uses(&f, 1, "a");
    assert!(found(&f, false).is_empty());
}

#[test]
fn a_mount_that_died_or_vanished_under_its_guests_is_brought_back_and_they_are_named() {
    for life in [Some(Life::Gone), None] {
        let f = fixture();
        f.connect(&volume("a"), 1).unwrap();
        uses(&f, 1, "a");
        match life {
            Some(life) => f.host.change(&f.at(&volume("a")), |layer| layer.life = life),
            None => f.host.world().mounts.clear(),
        }
        let before = f.host.world().clone();
        assert_eq!(found(&f, true), ["Remounted"]);
        assert_eq!(*f.host.world(), before, "a dry run changes nothing");
        assert_eq!(found(&f, false), ["Remounted"]);
        assert_eq!(found(&f, false), ["left: Lost"]);
        let open = f.driver.connect_open(&volume("a"), instance(1), &HostFacts::default()).unwrap();
        assert!(open.lost.iter().any(|lost| lost.instance == instance(1)), "what is open stays dead");
        assert_eq!(found(&f, false), ["left: Lost"]);
        f.connect(&volume("a"), 1).unwrap();
        assert!(found(&f, false).is_empty());
    }
}

#[test]
fn a_remount_that_fails_is_told_and_leaves_the_record() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    f.host.change(&f.at(&volume("a")), |layer| layer.life = Life::Gone);
    f.host.world().client = Client::Refuses;
    assert_eq!(found(&f, false), ["left: Failed"]);
    assert_eq!(f.recorded(), [volume("a").volume_id]);
}

#[test]
fn a_dry_run_knows_of_the_guests_that_keep_a_share_without_attachments() {
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
fn a_share_that_nobody_needs_any_more_is_taken_down() {
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
fn guests_attached_by_another_driver_become_known() {
    let f = fixture();
    let a = volume("a");
    f.host.world().put(&f.at(&a), "fuse.quobyte", a.export.mount_source(), Life::Serving);
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
fn what_is_not_ours_is_left_and_named() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    uses(&f, 1, "a");
    f.host.change(&f.at(&volume("a")), |layer| layer.life = Life::Silent);
    assert_eq!(found(&f, false), ["left: Hung"]);
    f.host.change(&f.at(&volume("a")), |layer| layer.life = Life::WithoutRegistries);
    assert_eq!(found(&f, false), ["left: Disconnected"]);
    f.host.world().put(&f.at(&volume("a")), "tmpfs", "tmpfs".to_owned(), Life::Serving);
    assert_eq!(found(&f, false), ["left: Foreign"]);
}

#[test]
fn an_attachment_without_a_guest_is_told_but_kept() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    assert_eq!(found(&f, false), ["left: NoGuest"]);
    assert_eq!(f.recorded(), [volume("a").volume_id]);
}

#[test]
fn a_client_that_was_about_to_mount_when_its_caller_was_killed_never_does() {
    let f = fixture();
    let a = volume("a");
    // What a connect that is killed while the client runs leaves.
    let at = f.at(&a);
    let share = f.driver.context.lock(&at).unwrap();
    let record = ShareRecord::new(a.export.clone(), at.clone()).unwrap();
    share.store(&record).unwrap();
    drop(share);
    f.host.world().directories.insert(at.as_path().to_owned());
    f.host.world().late.push((at.clone(), a.export.clone(), record.generation));
    assert_eq!(found(&f, false), ["TakenDown"]);
    f.host.world().mount_late();
    f.assert_clean("after reconcile");
}

#[test]
fn a_share_is_not_called_well_when_its_guests_cannot_be_asked_for() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    f.host.world().guests = None;
    assert_eq!(found(&f, false), ["left: Unknown"]);
}

#[test]
fn only_a_disk_is_adopted_and_under_the_volumes_own_id() {
    let f = fixture();
    let a = volume("a");
    f.host.world().put(&f.at(&a), "fuse.quobyte", a.export.mount_source(), Life::Serving);
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

/// A hypervisor that counts how often it is asked.
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
fn the_hypervisor_is_asked_once_for_all_shares_and_only_if_it_matters() {
    let f = fixture();
    let asked = Arc::new(AtomicUsize::new(0));
    let guests = Box::new(Counting(f.host.clone(), asked.clone()));
    let (config, state) = (f.driver.context.config.clone(), f.driver.context.state.clone());
    let driver = Driver::new(config, state, Box::new(f.host.clone()), guests).unwrap();
    let mut infos = Vec::new();
    for export in ["reg/one", "reg/two", "reg/three"] {
        let info = ConnectionInfo { export: Export::parse(export).unwrap(), ..volume("a") };
        driver.connect(&info, instance(1), &HostFacts::default()).unwrap();
        infos.push(info);
    }
    let left = driver.reconcile(false).unwrap();
    assert!(
        left.iter().all(|one| matches!(one, Finding::Unrepaired(_, Unrepaired::NoGuest(..)))),
        "{left:?}"
    );
    assert_eq!((left.len(), asked.swap(0, Ordering::Relaxed)), (3, 1));

    f.host.world().mounts.clear();
    assert_eq!(driver.reconcile(false).unwrap().len(), 3);
    assert_eq!(asked.load(Ordering::Relaxed), 0, "to mount again nobody needs to be asked");
}
