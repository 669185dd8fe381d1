//! What becomes of a mount whose client has died, hangs or has lost its registries.

use super::*;
use crate::driver::operation::{Rollback, ShareOperation};
use crate::host::{Launcher, LinuxConfig, LinuxHost};
use crate::pure::guests::{GuestQuestion, GuestSurvey};
use crate::pure::record::ShareRecord;

/// A share with one attachment, whose client is now like `client_state`.
fn share_with(client_state: ClientState, busy: bool) -> Fixture {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    f.host.change(&f.at(&volume("a")), |layer| {
        layer.client_state = client_state;
        layer.busy = busy;
    });
    f
}

#[test]
fn dead_mount_is_replaced_even_if_busy() {
    for busy in [false, true] {
        let f = share_with(ClientState::Dead, busy);
        f.run(1, &["a"]);
        let connected = f.connect(&volume("b"), 2).unwrap();
        assert!(connected.mounted);
        let lost: Vec<_> = connected.lost.iter().map(|attachment| attachment.instance).collect();
        assert_eq!(lost, [instance(1)]);
        assert_eq!(f.host.count_stacked(&connected.mount_path), 1);
    }
}

#[test]
fn lost_guest_stays_lost_until_its_run_ends() {
    let f = share_with(ClientState::Dead, true);
    f.run(1, &["a"]);
    for (info, guest) in [(volume("a"), 1), (volume("a"), 1), (volume("b"), 2)] {
        let lost = f.connect(&info, guest).unwrap().lost;
        assert_eq!(lost.iter().map(|one| one.instance).collect::<Vec<_>>(), [instance(1)]);
    }
    f.stop(1);
    f.start(1);
    assert!(f.connect(&volume("a"), 1).unwrap().lost.is_empty());
    assert!(f.connect(&volume("b"), 2).unwrap().lost.is_empty());
}

#[test]
fn guest_that_is_shut_off_loses_nothing() {
    let f = share_with(ClientState::Dead, true);
    f.define(1, &["a"]);
    assert!(f.connect(&volume("b"), 2).unwrap().lost.is_empty());
}

#[test]
fn dead_mounts_over_healthy_mount_are_removed() {
    let f = share_with(ClientState::Healthy, false);
    let a = volume("a");
    f.host.world().add_mount(&f.at(&a), "fuse.quobyte", a.export.mount_source(), ClientState::Dead);
    f.host.world().add_mount(&f.at(&a), "fuse.quobyte", a.export.mount_source(), ClientState::Dead);
    assert!(!f.connect(&volume("b"), 2).unwrap().mounted);
    assert_eq!(f.host.count_stacked(&f.at(&a)), 1);
}

#[test]
fn mount_without_registry_is_replaced_if_unused() {
    let f = share_with(ClientState::Disconnected, false);
    assert!(f.connect(&volume("b"), 2).unwrap().mounted);
    let f = share_with(ClientState::Disconnected, true);
    assert_eq!(f.connect(&volume("b"), 2).unwrap_err().code().as_str(), "mount_stale");
    assert_eq!(f.recorded().len(), 1);
}

#[test]
fn other_users_dead_mount_is_refused_with_remedy() {
    let f = fixture();
    let a = volume("a");
    f.host.world().user = 4711;
    f.host.world().add_mount(&f.at(&a), "fuse.quobyte", a.export.mount_source(), ClientState::Dead);
    let error = f.connect(&a, 1).unwrap_err();
    assert_eq!(error.code().as_str(), "mount_stale");
    assert!(error.to_string().contains("sudo -u '#4711' fusermount3 -u /mnt/"), "{error}");
}

#[test]
fn hung_mount_is_reported_with_attachments() {
    let f = share_with(ClientState::Hung, true);
    let error = f.connect(&volume("b"), 2).unwrap_err();
    assert_eq!(error.code().as_str(), "mount_hung");
    assert!(error.to_string().contains(&instance(1).to_string()), "{error}");
    assert_eq!(f.recorded(), [volume("a").volume_id]);
}

