mod apparmor;
mod detach;
mod extend;
mod fixture;
mod guests;
mod hold;
mod lost;
mod model;
mod policy;
mod reconcile;
mod repair;
mod rivals;

use std::time::Duration;

use uuid::Uuid;

use self::fixture::*;
use super::fake::{ClientState, FakeHost, FakeUse, Image, MountBehavior};
use super::*;
use crate::error::with_causes;
use crate::pure::connection::{ConnectionInfo, ImageFormat, InstanceId, VolumeId};
use crate::pure::image::VolumeFormats;
use crate::pure::io_policy::{HypervisorFacts, IoOptions};

#[test]
fn first_connect_mounts_last_disconnect_unmounts() {
    let f = fixture();
    let (a, b) = (volume("a"), volume("b"));
    let first = f.connect(&a, 1).unwrap();
    assert!(first.mounted && first.changed);
    assert_eq!(
        first.device_path,
        Path::new("/mnt").join(first.mount_path.as_path().file_name().unwrap()).join("a")
    );
    let second = f.connect(&b, 2).unwrap();
    assert!(!second.mounted && second.changed);
    assert_eq!(f.host.count_stacked(&first.mount_path), 1);

    let Some(StillMounted::Attachments(left)) = f.disconnect(&a, 1).still_mounted else {
        panic!("b still needs the share")
    };
    assert_eq!(left.iter().map(|attachment| attachment.instance).collect::<Vec<_>>(), [instance(2)]);
    assert_eq!(f.host.count_stacked(&first.mount_path), 1);
    let last = f.disconnect(&b, 2);
    assert_eq!((last.changed, last.still_mounted), (true, None));
    f.assert_clean("after the last disconnect");
}

#[test]
fn connect_is_idempotent() {
    let f = fixture();
    let a = volume("a");
    f.connect(&a, 1).unwrap();
    let again = f.connect(&a, 1).unwrap();
    assert!(!again.mounted && !again.changed);
    assert_eq!(f.recorded(), [a.volume_id]);
    assert_eq!(f.disconnect(&a, 1).still_mounted, None);
    f.assert_clean("after one disconnect");
}

#[test]
fn volume_in_use_is_refused_unless_multiattach() {
    let f = fixture();
    let a = volume("a");
    f.connect(&a, 1).unwrap();
    let error = f.connect(&a, 2).unwrap_err();
    assert_eq!(error.code().as_str(), "volume_in_use");
    assert!(error.to_string().contains(&instance(1).to_string()), "{error}");
    assert!(!f.connect(&a, 1).unwrap().changed);
    let shared = ConnectionInfo { multiattach: true, ..a.clone() };
    assert_eq!(
        f.connect(&shared, 2).unwrap_err().code().as_str(),
        "volume_in_use",
        "the first did not say so"
    );
    f.connect(&shared, 1).unwrap();
    f.connect(&shared, 2).unwrap();
    assert_eq!(f.connect(&a, 3).unwrap_err().code().as_str(), "volume_in_use", "the third does not say so");
    f.disconnect(&a, 1);
    f.disconnect(&a, 2);
    f.assert_clean("after both left");
}

#[test]
fn snapshot_overlay_keeps_same_attachment() {
    let f = fixture();
    let id = "volume-8d2b8f5e-6f0a-4d9c-9b1e-0d7f6c5b4a39";
    let (before, mut after) = (volume(id), volume(&format!("{id}.snap")));
    after.format = ImageFormat::Qcow2;
    f.connect(&before, 1).unwrap();
    f.host.world().images.below.insert(format!("{id}.snap"), (id.to_owned(), ImageFormat::Raw));
    assert!(f.connect(&after, 1).unwrap().changed);
    assert_eq!(f.recorded(), [before.volume_id]);
    f.disconnect(&before, 1);
    f.assert_clean("after one disconnect");
}

