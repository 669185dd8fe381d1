//! Rivals are found by file, whatever id, name, mount or format it comes under.

use std::sync::{Arc, Barrier};

use super::*;
use crate::pure::guests::{Description, GuestQuestion, GuestSurvey};

#[test]
fn one_file_under_two_ids_has_one_guest() {
    let f = fixture();
    let a = volume("a");
    let other_id = ConnectionInfo { volume_id: VolumeId::from(Uuid::from_u128(5)), ..a.clone() };
    f.connect(&a, 1).unwrap();
    f.define(1, &["a"]);
    assert_eq!(f.refusal(&other_id, 2), "volume_in_use");
    assert!(!f.connect(&other_id, 1).unwrap().attached);
    let record = f.record();
    let attachment = &record.attachments[0];
    assert_eq!(attachment.volumes().collect::<Vec<_>>(), [other_id.volume_id, a.volume_id]);
    assert!(f.disconnect(&a, 1).changed);
    f.assert_clean("one attachment");
}

#[test]
fn file_keeps_the_format_on_record() {
    for (first, second) in [(volume("a"), qcow2("a")), (qcow2("a"), volume("a"))] {
        let f = fixture();
        f.connect(&first, 1).unwrap();
        let before = f.record();
        for guest in [1, 2] {
            for connect in [Fixture::connect, Fixture::connect_compared] {
                let error = connect(&f, &second, guest).unwrap_err();
                assert_eq!(error.code().as_str(), "format_mismatch", "guest {guest}: {error}");
            }
            assert_eq!(f.record(), before, "nothing changed");
        }
    }
}

#[test]
fn site_may_permit_raw_volumes_only() {
    let f = fixture();
    let config = DriverConfig { volume_formats: "raw".parse().unwrap(), ..f.driver.context.config.clone() };
    let (host, guests) = (Box::new(f.host.clone()), Box::new(f.host.clone()));
    let driver = Driver::new(config, f.driver.context.state.clone(), host, guests).unwrap();
    let id = "volume-8d2b8f5e-6f0a-4d9c-9b1e-0d7f6c5b4a39";
    let connect = |info: &ConnectionInfo| driver.connect(info, instance(1), &HypervisorFacts::default());
    for (below, is_permitted) in [((id, ImageFormat::Raw), true), (("base", ImageFormat::Qcow2), false)] {
        let snapshot = format!("{id}.snap");
        f.host.world().images.below.insert(snapshot.clone(), (below.0.to_owned(), below.1));
        let result = connect(&qcow2(&snapshot));
        assert_eq!(result.is_ok(), is_permitted, "{below:?}");
        assert!(result.err().is_none_or(|error| error.code().as_str() == "unsupported_format"));
    }
    assert_eq!(connect(&qcow2("a")).unwrap_err().code().as_str(), "unsupported_format");
    connect(&volume("a")).unwrap();
}

#[test]
fn writable_top_is_in_nobody_elses_chain() {
    let f = fixture();
    let below = |name: &str, base: &str| {
        f.host.world().images.below.insert(name.to_owned(), (base.to_owned(), ImageFormat::Raw));
    };
    below("one", "base");
    below("two", "base");
    below("over", "mine");
    f.connect(&qcow2("one"), 1).unwrap();
    f.connect(&qcow2("two"), 2).unwrap();
    assert_eq!(f.refusal(&volume("base"), 3), "volume_in_use", "it is in two chains");
    f.connect(&volume("mine"), 3).unwrap();
    assert_eq!(f.refusal(&qcow2("over"), 4), "volume_in_use", "its base is somebody's top");
}

#[test]
fn base_of_a_file_that_nobody_connected_is_protected() {
    let f = fixture();
    f.connect(&volume("x"), 1).unwrap();
    f.host.world().images.below.insert("over".to_owned(), ("base".to_owned(), ImageFormat::Raw));
    f.define(2, &[]);
    f.start(2);
    f.change_uses(2, Description::Running, |uses| uses.push(f.disk("over").over([f.path("base")])));
    let left = f.disconnect_by(&qcow2("over"), 2, Force::Leave);
    assert!(left.leaving && !left.changed, "{left:?}");
    assert_eq!(f.refusal(&volume("base"), 3), "volume_in_use");
}

