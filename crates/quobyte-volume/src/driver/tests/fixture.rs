//! A driver on a fake host, and what tests do with it.

use super::*;
use crate::pure::guests::Description;
use crate::pure::record::{Attachment, ShareRecord};

pub(super) struct Fixture {
    pub(super) directory: tempfile::TempDir,
    pub(super) host: FakeHost,
    pub(super) driver: Driver,
}

pub(super) fn driver(directory: &tempfile::TempDir, host: &FakeHost, base: &str) -> Driver {
    let config = DriverConfig {
        nova_cache: None,
        mount_point_base: base.into(),
        lock_timeout: Duration::from_secs(30),
        io: IoOptions::default(),
        volume_formats: VolumeFormats::default(),
    };
    let state = StateDir::open(&directory.path().join("state")).unwrap();
    Driver::new(config, state, Box::new(host.clone()), Box::new(host.clone())).unwrap()
}

pub(super) fn fixture() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let host = FakeHost::new();
    let driver = driver(&directory, &host, "/mnt");
    Fixture { directory, host, driver }
}

pub(super) fn request<'a>(
    at: &'a MountPath,
    info: &'a ConnectionInfo,
    guest: u128,
    force: Force,
) -> DisconnectRequest<'a> {
    DisconnectRequest {
        at,
        export: Some(&info.export),
        name: &info.name,
        volume: Some(info.volume_id),
        instance: instance(guest),
        described: Described::OutOfDate,
        force,
    }
}

impl Fixture {
    pub(super) fn connect(&self, info: &ConnectionInfo, guest: u128) -> Result<Connected, Error> {
        self.driver.connect(info, instance(guest), &HypervisorFacts::default())
    }

    pub(super) fn connect_compared(&self, info: &ConnectionInfo, guest: u128) -> Result<Connected, Error> {
        self.driver.connect_compared(info, instance(guest), &HypervisorFacts::default())
    }