#[test]
fn disconnect_succeeds_in_every_mount_state() {
    for (client_state, busy, still_mounted) in [
        (ClientState::Dead, false, None),
        (ClientState::Dead, true, None),
        (ClientState::Disconnected, false, None),
        (ClientState::Disconnected, true, Some(StillMounted::Busy)),
        (ClientState::Hung, false, None),
        (ClientState::Hung, true, Some(StillMounted::Hung)),
        (ClientState::Stale, false, None),
        (ClientState::Stale, true, Some(StillMounted::Busy)),
        (ClientState::Vanished, true, None),
    ] {
        let f = share_with(client_state, busy);
        let gone = f.disconnect(&volume("a"), 1);
        assert!(gone.changed);
        assert_eq!(gone.still_mounted, still_mounted, "{client_state:?} {busy}");
        assert!(f.recorded().is_empty());
    }
    let f = share_with(ClientState::Healthy, false);
    f.host.world().mounts.clear();
    assert_eq!(f.disconnect(&volume("a"), 1).still_mounted, None);
    f.assert_clean("somebody else unmounted");
}

#[test]
fn force_unmounts_busy_or_hung_mount_if_alone() {
    for client_state in [ClientState::Healthy, ClientState::Hung, ClientState::Disconnected] {
        let f = share_with(client_state, true);
        assert_eq!(f.disconnect_by(&volume("a"), 1, Force::IfAlone).still_mounted, None, "{client_state:?}");
        f.assert_clean(client_state);
    }
    let f = share_with(ClientState::Healthy, false);
    f.connect(&volume("b"), 2).unwrap();
    f.host.change(&f.at(&volume("a")), |layer| layer.client_state = ClientState::Hung);
    let still_mounted = f.disconnect_by(&volume("a"), 1, Force::IfAlone).still_mounted;
    assert!(matches!(still_mounted, Some(StillMounted::Attachments(_))), "{still_mounted:?}");
    assert_eq!(f.disconnect_by(&volume("a"), 1, Force::Always).still_mounted, None);
    assert_eq!(f.host.count_stacked(&f.at(&volume("a"))), 0);
    assert_eq!(f.recorded(), [volume("b").volume_id]);
}

#[test]
fn unrecorded_or_unknown_guests_keep_the_mount() {
    let f = share_with(ClientState::Healthy, false);
    f.run(9, &["x"]);
    let Some(StillMounted::Guests(uses)) = f.disconnect(&volume("a"), 1).still_mounted else {
        panic!("the stranger needs the share")
    };
    assert!(uses.iter().all(|one| one.path == f.path("x") && one.name == "vm-9"), "{uses:?}");
    f.hypervisor_answers(false);
    assert!(matches!(f.disconnect(&volume("a"), 1).still_mounted, Some(StillMounted::Unknown(_))));
    f.hypervisor_answers(true);
    f.stop(9);
    f.undefine(9);
    assert_eq!(f.disconnect(&volume("a"), 1).still_mounted, None);
    f.assert_clean("once no guest is left");
}

#[test]
fn only_other_disks_of_the_guest_keep_the_mount() {
    let f = share_with(ClientState::Healthy, false);
    f.define(1, &["a"]);
    assert_eq!(f.disconnect(&volume("a"), 1).still_mounted, None);
    let f = share_with(ClientState::Healthy, false);
    f.define(1, &["a", "b"]);
    let Some(StillMounted::Guests(uses)) = f.disconnect(&volume("a"), 1).still_mounted else {
        panic!("the guest's other disk needs the share")
    };
    assert_eq!(uses.iter().map(|one| &one.path).collect::<Vec<_>>(), [&f.path("b")]);
}

