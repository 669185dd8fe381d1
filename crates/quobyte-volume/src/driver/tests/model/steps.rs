//! What may happen: calls of the driver, and everything else.

use proptest::prelude::*;
use proptest::sample::select;

use crate::driver::Force;
use crate::driver::fake::{ClientState, Image, MountBehavior};
use crate::pure::connection::{ConnectionInfo, Export, ImageFormat, ImageName, InstanceId};

/// A file of a share in the hands of a guest, or on its way there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileUse {
    pub(super) share: usize,
    file: usize,
    pub(super) guest: u128,
}

pub(super) const SHARES: [&str; 2] = ["reg1,reg2/vol", "reg/other"];
pub(super) const GUESTS: [u128; 2] = [1, 2];
/// Two volumes, and a snapshot's overlay of each after it.
const FILES: [&str; 4] = ["a", "a.s", "b", "b.s"];

impl FileUse {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let files = (0..SHARES.len()).flat_map(|share| (0..FILES.len()).map(move |file| (share, file)));
        files.flat_map(|(share, file)| GUESTS.map(|guest| Self { share, file, guest }))
    }

    /// The use of that name, by that guest.
    pub(super) fn named(share: usize, name: &str, guest: InstanceId) -> Option<Self> {
        Self::all().find(|one| one.share == share && one.name() == name && one.instance() == guest)
    }

    pub(super) fn name(self) -> &'static str {
        FILES[self.file]
    }

    /// The overlay of a volume, and the volume of an overlay.
    pub(super) fn other_layer(self) -> Self {
        Self { file: self.file ^ 1, ..self }
    }

    /// The other volume of the share.
    pub(super) fn other_volume(self) -> Self {
        Self { file: self.file ^ 2, ..self }
    }

    pub(super) fn is_overlay(self) -> bool {
        self.file % 2 == 1
    }

    /// A snapshot leaves the volume's id as it is.
    pub(super) fn info(self) -> ConnectionInfo {
        let name = |file: usize| ImageName::parse(FILES[file]).unwrap();
        let volume = ConnectionInfo::new(export(self.share), name(self.file & 2), ImageFormat::Raw);
        let format = if self.is_overlay() { ImageFormat::Qcow2 } else { ImageFormat::Raw };
        ConnectionInfo { name: name(self.file), format, ..volume }
    }

    /// Whether both are of one volume, whatever layer and guest.
    pub(super) fn is_same_volume(self, other: Self) -> bool {
        self.share == other.share && self.file / 2 == other.file / 2
    }

    /// Whether both are after one volume.
    pub(super) fn is_rival(self, other: Self) -> bool {
        self.is_same_volume(other) && self.guest != other.guest
    }

    pub(super) fn instance(self) -> InstanceId {
        super::super::instance(self.guest)
    }
}

pub(super) fn export(share: usize) -> Export {
    Export::parse(SHARES[share]).unwrap()
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Call {
        caller: usize,
        call: Call,
        interruption: Option<(u32, Interruption)>,
    },
    Event(Event),
    /// The file is connected for a guest, which gets it and runs.
    Attach {
        caller: usize,
        user: FileUse,
    },
    /// Nova deletes an instance: stops it, disconnects each of its volumes, then undefines it.
    Delete {
        caller: usize,
        guest: u128,
    },
    /// Nova moves a volume of a running guest to the other file of the share, under the old id.
    Swap {
        caller: usize,
        from: FileUse,
    },
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Call {
    Connect(FileUse),
    Disconnect(FileUse, Force),
    Reconcile,
    DryRun,
}

/// What comes between two steps of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interruption {
    /// The caller is killed.
    Crash,
    /// Clients that earlier callers left behind mount.
    LateMounts,
    /// The client on top at each mount point is killed.
    ClientsDie,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Event {
    /// The guest gets the file as a disk, if it is connected for it. A running guest opens it.
    Plugs(FileUse),
    /// The same by virsh, whether or not it is connected.
    PlugsByHand(FileUse),
    Unplugs(FileUse),
    Starts(u128),
    Stops(u128),
    Restarts(u128),
    Saves(u128),
    DropsSavedState(u128),
    Undefines(u128),
    /// The guest's disk goes on in an overlay of the file, by an external snapshot.
    Snapshots(FileUse),
    /// The overlay is written back, and the disk is the file below it.
    Commits(FileUse),
    /// libvirt is there again, and numbers runs from the beginning if it finds none.
    HypervisorRestarts,
    HypervisorAnswers(bool),
    ClientsWill(MountBehavior),
    ImagesAre(Image),
    ClientBecomes(usize, ClientState),
    LateMounts,
    /// Somebody else mounts over the share: the same export, or something else.
    MountedOver(usize, &'static str),
    /// Whatever was mounted over the share goes.
    Uncovered(usize),
    /// Somebody unmounts the share lazily, once it is on record.
    UnmountedLazily(usize),
    /// The operator replaces a dead mount by hand.
    RemountedByHand(usize),
    Reboot,
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..2_usize, call(), interruption())
            .prop_map(|(caller, call, interruption)| Step::Call { caller, call, interruption }),
        12 => event().prop_map(Step::Event),
        5 => (0..2_usize, user()).prop_map(|(caller, user)| Step::Attach { caller, user }),
        1 => (0..2_usize, guest()).prop_map(|(caller, guest)| Step::Delete { caller, guest }),
        2 => (0..2_usize, user()).prop_map(|(caller, from)| Step::Swap { caller, from }),
    ]
}

