//! Who uses what: a guest with its descriptions, and when it has released a file.

use super::*;
use crate::pure::guests::{Description, RunId, UnknownUses};
use crate::pure::record::Leaving;

/// A guest that runs with that connected file.
fn running_with(name: &str) -> Fixture {
    let f = fixture();
    f.connect(&volume(name), 1).unwrap();
    f.run(1, &[name]);
    f
}

fn changes_files(f: &Fixture, guest: u128, uses: &[FakeUse]) {
    f.change_uses(guest, Description::Running, |present| *present = uses.to_vec());
}

#[test]
fn deleting_a_guest_with_two_volumes_leaves_nothing() {
    for force in [Force::No, Force::Leave] {
        let f = fixture();
        let (from_cache, b) = (qcow2("a"), volume("b"));
        f.host.world().images.below.insert("a".to_owned(), ("cache/base".to_owned(), ImageFormat::Raw));
        f.connect(&from_cache, 1).unwrap();
        f.connect(&b, 1).unwrap();
        let disk = f.disk("a").over([f.path("cache/base")]);
        f.host.world().hypervisor.define(instance(1), vec![disk, f.disk("b")]);
        f.start(1);
        f.stop(1);
        let first = f.disconnect_by(&from_cache, 1, force);
        assert!(first.changed && matches!(first.still_mounted, Some(StillMounted::Attachments(_))));
        let last = f.disconnect_by(&b, 1, force);
        assert_eq!((last.changed, last.leaving, last.still_mounted), (true, false, None));
        f.assert_clean(force);
    }
}

#[test]
fn released_file_counts_again_once_started_with() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    f.connect(&volume("b"), 2).unwrap();
    f.define(1, &["a"]);
    assert!(f.disconnect(&volume("a"), 1).changed);
    f.start(1);
    assert_eq!(f.reconcile(), ["adopted", "no_guest"]);
    assert_eq!(f.refusal(&volume("a"), 3), "volume_in_use");
}

#[test]
fn swapped_file_is_found_under_its_old_id() {
    for serial in [None, Some(volume("a").volume_id)] {
        let f = running_with("a");
        let (a, b) = (volume("a"), volume("b"));
        f.connect(&b, 1).unwrap();
        let with_serial = |use_: FakeUse| serial.map_or(use_.clone(), |id| use_.of_volume(id));
        for description in [Description::Running, Description::Persistent] {
            f.change_uses(1, description, |uses| *uses = vec![with_serial(f.disk("b"))]);
        }
        let old = f.disconnect_by(&a, 1, Force::Leave);
        assert!(old.changed && !old.leaving, "{serial:?}: the guest has released the old file: {old:?}");
        assert_eq!(f.attached(), [(instance(1), "b".to_owned())]);
        assert!(f.reconcile().is_empty(), "{serial:?}");
        assert_eq!(f.refusal(&b, 2), "volume_in_use");
        f.connect(&a, 2).unwrap();
        f.disconnect(&a, 2);
        // Nova stores the new file under the old id.
        let stored = ConnectionInfo { volume_id: a.volume_id, ..b };
        assert!(!f.connect(&stored, 1).unwrap().attached, "{serial:?}: the file is the attachment");
        f.stop(1);
        assert!(f.disconnect_by(&stored, 1, Force::Leave).changed);
        f.assert_clean(serial);
    }
}

#[test]
fn saved_state_holds_its_files() {
    let f = running_with("a");
    f.save(1);
    f.define(1, &[]);
    let error = f.try_disconnect(&volume("a"), 1, Force::No).unwrap_err();
    assert_eq!(error.code().as_str(), "volume_in_use");
    assert!(error.to_string().contains("vm-1 was saved with"), "{error}");
    assert_eq!(f.disk_states(), [DiskState::Ok], "the saved state is what will run");
    assert_eq!(f.refusal(&volume("a"), 2), "volume_in_use");
    assert!(f.reconcile().is_empty());
    let forced = f.disconnect_by(&volume("a"), 1, Force::Leave);
    assert!(forced.leaving && forced.still_mounted.is_some());
    assert_eq!(f.refusal(&volume("a"), 2), "volume_in_use");
    f.host.world().hypervisor.drop_saved(instance(1));
    assert_eq!(f.reconcile(), ["released", "taken_down"]);
    f.assert_clean("the saved state is gone");
}