#[test]
fn dead_mount_stays_until_the_guest_is_known() {
    let f = share_with(ClientState::Dead, true);
    f.hypervisor_answers(false);
    let gone = f.disconnect(&volume("a"), 1);
    assert!(gone.leaving && matches!(gone.still_mounted, Some(StillMounted::Unknown(_))), "{gone:?}");
    f.hypervisor_answers(true);
    assert_eq!(f.disconnect(&volume("a"), 1).still_mounted, None);
    f.assert_clean("nobody lost anything");
}

#[test]
fn client_mounting_while_killed_leaves_no_mount() {
    let reconcile = |f: &Fixture| drop(f.driver.reconcile(false).unwrap());
    let use_it = |f: &Fixture| {
        f.connect(&volume("a"), 1).unwrap();
        assert_eq!(f.disconnect(&volume("a"), 1).still_mounted, None);
    };
    for recover in [reconcile, use_it] {
        let f = fixture();
        let a = volume("a");
        let at = f.at(&a);
        // A caller was killed while its client ran; the client's last act was to mount.
        let share = f.driver.context.lock(&at).unwrap();
        let record = ShareRecord::new(a.export.clone(), at.clone()).unwrap();
        share.store(&record).unwrap();
        drop(share);
        f.host.world().directories.insert(at.as_path().to_owned());
        f.host.world().pending_mounts.push((at, a.export.clone(), record.generation));
        f.host.world().mounts_when_ended = true;
        recover(&f);
        f.assert_clean("the stray has mounted");
    }
}

#[test]
fn client_of_lazy_unmount_is_never_killed() {
    let connect = |f: &Fixture| drop(f.connect(&volume("b"), 2));
    let reconcile = |f: &Fixture| drop(f.driver.reconcile(false).unwrap());
    let disconnect = |f: &Fixture| assert_eq!(f.disconnect(&volume("a"), 1).still_mounted, None);
    let clients = [
        MountBehavior::Mounts,
        MountBehavior::Refuses,
        MountBehavior::TimesOutAndMountsLate,
        MountBehavior::MountsAndHangs,
    ];
    for (client, call) in clients.into_iter().flat_map(|client| {
        let calls: [fn(&Fixture); 3] = [connect, reconcile, disconnect];
        calls.map(|call| (client, call))
    }) {
        let f = share_with(ClientState::Healthy, true);
        f.host.world().unmount_lazily(&f.at(&volume("a")));
        let before = f.host.world().detached.clone();
        assert_eq!(before.len(), 1);
        f.host.world().mount_behavior = client;
        // The second finds what the first has left.
        call(&f);
        call(&f);
        assert_eq!(f.host.world().detached, before, "{client:?}");
    }
}

#[test]
fn lazily_unmounted_client_keeps_serving() {
    let f = share_with(ClientState::Healthy, true);
    let at = f.at(&volume("a"));
    f.host.world().unmount_lazily(&at);
    let before = f.host.world().detached.clone();
    // The caller is killed as its client is about to mount.
    let share = f.driver.context.lock(&at).unwrap();
    let mut record = share.load().unwrap().unwrap();
    record.mount = None;
    record.advance_generation();
    share.store(&record).unwrap();
    drop(share);
    f.host.world().pending_mounts.push((at.clone(), record.export.clone(), record.generation));
    assert!(f.connect(&volume("b"), 2).unwrap().mounted);
    assert!(f.host.world().pending_mounts.is_empty());
    assert_eq!(f.host.world().detached, before);
}

#[test]
fn externally_replaced_mount_reports_lost_guests() {
    let f = share_with(ClientState::Dead, true);
    f.run(1, &["a"]);
    f.host.world().mounts.clear();
    f.mount_by_hand();
    let lost = f.connect(&volume("b"), 2).unwrap().lost;
    assert_eq!(lost.iter().map(|attachment| attachment.instance).collect::<Vec<_>>(), [instance(1)]);
}

