//! What may happen: calls of the driver, and everything else.

use proptest::prelude::*;
use proptest::sample::select;

use crate::driver::Force;
use crate::driver::fake::{ClientState, Image, MountBehavior};
use crate::pure::connection::{ConnectionInfo, Export, ImageFormat, ImageName, InstanceId};

/// A volume attached, or to be attached, to a guest: the model's attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct VolumeUse {
    pub(super) share: usize,
    volume: usize,
    guest: u128,
}

pub(super) const SHARES: [&str; 2] = ["reg1,reg2/vol", "reg/other"];
const VOLUMES: [&str; 2] = ["a", "b"];
const GUESTS: [u128; 2] = [1, 2];

impl VolumeUse {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let volumes =
            (0..SHARES.len()).flat_map(|share| (0..VOLUMES.len()).map(move |volume| (share, volume)));
        volumes.flat_map(|(share, volume)| GUESTS.map(|guest| Self { share, volume, guest }))
    }

    pub(super) fn info(self) -> ConnectionInfo {
        let name = ImageName::parse(VOLUMES[self.volume]).unwrap();
        ConnectionInfo::new(export(self.share), name, ImageFormat::Raw)
    }

    /// Whether both are after one volume.
    pub(super) fn is_rival(self, other: Self) -> bool {
        self.share == other.share && self.volume == other.volume && self.guest != other.guest
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
    Call { caller: usize, call: Call, interruption: Option<(u32, Interruption)> },
    Event(Event),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Call {
    Connect(VolumeUse),
    Disconnect(VolumeUse, Force),
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
    /// The guest opens its image, if it has been connected.
    Opens(VolumeUse),
    Closes(VolumeUse),
    /// Whether the guest's description names the image, be the guest running or not.
    Describes(VolumeUse, bool),
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
        3 => (0..2_usize, call(), interruption())
            .prop_map(|(caller, call, interruption)| Step::Call { caller, call, interruption }),
        2 => event().prop_map(Step::Event),
    ]
}

fn user() -> impl Strategy<Value = VolumeUse> {
    select(VolumeUse::all().collect::<Vec<_>>())
}

fn call() -> impl Strategy<Value = Call> {
    let force = prop_oneof![6 => Just(Force::No), 1 => Just(Force::IfAlone), 1 => Just(Force::Always)];
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
        ClientState::Dead,
        ClientState::Dead,
    ];
    prop_oneof![
        4 => user().prop_map(Opens),
        2 => user().prop_map(Closes),
        3 => (user(), prop::bool::weighted(0.3)).prop_map(|(user, named)| Describes(user, named)),
        1 => prop::bool::weighted(0.7).prop_map(HypervisorAnswers),
        4 => Just(ClientsWill(MountBehavior::Mounts)),
        4 => select(clients.to_vec()).prop_map(ClientsWill),
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