#[test]
fn connect_adopts_guests_that_no_record_has() {
    let f = fixture();
    f.mount_by_hand();
    f.run(7, &["x"]);
    f.connect(&volume("a"), 1).unwrap();
    assert_eq!(f.attached(), [(instance(7), "x".to_owned()), (instance(1), "a".to_owned())]);
    assert_eq!(f.refusal(&volume("x"), 2), "volume_in_use");
    f.client_becomes(ClientState::Dead);
    assert_eq!(f.connect(&volume("a"), 1).unwrap().lost[0].instance, instance(7));
}

#[test]
fn adoption_is_made_up_for_once_guests_are_known() {
    let f = fixture();
    f.mount_by_hand();
    f.run(7, &["x"]);
    f.hypervisor_answers(false);
    f.connect(&volume("a"), 1).unwrap();
    f.hypervisor_answers(true);
    assert_eq!(f.reconcile(), ["adopted", "no_guest"]);
    assert_eq!(f.reconcile(), ["no_guest"]);
}

#[test]
fn running_guest_is_refused_or_leaves() {
    let f = running_with("a");
    let before = f.record();
    let error = f.try_disconnect(&volume("a"), 1, Force::No).unwrap_err();
    assert_eq!(error.code().as_str(), "volume_in_use");
    assert!(error.to_string().contains("vm-1 is running with"), "{error}");
    assert_eq!(f.record(), before, "nothing changed");
    let left = f.disconnect_by(&volume("a"), 1, Force::Leave);
    assert!(left.changed && left.leaving);
    assert!(matches!(left.still_mounted, Some(StillMounted::Attachments(_))), "{left:?}");
    assert_eq!(f.disk_states(), [DiskState::Leaving]);
    assert_eq!(f.record().attachments[0].leaving, Some(Leaving { run: Some(RunId::new(1)) }));
    assert_eq!(f.refusal(&volume("a"), 2), "volume_in_use");
    assert_eq!(f.reconcile(), ["leaving"]);
}

#[test]
fn leaving_attachment_goes_once_released() {
    let stop = |f: &Fixture| f.stop(1);
    let stop_and_undefine = |f: &Fixture| {
        f.stop(1);
        f.undefine(1);
    };
    let detach = |f: &Fixture| changes_files(f, 1, &[]);
    let restart_without = |f: &Fixture| {
        f.stop(1);
        f.define(1, &[]);
        f.start(1);
    };
    for release in [stop, stop_and_undefine, detach, restart_without] as [fn(&Fixture); 4] {
        for door in [true, false] {
            let f = running_with("a");
            f.disconnect_by(&volume("a"), 1, Force::Leave);
            release(&f);
            if door {
                assert_eq!(f.reconcile(), ["released", "taken_down"]);
                f.assert_clean("released");
            } else {
                f.connect(&volume("a"), 2).unwrap();
                assert_eq!(f.attached(), [(instance(2), "a".to_owned())]);
            }
        }
    }
}

#[test]
fn other_disconnect_drops_what_has_left() {
    let f = running_with("a");
    f.connect(&volume("b"), 2).unwrap();
    f.disconnect_by(&volume("a"), 1, Force::Leave);
    f.stop(1);
    assert_eq!(f.disconnect(&volume("b"), 2).still_mounted, None);
    f.assert_clean("the leaving attachment's guest has ended");
}

#[test]
fn any_disconnect_of_the_guest_drops_what_has_left() {
    let f = running_with("a");
    f.disconnect_by(&volume("a"), 1, Force::Leave);
    f.stop(1);
    f.undefine(1);
    assert_eq!(f.disconnect(&volume("b"), 1).still_mounted, None);
    f.assert_clean("b was never connected");
}

#[test]
fn last_disconnect_drops_adopted_guests_that_are_gone() {
    let f = running_with("a");
    f.run(7, &["x"]);
    assert_eq!(f.reconcile(), ["adopted"]);
    f.stop(7);
    f.undefine(7);
    f.stop(1);
    assert_eq!(f.disconnect(&volume("a"), 1).still_mounted, None);
    f.assert_clean("nobody would disconnect what nobody has connected");
}

#[test]
fn nova_force_spares_open_and_hung_mounts() {
    for (client_state, still_mounted) in
        [(ClientState::Healthy, StillMounted::Busy), (ClientState::Hung, StillMounted::Hung)]
    {
        let f = fixture();
        f.connect(&volume("a"), 1).unwrap();
        f.host.change(&f.at(&volume("a")), |layer| layer.busy = true);
        f.client_becomes(client_state);
        let kept = f.disconnect_by(&volume("a"), 1, Force::Leave);
        assert_eq!((kept.leaving, kept.still_mounted), (false, Some(still_mounted)));
        assert_eq!(f.count_mounts(), 1);
    }
}