#[test]
fn failing_client_stays_mounted_until_forced() {
    for busy in [false, true] {
        let f = share_with(ClientState::Failing, busy);
        let still_mounted = f.disconnect(&volume("a"), 1).still_mounted;
        assert!(matches!(still_mounted, Some(StillMounted::Unknown(_))), "{still_mounted:?}");
        assert!(f.recorded().is_empty());
        assert_eq!(f.disconnect_by(&volume("a"), 1, Force::IfAlone).still_mounted, None, "{busy}");
        f.assert_clean(busy);
    }
}

/// A hypervisor during whose answer somebody replaces the share's mount and opens a file on the new one.
struct Remounter(FakeHost, ConnectionInfo, Ids);

/// Whether the kernel gives each mount an id of its own.
type Ids = bool;

impl Guests for Remounter {
    fn survey(
        &self,
        question: &GuestQuestion<'_>,
    ) -> Result<GuestSurvey, Box<dyn std::error::Error + Send + Sync>> {
        let at = &question.shares[0];
        self.0.world().mounts.remove(at.as_path());
        self.0.world().add_mount(at, "fuse.quobyte", self.1.export.mount_source(), ClientState::Healthy);
        self.0.change(at, |layer| {
            layer.busy = true;
            layer.mount.unique_id = layer.mount.unique_id.filter(|_| self.2);
        });
        Ok(GuestSurvey::default())
    }
}

#[test]
fn mount_made_during_forced_unmount_is_kept() {
    let a = volume("a");
    let lives = [ClientState::Hung, ClientState::Healthy, ClientState::Failing];
    for (client_state, ids) in
        lives.into_iter().flat_map(|client_state| [(client_state, true), (client_state, false)])
    {
        let f = share_with(client_state, true);
        f.host.change(&f.at(&a), |layer| layer.mount.unique_id = layer.mount.unique_id.filter(|_| ids));
        let guests = Box::new(Remounter(f.host.clone(), a.clone(), ids));
        let (config, state) = (f.driver.context.config.clone(), f.driver.context.state.clone());
        let driver = Driver::new(config, state, Box::new(f.host.clone()), guests).unwrap();
        let gone = driver.disconnect(&request(&f.at(&a), &a, 1, Force::IfAlone)).unwrap();
        assert_eq!(gone.still_mounted, Some(StillMounted::Busy), "{client_state:?}, with ids: {ids}");
        assert_eq!(f.host.count_stacked(&f.at(&a)), 1, "{client_state:?}, with ids: {ids}");
    }
}

#[test]
fn concurrent_rollbacks_below_new_base_succeed() {
    let directory = tempfile::tempdir().unwrap();
    let state = StateDir::open(&directory.path().join("state")).unwrap();
    let timeout = Duration::from_secs(30);
    let linux = LinuxConfig {
        client_cfg: None,
        launcher: Launcher::Direct,
        is_command: false,
        helper: "/nonexistent/helper".into(),
        mount_timeout: Some(timeout),
        probe_timeout: timeout,
    };
    for round in 0..50 {
        let config = DriverConfig {
            nova_cache: None,
            mount_point_base: directory.path().join(format!("{round}/mnt")),
            lock_timeout: timeout,
            io: IoOptions::default(),
            volume_formats: VolumeFormats::default(),
        };
        let host = Box::new(LinuxHost::new(linux.clone(), state.clone()));
        let driver = Driver::new(config, state.clone(), host, Box::new(FakeHost::new())).unwrap();
        let fail = &|share: u32| {
            let export = Export::parse(&format!("reg/vol{share}")).unwrap();
            let at = driver.mount_path(&export);
            let lock = driver.context.lock(&at).unwrap();
            let record = ShareRecord::new(export, at.clone()).unwrap();
            let mut operation = ShareOperation::new(&driver.context, &lock, None, record);
            let directories = driver.context.host.make_mount_point(&at).unwrap();
            assert!(at.as_path().is_dir());
            operation.rollback = Rollback { directories, ..Rollback::default() };
            let left = operation.undo(&at);
            assert!(left.is_empty(), "{left:?}");
        };
        std::thread::scope(|scope| (0..4).for_each(|share| drop(scope.spawn(move || fail(share)))));
    }
}
