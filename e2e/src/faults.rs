//! What can be wrong with a share, and what the command then does about it.
//!
//! Each case starts alike: alice's guest is connected, then something goes wrong, then one operation is asked for.
//! What came of it is put in one line, so that the whole matrix can be read, by a program and by a person.

mod helper;
mod inject;
mod matrix;
mod observed;
mod scenario;
mod share;
mod table;
mod user;

pub use helper::{Helper, wait_for_request};
pub use matrix::MATRIX;
pub use scenario::outcome;
pub use share::{ALICE, BOB, ClientGuard, Share};
pub use table::table;
pub use user::User;

/// Something that is wrong with a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is.
    None,
    /// Healthy, and a file on it is open.
    Open,
    /// Somebody has unmounted it.
    Absent,
    /// Its client was killed.
    Dead,
    /// Its client was killed while a file was open.
    DeadOpen,
    /// Two dead mounts, one over the other.
    DeadTwice,
    /// A healthy mount over a dead one.
    HealthyOverDead,
    /// Its client has lost its registries: the root has a size.
    Disconnected,
    /// The same, and a file on it is open.
    DisconnectedOpen,
    /// Its client is stopped: requests are not read.
    Stopped,
    /// Its client reads requests and never answers.
    Silent,
    /// The same where the kernel's control file system is not mounted.
    SilentWithoutControl,
    /// Its client lives, and answers every request as if it were gone.
    Refusing,
    /// Another file system is mounted in its place.
    Foreign,
    /// Another volume is mounted in its place.
    WrongVolume,
    /// Absent, and the client reports success without mounting.
    MountsNothing,
    /// Absent, and the client reports success and mounts an hour later.
    MountsLate,
    /// Absent, and the client hangs before it mounts.
    MountHangs,
    /// Absent, and the client is killed before it mounts.
    KilledBefore,
    /// Absent, and the client is killed when it has mounted and not yet said so.
    KilledWhile,
    /// Absent, and the client dies when it is first asked.
    KilledAtFirst,
    /// Absent, and the client mounts without finding its registries.
    MountsDisconnected,
    /// Absent, and the client mounts and then never answers.
    MountsSilent,
    /// Absent, and the mount point is a symbolic link to a directory.
    Link,
    /// Absent, and a file is in the place of the mount point.
    File,
    /// Absent, and the mount point holds a file.
    NotEmpty,
    /// Absent, and the mount point belongs to another user.
    NotWritable,
    /// The state directory's file system is full.
    DiskFull,
    /// The record cannot be read.
    Unreadable,
    /// The record is cut short.
    Torn,
    /// The record is of a newer version.
    Newer,
    /// Absent, and the record is from before the last boot.
    Rebooted,
    /// The command has no /proc.
    NoProc,
    /// A domain has the image, and is shut off.
    GuestShutOff,
    /// A domain runs with the image.
    GuestRuns,
    /// The same, and its client was killed.
    GuestRunsDead,
    /// A domain was saved with the image.
    GuestSaved,
    /// A domain has the image, is shut off, and its client was killed.
    GuestShutOffDead,
}

impl Fault {
    /// Does it show only when the client is to mount?
    fn fails_to_mount(self) -> bool {
        matches!(
            self,
            Self::MountsNothing
                | Self::MountsLate
                | Self::MountHangs
                | Self::KilledBefore
                | Self::KilledWhile
                | Self::KilledAtFirst
                | Self::MountsDisconnected
                | Self::MountsSilent
        )
    }

    /// Is alice's guest a domain of libvirt's?
    pub(super) fn has_guest(self) -> bool {
        matches!(
            self,
            Self::GuestShutOff
                | Self::GuestRuns
                | Self::GuestRunsDead
                | Self::GuestSaved
                | Self::GuestShutOffDead
        )
    }

    /// What is wrong, for a reader.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::None => "nothing is wrong",
            Self::Open => "healthy, a file is open",
            Self::Absent => "somebody unmounted it",
            Self::Dead => "client dead",
            Self::DeadOpen => "client dead, a file is open",
            Self::DeadTwice => "two dead mounts, stacked",
            Self::HealthyOverDead => "healthy mount over a dead one",
            Self::Disconnected => "root has a size",
            Self::DisconnectedOpen => "root has a size, a file is open",
            Self::Stopped => "hung: requests are not read",
            Self::Silent => "hung: requests are never answered",
            Self::SilentWithoutControl => "the same without fusectl",
            Self::Refusing => "client answers ENOTCONN, and lives",
            Self::Foreign => "another file system in its place",
            Self::WrongVolume => "another volume in its place",
            Self::MountsNothing => "unmounted; client exits with 0, mounts nothing",
            Self::MountsLate => "unmounted; client exits with 0, mounts later",
            Self::MountHangs => "unmounted; client hangs before it mounts",
            Self::KilledBefore => "unmounted; client killed before it mounts",
            Self::KilledWhile => "unmounted; client killed once it has mounted",
            Self::KilledAtFirst => "unmounted; client dies at the first request",
            Self::MountsDisconnected => "unmounted; client mounts, root has a size",
            Self::MountsSilent => "unmounted; client mounts, never answers",
            Self::Link => "unmounted; mount point is a symbolic link",
            Self::File => "unmounted; mount point is a file",
            Self::NotEmpty => "unmounted; mount point holds a file",
            Self::NotWritable => "unmounted; mount point is not writable",
            Self::DiskFull => "state directory full",
            Self::Unreadable => "record unreadable",
            Self::Torn => "record torn",
            Self::Newer => "record of a newer version",
            Self::Rebooted => "unmounted; record of an earlier boot",
            Self::NoProc => "no /proc",
            Self::GuestShutOff => "A is a domain, shut off",
            Self::GuestRuns => "A runs",
            Self::GuestRunsDead => "A runs, client dead",
            Self::GuestSaved => "A was saved",
            Self::GuestShutOffDead => "A is shut off, client dead",
        }
    }
}

/// What the command is asked to do, in the order of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Operation {
    /// Connect another volume of the share, for bob's guest.
    Connect,
    /// Disconnect alice's volume.
    Disconnect,
    /// The same with `--force`.
    #[strum(serialize = "disconnect --force")]
    Force,
    /// Show what is connected.
    Status,
    /// Repair what can be repaired.
    Reconcile,
}

impl Operation {
    /// How it is called on the command line.
    #[must_use]
    pub fn label(self) -> &'static str {
        self.into()
    }
}