#[test]
fn disconnect_of_unconnected_volume_succeeds() {
    let f = fixture();
    let nothing = f.disconnect(&volume("a"), 1);
    assert_eq!((nothing.changed, nothing.still_mounted), (false, None));
    f.connect(&volume("a"), 1).unwrap();
    let other_guest = f.disconnect(&volume("a"), 2);
    assert!(!other_guest.changed && other_guest.still_mounted.is_some());
    assert_eq!(f.recorded().len(), 1);
}

#[test]
fn failed_connect_rolls_back_completely() {
    for (client, image, code) in [
        (MountBehavior::ExitsWithoutMount, Image::Regular, "mount_failed"),
        (MountBehavior::Refuses, Image::Regular, "mount_failed"),
        (MountBehavior::IsMissing, Image::Regular, "client_not_found"),
        (MountBehavior::TimesOut, Image::Regular, "mount_timeout"),
        (MountBehavior::TimesOutAndMountsLate, Image::Regular, "mount_timeout"),
        (MountBehavior::TimesOutHavingMounted, Image::Regular, "mount_timeout"),
        (MountBehavior::MountsLate, Image::Regular, "mount_failed"),
        (MountBehavior::MountsAndHangs, Image::Regular, "mount_hung"),
        (MountBehavior::MountsAndDies, Image::Regular, "mount_stale"),
        (MountBehavior::MountsAnotherType, Image::Regular, "not_quobyte"),
        (MountBehavior::MountsAnotherTypeAndComplains, Image::Regular, "not_quobyte"),
        (MountBehavior::MountsAnotherVolume, Image::Regular, "wrong_volume"),
        (MountBehavior::MountsWithoutRegistries, Image::Regular, "mount_stale"),
        (MountBehavior::Mounts, Image::Missing, "image_missing"),
        (MountBehavior::Mounts, Image::Link, "image_rejected"),
        (MountBehavior::Mounts, Image::Directory, "image_rejected"),
        (MountBehavior::Mounts, Image::OnAnotherDevice, "image_rejected"),
    ] {
        let f = fixture();
        f.host.world().mount_behavior = client;
        f.host.world().image = image;
        let error = f.connect(&volume("a"), 1).unwrap_err();
        assert_eq!(error.code().as_str(), code, "{client:?} {image:?}: {error}");
        f.assert_clean((client, image));
    }
}

#[test]
fn client_words_are_part_of_the_error() {
    for client in [MountBehavior::Refuses, MountBehavior::MountsAnotherTypeAndComplains] {
        let f = fixture();
        f.host.world().mount_behavior = client;
        let error = with_causes(&f.connect(&volume("a"), 1).unwrap_err());
        assert!(error.contains("cannot reach a registry"), "{client:?}: {error}");
    }
}

#[test]
fn mount_table_overrides_client_status() {
    let f = fixture();
    f.host.world().mount_behavior = MountBehavior::MountsAndComplains;
    assert!(f.connect(&volume("a"), 1).unwrap().mounted);
}

#[test]
fn failed_connect_keeps_existing_attachments() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    f.host.world().image = Image::Missing;
    assert_eq!(f.connect(&volume("b"), 2).unwrap_err().code().as_str(), "image_missing");
    assert_eq!(f.host.count_stacked(&f.at(&volume("a"))), 1);
    assert_eq!(f.recorded(), [volume("a").volume_id]);
}

#[test]
fn unsupported_policy_is_refused_before_mount() {
    let f = fixture();
    let mut shared = volume("a");
    shared.format = ImageFormat::Qcow2;
    shared.multiattach = true;
    assert!(matches!(f.connect(&shared, 1), Err(Error::IoPolicy(_))));
    f.assert_clean("multiattach of qcow2");
}

