//! A disk that is taken out of its guest, by a caller that may fail or end on the way.

use super::*;
use crate::pure::guests::Description;
use crate::pure::record::Detaching;

fn detaching(guest: u128, name: &str) -> Detaching {
    let info = volume(name);
    Detaching {
        instance: instance(guest),
        target: TargetDev::parse("vda").unwrap(),
        name: info.name,
        volume: None,
        keeps_other: false,
    }
}

impl Fixture {
    /// A guest that runs with that connected file as `vda`, which somebody is about to take out.
    fn detach_begun(name: &str) -> (Self, MountPath, Detaching) {
        let f = fixture();
        let at = f.connect(&volume(name), 1).unwrap().mount_path;
        f.run(1, &[name]);
        let detaching = detaching(1, name);
        f.driver.begin_detach(&at, &detaching).unwrap();
        (f, at, detaching)
    }

    fn unplug(&self, descriptions: &[Description]) {
        for description in descriptions {
            self.change_uses(1, *description, Vec::clear);
        }
    }

    fn begun(&self) -> Option<(MountPath, Detaching)> {
        self.driver.begun_detach(instance(1), &TargetDev::parse("vda").unwrap()).unwrap()
    }
}

const BOTH: [Description; 2] = [Description::Running, Description::Persistent];

#[test]
fn begun_detach_is_known_until_finished() {
    let (f, at, detaching) = Fixture::detach_begun("a");
    f.connect(&volume("b"), 2).unwrap();
    assert_eq!(f.begun(), Some((at.clone(), detaching.clone())));
    f.unplug(&BOTH);
    assert!(f.driver.finish_detach(&at, &detaching).unwrap().changed);
    assert_eq!(f.begun(), None);
    assert_eq!(f.attached(), [(instance(2), "b".to_owned())]);
}

#[test]
fn refused_detach_leaves_no_trace() {
    let (f, at, detaching) = Fixture::detach_begun("a");
    f.driver.cancel_detach(&at, &detaching).unwrap();
    assert_eq!(f.begun(), None);
    f.unplug(&BOTH);
    assert_eq!(f.reconcile(), ["no_guest"]);
}

#[test]
fn reconcile_finishes_detach_once_disk_is_out() {
    let (f, ..) = Fixture::detach_begun("a");
    assert!(f.reconcile().is_empty());
    f.unplug(&[Description::Running]);
    assert_eq!(f.reconcile(), ["no_guest"], "its next start has the disk");
    f.unplug(&[Description::Persistent]);
    assert_eq!(f.reconcile(), ["released", "taken_down"]);
    f.assert_clean("after reconcile");
}

#[test]
fn guest_that_ended_finishes_its_detach() {
    let (f, ..) = Fixture::detach_begun("a");
    f.undefine(1);
    f.stop(1);
    assert_eq!(f.reconcile(), ["released", "taken_down"]);
    f.assert_clean("after reconcile");
}

#[test]
fn half_detached_volume_is_free_for_another_guest() {
    for ask in [Fixture::connect, Fixture::connect_compared] {
        let (f, ..) = Fixture::detach_begun("a");
        f.unplug(&[Description::Running]);
        assert_eq!(f.refusal(&volume("a"), 2), "volume_in_use");
        f.unplug(&[Description::Persistent]);
        ask(&f, &volume("a"), 2).unwrap();
        assert_eq!(f.attached(), [(instance(2), "a".to_owned())]);
    }
}

#[test]
fn connect_ends_begun_detach_of_its_file() {
    let (f, ..) = Fixture::detach_begun("a");
    f.unplug(&BOTH);
    f.connect(&volume("a"), 1).unwrap();
    assert_eq!(f.begun(), None);
    assert_eq!(f.reconcile(), ["no_guest"], "somebody is about to give it to the guest");
}

#[test]
fn failed_unmount_keeps_begun_detach() {
    let (f, at, detaching) = Fixture::detach_begun("a");
    f.unplug(&BOTH);
    f.host.world().refuses_unmount = true;
    f.driver.finish_detach(&at, &detaching).unwrap_err();
    assert_eq!((f.attached(), f.begun()), (vec![], Some((at.clone(), detaching.clone()))));
    f.host.world().refuses_unmount = false;
    assert_eq!(f.driver.finish_detach(&at, &detaching).unwrap().still_mounted, None);
    f.assert_clean("after the second");
}