#[test]
fn unanswering_hypervisor_makes_attachments_leave() {
    let f = running_with("a");
    f.hypervisor_answers(false);
    let left = f.disconnect(&volume("a"), 1);
    assert!(left.changed && left.leaving && left.still_mounted.is_some(), "{left:?}");
    assert_eq!(f.refusal(&volume("a"), 2), "volume_in_use");
    f.hypervisor_answers(true);
    assert_eq!(f.reconcile(), ["leaving"]);
    f.stop(1);
    assert_eq!(f.reconcile(), ["released", "taken_down"]);
}

#[test]
fn leaving_guest_started_again_has_the_file_again() {
    let f = running_with("a");
    f.disconnect_by(&volume("a"), 1, Force::Leave);
    f.stop(1);
    f.start(1);
    assert_eq!(f.reconcile(), ["adopted"], "somebody has started it with the file");
    assert!(f.reconcile().is_empty());
    assert_eq!(f.disk_states(), [DiskState::Ok]);
}

#[test]
fn snapshot_and_commit_move_the_attachment() {
    let f = running_with("a");
    let snapshot = f.disk("a.snap").over([f.path("a")]);
    changes_files(&f, 1, &[snapshot]);
    f.host.world().images.below.insert("a.snap".to_owned(), ("a".to_owned(), ImageFormat::Raw));
    assert_eq!(f.reconcile(), ["moved"]);
    let again = f.driver.reconcile(false).unwrap();
    assert!(again.is_empty(), "{again:?} {:?}", f.record());
    assert_eq!(f.disk_states(), [DiskState::Ok]);
    for other in [qcow2("a.snap"), volume("a")] {
        assert_eq!(f.refusal(&other, 2), "volume_in_use");
    }
    changes_files(&f, 1, &[f.disk("a")]);
    assert_eq!(f.reconcile(), ["moved"]);
    f.stop(1);
    assert!(f.disconnect(&volume("a"), 1).changed);
    f.assert_clean("after the commit");
}

#[test]
fn unnoticed_snapshot_is_found_by_any_layer() {
    let f = running_with("a");
    changes_files(&f, 1, &[f.disk("a.snap").over([f.path("a")])]);
    assert_eq!(f.disk_states(), [DiskState::Ok]);
    let error = f.try_disconnect(&volume("a"), 1, Force::No).unwrap_err();
    assert_eq!(error.code().as_str(), "volume_in_use");
    f.connect_compared(&volume("b"), 1).unwrap();
    assert_eq!(f.attached()[0].1, "a.snap");
    assert_eq!(f.refusal(&qcow2("a.snap"), 2), "volume_in_use");
}

#[test]
fn copy_under_way_is_protected() {
    let f = running_with("a");
    let disk = |name: &str| f.disk(name).of_volume(volume("a").volume_id);
    let copy = disk("copy").change(|disk| disk.is_copy = true);
    changes_files(&f, 1, &[disk("a"), copy]);
    assert!(f.reconcile().is_empty());
    assert_eq!(f.refusal(&volume("copy"), 2), "volume_in_use");
    changes_files(&f, 1, &[disk("copy")]);
    assert_eq!(f.reconcile(), ["moved"]);
    assert_eq!(f.refusal(&volume("a"), 2), "volume_in_use", "it starts with the old file again");
    f.define(1, &["copy"]);
    assert!(f.reconcile().is_empty());
    assert_eq!(f.refusal(&volume("copy"), 2), "volume_in_use");
    f.connect(&volume("a"), 2).unwrap();
}

#[test]
fn guest_that_is_not_understood_changes_nothing() {
    let f = running_with("a");
    f.connect(&volume("b"), 2).unwrap();
    let unknown = UnknownUses { reason: "torn XML".to_owned(), mentioned: vec![f.at(&volume("a"))] };
    f.host.world().hypervisor.make_unknown(instance(1), Some(unknown));
    assert_eq!(f.reconcile(), ["no_guest", "unknown_guest"]);
    let left = f.disconnect(&volume("a"), 1);
    assert!(left.leaving, "{left:?}");
    let kept = f.disconnect(&volume("b"), 2);
    assert!(kept.still_mounted.is_some() && !kept.leaving, "only one guest is unknown: {kept:?}");
    f.host.world().hypervisor.make_unknown(instance(1), None);
    f.stop(1);
    assert_eq!(f.reconcile(), ["released", "taken_down"]);
}
