//! A share that is mounted for somebody who is no guest.

use super::*;

#[test]
fn held_share_is_mounted_and_reconcile_lets_go() {
    let f = fixture();
    let a = volume("a");
    let held = f.driver.hold(&a.export).unwrap();
    assert_eq!((&held.mount_path, f.host.count_stacked(&held.mount_path)), (&f.at(&a), 1));
    assert_eq!(f.recorded(), []);
    drop(held);
    f.driver.reconcile_share(&f.at(&a)).unwrap();
    f.assert_clean("after it was let go");
}

#[test]
fn share_of_a_guest_outlives_its_hold() {
    let f = fixture();
    let a = volume("a");
    f.connect(&a, 1).unwrap();
    drop(f.driver.hold(&a.export).unwrap());
    f.driver.reconcile_share(&f.at(&a)).unwrap();
    assert_eq!((f.recorded(), f.host.count_stacked(&f.at(&a))), (vec![a.volume_id], 1));
    // A volume that is connected meanwhile stays, too.
    let held = f.driver.hold(&a.export).unwrap();
    f.disconnect(&a, 1);
    f.connect(&volume("b"), 2).unwrap();
    drop(held);
    f.driver.reconcile_share(&f.at(&a)).unwrap();
    assert_eq!(f.recorded(), [volume("b").volume_id]);
}

#[test]
fn failed_hold_rolls_back_completely() {
    for (client, code) in [
        (MountBehavior::ExitsWithoutMount, "mount_failed"),
        (MountBehavior::Refuses, "mount_failed"),
        (MountBehavior::IsMissing, "client_not_found"),
        (MountBehavior::TimesOutAndMountsLate, "mount_timeout"),
        (MountBehavior::MountsLate, "mount_failed"),
        (MountBehavior::MountsAndHangs, "mount_hung"),
        (MountBehavior::MountsAndDies, "mount_stale"),
        (MountBehavior::MountsAnotherVolume, "wrong_volume"),
    ] {
        let f = fixture();
        f.host.world().mount_behavior = client;
        let error = f.driver.hold(&volume("a").export).unwrap_err();
        assert_eq!(error.code().as_str(), code, "{client:?}: {error}");
        f.assert_clean(client);
    }
}