fn guest() -> impl Strategy<Value = u128> {
    select(GUESTS.to_vec())
}

fn user() -> impl Strategy<Value = FileUse> {
    select(FileUse::all().collect::<Vec<_>>())
}

fn call() -> impl Strategy<Value = Call> {
    let force = prop_oneof![5 => Just(Force::No), 3 => Just(Force::Leave), 1 => Just(Force::IfAlone), 1 => Just(Force::Always)];
    prop_oneof![
        6 => user().prop_map(Call::Connect),
        4 => (user(), force).prop_map(|(user, force)| Call::Disconnect(user, force)),
        2 => Just(Call::Reconcile),
        1 => Just(Call::DryRun),
    ]
}

fn interruption() -> impl Strategy<Value = Option<(u32, Interruption)>> {
    let what = prop_oneof![
        3 => Just(Interruption::Crash),
        1 => Just(Interruption::LateMounts),
        1 => Just(Interruption::ClientsDie),
    ];
    prop_oneof![2 => Just(None), 1 => (0..30_u32, what).prop_map(Some)]
}

fn event() -> impl Strategy<Value = Event> {
    use Event::*;
    let share = || 0..SHARES.len();
    let clients = [
        MountBehavior::MountsAndComplains,
        MountBehavior::MountsAndHangs,
        MountBehavior::MountsAndDies,
        MountBehavior::MountsLate,
        MountBehavior::ExitsWithoutMount,
        MountBehavior::Refuses,
        MountBehavior::IsMissing,
        MountBehavior::TimesOut,
        MountBehavior::TimesOutAndMountsLate,
        MountBehavior::TimesOutHavingMounted,
        MountBehavior::MountsAnotherType,
        MountBehavior::MountsAnotherVolume,
        MountBehavior::MountsWithoutRegistries,
    ];
    let lives = vec![
        ClientState::Healthy,
        ClientState::Healthy,
        ClientState::Disconnected,
        ClientState::Hung,
        ClientState::Stale,
        ClientState::Dead,
        ClientState::Dead,
        ClientState::Vanished,
    ];
    prop_oneof![
        10 => user().prop_map(Plugs),
        1 => user().prop_map(PlugsByHand),
        2 => user().prop_map(Unplugs),
        6 => guest().prop_map(Starts),
        3 => guest().prop_map(Stops),
        4 => guest().prop_map(Restarts),
        2 => guest().prop_map(Saves),
        1 => guest().prop_map(DropsSavedState),
        1 => guest().prop_map(Undefines),
        3 => user().prop_map(Snapshots),
        2 => user().prop_map(Commits),
        1 => Just(HypervisorAnswers(false)),
        2 => Just(HypervisorRestarts),
        6 => Just(ClientsWill(MountBehavior::Mounts)),
        3 => select(clients.to_vec()).prop_map(ClientsWill),
        1 => select(vec![Image::Regular, Image::Regular, Image::Missing, Image::Link]).prop_map(ImagesAre),
        6 => (share(), select(lives)).prop_map(|(share, client_state)| ClientBecomes(share, client_state)),
        2 => Just(LateMounts),
        1 => (share(), select(vec!["fuse.quobyte", "tmpfs"])).prop_map(|(share, fs)| MountedOver(share, fs)),
        2 => share().prop_map(Uncovered),
        2 => share().prop_map(UnmountedLazily),
        1 => share().prop_map(RemountedByHand),
        1 => Just(Reboot),
    ]
}