#[test]
fn busy_share_is_unmounted_by_later_disconnect() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    f.host.change(&f.at(&volume("a")), |layer| layer.busy = true);
    let busy = f.disconnect(&volume("a"), 1);
    assert_eq!((busy.changed, busy.still_mounted), (true, Some(StillMounted::Busy)));
    f.host.change(&f.at(&volume("a")), |layer| layer.busy = false);
    let later = f.disconnect(&volume("a"), 1);
    assert_eq!((later.changed, later.still_mounted), (false, None));
    f.assert_clean("after the later disconnect");
}

#[test]
fn unrecorded_mount_is_used_but_not_unmounted() {
    let f = fixture();
    let a = volume("a");
    f.host.world().add_mount(&f.at(&a), "fuse.quobyte", a.export.mount_source(), ClientState::Healthy);
    assert_eq!(f.disconnect(&a, 1).still_mounted, Some(StillMounted::NotRecorded));
    assert_eq!(f.host.count_stacked(&f.at(&a)), 1);
    assert!(!f.connect(&a, 1).unwrap().mounted);
}

#[test]
fn other_users_mount_is_used_but_not_unmounted() {
    let f = fixture();
    let a = volume("a");
    f.host.world().user = 0;
    f.host.world().add_mount(&f.at(&a), "fuse.quobyte", a.export.mount_source(), ClientState::Healthy);
    assert!(!f.connect(&a, 1).unwrap().mounted);
    assert_eq!(f.disconnect(&a, 1).still_mounted, Some(StillMounted::NotOwner));
    assert_eq!(f.host.count_stacked(&f.at(&a)), 1);
    assert!(f.recorded().is_empty());
}

#[test]
fn foreign_mount_over_share_is_preserved() {
    let f = fixture();
    let a = volume("a");
    f.connect(&a, 1).unwrap();
    f.host.world().add_mount(&f.at(&a), "tmpfs", "tmpfs".to_owned(), ClientState::Healthy);
    assert_eq!(f.connect(&volume("b"), 2).unwrap_err().code().as_str(), "not_quobyte");
    assert_eq!(f.disconnect(&a, 1).still_mounted, Some(StillMounted::Foreign));
    assert_eq!(f.host.count_stacked(&f.at(&a)), 2);
}

#[test]
fn covered_mount_is_unmounted_once_uncovered() {
    for (user, fs_type) in [(1000, "tmpfs"), (4711, "fuse.quobyte")] {
        let f = fixture();
        let a = volume("a");
        f.connect(&a, 1).unwrap();
        f.host.world().user = user;
        f.host.world().add_mount(&f.at(&a), fs_type, a.export.mount_source(), ClientState::Healthy);
        assert!(f.disconnect(&a, 1).still_mounted.is_some());
        drop(f.host.world().mounts.get_mut(f.at(&a).as_path()).unwrap().pop());
        f.driver.reconcile(false).unwrap();
        f.assert_clean(fs_type);
    }
}

#[test]
fn disconnect_uses_recorded_mount_path() {
    let f = fixture();
    let a = volume("a");
    let place = f.connect(&a, 1).unwrap().mount_path;
    let moved = driver(&f.directory, &f.host, "/elsewhere");
    let at = moved.mount_path(&a.export);
    let done = moved.disconnect(&request(&at, &a, 1, Force::No)).unwrap();
    assert_eq!((done.mount_path, done.changed, done.still_mounted), (place, true, None));
    f.assert_clean("after the base was moved");
}

#[test]
fn invalid_mount_base_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let f = fixture();
    for base in [&b"mnt"[..], b"", b"/m\nt", b"/m\x1b[2Jt", b"/m\xffnt"] {
        let base = std::ffi::OsStr::from_bytes(base);
        let config = DriverConfig { mount_point_base: base.into(), ..f.driver.context.config.clone() };
        let (host, guests) = (Box::new(f.host.clone()), Box::new(f.host.clone()));
        let Err(error) = Driver::new(config, f.driver.context.state.clone(), host, guests) else {
            panic!("{base:?} is accepted")
        };
        assert_eq!(error.code().as_str(), "invalid_config");
        assert!(!error.to_string().contains(char::is_control), "{error}");
    }
}