#[test]
fn hard_link_is_refused_as_the_same_file() {
    let f = fixture();
    f.host.world().images.links.insert("link".to_owned(), "a".to_owned());
    f.connect(&volume("a"), 1).unwrap();
    assert_eq!(f.refusal(&volume("link"), 2), "volume_in_use");
    assert_eq!(f.recorded(), [volume("a").volume_id]);
}

#[test]
fn other_mount_base_has_the_same_rivals() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    f.run(1, &["a"]);
    let other = driver(&f.directory, &f.host, "/elsewhere");
    let error = other.connect(&volume("a"), instance(2), &HypervisorFacts::default()).unwrap_err();
    assert_eq!(error.code().as_str(), "volume_in_use");
    assert!(error.to_string().contains("vm-1"), "{error}");
    assert_eq!(f.host.world().mounts.len(), 1, "nothing is left of it");
    assert_eq!(f.attached().len(), 1);
    let error = other.connect(&qcow2("a"), instance(1), &HypervisorFacts::default()).unwrap_err();
    assert_eq!(error.code().as_str(), "format_mismatch");
    other.connect(&volume("b"), instance(2), &HypervisorFacts::default()).unwrap();
}

#[test]
fn unrecorded_use_is_a_rival_once_guests_are_asked() {
    let f = fixture();
    f.connect(&volume("b"), 2).unwrap();
    let overlay = FakeUse { layers: vec!["/local/top".into(), f.path("a")], disk: None };
    f.host.world().hypervisor.define(instance(7), vec![overlay]);
    let error = f.connect_compared(&volume("a"), 1).unwrap_err();
    assert_eq!(error.code().as_str(), "volume_in_use");
    assert!(error.to_string().contains("vm-7"), "{error}");
}

#[test]
fn rivals_made_by_hand_are_told() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    f.run(1, &["a"]);
    f.run(2, &["a"]);
    assert_eq!(f.reconcile(), ["adopted", "rivals"]);
    assert_eq!(f.reconcile(), ["rivals"]);
    for guest in [1, 2] {
        let share = |uses: &mut Vec<FakeUse>| *uses = vec![f.disk("a").change(|disk| disk.shareable = true)];
        f.change_uses(guest, Description::Running, share);
        f.change_uses(guest, Description::Persistent, share);
    }
    assert!(f.reconcile().is_empty(), "both say that it is shared");
}

/// A hypervisor that answers once a client is about to mount.
struct Meeting(FakeHost);

impl Guests for Meeting {
    fn survey(
        &self,
        question: &GuestQuestion<'_>,
    ) -> Result<GuestSurvey, Box<dyn std::error::Error + Send + Sync>> {
        // The name of one guest, for people, is asked later.
        if question.only.is_none() {
            self.0.meeting.as_ref().map(|meeting| meeting.wait());
        }
        self.0.survey(question)
    }
}

#[test]
fn guests_are_asked_while_the_client_mounts() {
    let mut f = fixture();
    // Neither goes on without the other.
    f.host.meeting = Some(Arc::new(Barrier::new(2)));
    f.run(7, &["a"]);
    let (config, state) = (f.driver.context.config.clone(), f.driver.context.state.clone());
    let guests = Box::new(Meeting(f.host.clone()));
    let driver = Driver::new(config, state, Box::new(f.host.clone()), guests).unwrap();
    let connect = |name| driver.connect(&volume(name), instance(1), &HypervisorFacts::default());
    assert_eq!(connect("a").unwrap_err().code().as_str(), "volume_in_use", "the answer counts");
    assert!(connect("b").unwrap().mounted);
}