    /// The code of a connect that is refused.
    pub(super) fn refusal(&self, info: &ConnectionInfo, guest: u128) -> &'static str {
        self.connect(info, guest).expect_err("it is refused").code().as_str()
    }

    pub(super) fn disconnect(&self, info: &ConnectionInfo, guest: u128) -> DisconnectOutcome {
        self.disconnect_by(info, guest, Force::No)
    }

    pub(super) fn disconnect_by(
        &self,
        info: &ConnectionInfo,
        guest: u128,
        force: Force,
    ) -> DisconnectOutcome {
        self.try_disconnect(info, guest, force).unwrap()
    }

    pub(super) fn try_disconnect(
        &self,
        info: &ConnectionInfo,
        guest: u128,
        force: Force,
    ) -> Result<DisconnectOutcome, Error> {
        self.driver.disconnect(&request(&self.at(info), info, guest, force))
    }

    pub(super) fn at(&self, info: &ConnectionInfo) -> MountPath {
        self.driver.mount_path(&info.export)
    }

    /// A raw disk of that file of the first share.
    pub(super) fn disk(&self, name: &str) -> FakeUse {
        FakeUse::disk(self.path(name))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.at(&volume("a")).as_path().join(name)
    }

    /// Defines a guest with those files of the first share as raw disks.
    pub(super) fn define(&self, guest: u128, names: &[&str]) {
        let uses = names.iter().map(|name| self.disk(name)).collect();
        self.host.world().hypervisor.define(instance(guest), uses);
    }

    /// The same, and starts it.
    pub(super) fn run(&self, guest: u128, names: &[&str]) {
        self.define(guest, names);
        self.host.world().hypervisor.start(instance(guest));
    }

    /// Changes what a guest has in one of its descriptions.
    pub(super) fn change_uses(
        &self,
        guest: u128,
        description: Description,
        change: impl FnOnce(&mut Vec<FakeUse>),
    ) {
        change(self.host.world().hypervisor.uses(instance(guest), description));
    }

    pub(super) fn start(&self, guest: u128) {
        self.host.world().hypervisor.start(instance(guest));
    }

    pub(super) fn stop(&self, guest: u128) {
        self.host.world().hypervisor.stop(instance(guest));
    }

    pub(super) fn save(&self, guest: u128) {
        self.host.world().hypervisor.save(instance(guest));
    }

    pub(super) fn undefine(&self, guest: u128) {
        self.host.world().hypervisor.undefine(instance(guest));
    }

    pub(super) fn hypervisor_answers(&self, answers: bool) {
        self.host.world().hypervisor.answers = answers;
    }

    /// The client behind the first share's mount on top becomes that.
    pub(super) fn client_becomes(&self, client_state: ClientState) {
        self.host.change(&self.at(&volume("a")), |layer| layer.client_state = client_state);
    }

    /// Somebody mounts the first share.
    pub(super) fn mount_by_hand(&self) {
        let a = volume("a");
        self.host.world().add_mount(
            &self.at(&a),
            "fuse.quobyte",
            a.export.mount_source(),
            ClientState::Healthy,
        );
    }

    pub(super) fn count_mounts(&self) -> usize {
        self.host.count_stacked(&self.at(&volume("a")))
    }

    /// The first share's record.
    pub(super) fn record(&self) -> ShareRecord {
        self.driver.status().unwrap().shares.remove(0).record
    }

    /// The first share's attachments, with the guest and the file of each.
    pub(super) fn attached(&self) -> Vec<(InstanceId, String)> {
        let shares = self.driver.status().unwrap().shares;
        let attachments = shares.iter().flat_map(|share| &share.record.attachments);
        attachments.map(|one| (one.instance, one.name.to_string())).collect()
    }

    pub(super) fn recorded(&self) -> Vec<VolumeId> {
        let StatusReport { shares, unusable_records: unusable } = self.driver.status().unwrap();
        assert!(unusable.is_empty(), "{unusable:?}");
        let attachments = shares.iter().flat_map(|share| &share.record.attachments);
        attachments.map(|attachment| attachment.volume).collect()
    }

    /// The state of each disk of the first share, as status tells it.
    pub(super) fn disk_states(&self) -> Vec<DiskState> {
        let StatusReport { shares, .. } = self.driver.status().unwrap();
        let survey = self.driver.guests(&shares).ok();
        let share = &shares[0];
        let state = |one: &Attachment| share.disk_state(one, survey.as_ref());
        share.record.attachments.iter().map(state).collect()
    }

    /// What reconcile finds, in the words that scripts see.
    pub(super) fn reconcile(&self) -> Vec<&'static str> {
        self.driver.reconcile(false).unwrap().iter().map(Finding::code).collect()
    }

    /// Nothing mounted, no directory, no record.
    pub(super) fn assert_clean(&self, context: impl std::fmt::Debug) {
        let world = self.host.world();
        assert!(world.mounts.is_empty() && world.directories.is_empty(), "{context:?}: {world:?}");
        assert!(world.pending_mounts.is_empty(), "{context:?}: {world:?}");
        drop(world);
        let StatusReport { shares, unusable_records: unusable } = self.driver.status().unwrap();
        assert!(shares.is_empty() && unusable.is_empty(), "{context:?}: {shares:?}");
    }
}

pub(super) fn volume(name: &str) -> ConnectionInfo {
    let export = Export::parse("reg1,reg2/vol").unwrap();
    ConnectionInfo::new(export, ImageName::parse(name).unwrap(), ImageFormat::Raw)
}

/// The same as a qcow2 image.
pub(super) fn qcow2(name: &str) -> ConnectionInfo {
    ConnectionInfo { format: ImageFormat::Qcow2, ..volume(name) }
}

pub(super) fn instance(number: u128) -> InstanceId {
    InstanceId::from(Uuid::from_u128(number))
}
