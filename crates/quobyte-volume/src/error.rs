//! Stable codes: what a caller, a script or an operator's alert may rely on.
//!
//! Every error of this library names its object (an export, a path, a volume) in its message, keeps its cause as its
//! `source`, and has one [`Code`]. Messages may change between versions; codes and their [`Class`] may not.

use std::error::Error;
use std::{io, iter};

/// What went wrong, as one word that never changes its meaning. New codes may be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::Display, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum Code {
    /// A bug, or a failure of the host that no other code names.
    Internal,
    /// `connection_info` is not what Cinder's Quobyte driver emits.
    InvalidConnection,
    /// The export is not `[quobyte://]host[:port][,host…]/volume`.
    InvalidExport,
    /// The image's name is not one plain file name.
    InvalidName,
    /// The image is declared as something other than raw or qcow2.
    UnsupportedFormat,
    /// The volume is to become smaller than it is.
    WouldShrink,
    /// An option's value, or the options together, cannot be used.
    InvalidConfig,
    /// Several disks of the guest have an image of that name.
    ImageAmbiguous,
    /// The command that was to run in a volume cannot be started.
    CommandNotRun,
    /// The guest cannot have such a disk: its machine lacks what the disk would hang on.
    DiskUnsupported,
    /// `mount.quobyte` is not there or cannot be run.
    ClientNotFound,
    /// The client ended without a mount.
    MountFailed,
    /// Nothing is mounted, and the operation mounts nothing: the volume is not connected.
    NotMounted,
    /// Something that is not Quobyte is mounted at the mount point.
    NotQuobyte,
    /// Another Quobyte volume is mounted at the mount point.
    WrongVolume,
    /// The mount could not be taken away, and not because it is in use.
    UnmountFailed,
    /// The mount's client is dead.
    MountStale,
    /// The mount is there, but the hypervisor cannot see or read it.
    MountNotVisible,
    /// The client did not mount by the deadline.
    MountTimeout,
    /// The mount did not answer by the deadline.
    MountHung,
    /// The mount could not be taken away by the deadline.
    UnmountTimeout,
    /// Another operation held the share until the deadline.
    LockTimeout,
    /// No file of that name on the volume.
    ImageMissing,
    /// The file is not one that may be given to a guest.
    ImageRejected,
    /// The file is not of the declared format.
    FormatMismatch,
    /// Somebody still uses the volume.
    VolumeInUse,
    /// libvirt refused or failed.
    LibvirtError,
    /// libvirt knows no such domain.
    DomainNotFound,
    /// The domain has no such disk, or it is not an image on a Quobyte volume.
    DiskNotFound,
    /// The state directory cannot be used.
    StateUnavailable,
    /// A record was written by a newer version, or cannot be read.
    RecordUnsupported,
    /// The host, or the limits of this process, permit no further process, thread, descriptor or memory.
    HostExhausted,
}

/// What kind of failure a [`Code`] is; the command's exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum Class {
    /// A bug, or a failure without a class of its own.
    Internal,
    /// The caller's input is at fault; nothing was done.
    Invalid,
    /// The mount could not be made or used.
    Mount,
    /// A deadline passed.
    Time,
    /// The image cannot be used.
    Image,
    /// Somebody else still needs what was to be taken away.
    InUse,
    /// libvirt is at fault.
    Libvirt,
    /// Our own records are at fault.
    State,
    /// The host has nothing left of what an operation takes. It can be tried again.
    Exhausted,
}

impl Class {
    /// The class in one word, in `snake_case`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl Code {
    /// The code as scripts see it, in `snake_case`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// What the code means, for people. It names nothing of the host, so that a cloud's tenant may be shown it.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Internal => "an internal error",
            Self::InvalidConnection => "the volume's connection information cannot be used",
            Self::InvalidExport => "the volume's export cannot be used",
            Self::InvalidName => "the name of the volume's image cannot be used",
            Self::UnsupportedFormat => "the volume's image is declared neither raw nor qcow2",
            Self::WouldShrink => "the volume cannot be made smaller than it is",
            Self::InvalidConfig => "the host's configuration cannot be used",
            Self::ImageAmbiguous => "several disks of the guest have an image of that name",
            Self::CommandNotRun => "the command cannot be started",
            Self::DiskUnsupported => "the guest cannot have such a disk",
            Self::ClientNotFound => "the host has no Quobyte client",
            Self::MountFailed => "the volume could not be mounted",
            Self::NotMounted => "the volume is not mounted",
            Self::NotQuobyte => "something else is mounted in the volume's place",
            Self::WrongVolume => "another volume is mounted in the volume's place",
            Self::UnmountFailed => "the volume could not be unmounted",
            Self::MountStale => "the volume's mount is dead",
            Self::MountNotVisible => "the hypervisor cannot read the volume's mount",
            Self::MountTimeout => "the volume was not mounted in time",
            Self::MountHung => "the volume's mount does not answer",
            Self::UnmountTimeout => "the volume was not unmounted in time",
            Self::LockTimeout => "another operation on the volume's share takes too long",
            Self::ImageMissing => "the volume's image does not exist",
            Self::ImageRejected => "the volume's image may not be given to a guest",
            Self::FormatMismatch => "the volume's image is not of the declared format",
            Self::VolumeInUse => "the volume is in use",
            Self::LibvirtError => "the hypervisor failed",
            Self::DomainNotFound => "the hypervisor knows no such guest",
            Self::DiskNotFound => "the guest has no such disk",
            Self::StateUnavailable => "the host's records cannot be used",
            Self::RecordUnsupported => "a record of the host's cannot be understood",
            Self::HostExhausted => {
                "the host has no process, thread, descriptor, memory or file size left for it"
            }
        }
    }

    /// The class the code belongs to.
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::Internal => Class::Internal,
            Self::InvalidConnection
            | Self::InvalidExport
            | Self::InvalidName
            | Self::UnsupportedFormat
            | Self::WouldShrink
            | Self::InvalidConfig
            | Self::ImageAmbiguous
            | Self::CommandNotRun
            | Self::DiskUnsupported => Class::Invalid,
            Self::ClientNotFound
            | Self::MountFailed
            | Self::NotMounted
            | Self::NotQuobyte
            | Self::WrongVolume
            | Self::UnmountFailed
            | Self::MountStale
            | Self::MountNotVisible => Class::Mount,
            Self::MountTimeout | Self::MountHung | Self::UnmountTimeout | Self::LockTimeout => Class::Time,
            Self::ImageMissing | Self::ImageRejected | Self::FormatMismatch => Class::Image,
            Self::VolumeInUse => Class::InUse,
            Self::LibvirtError | Self::DomainNotFound | Self::DiskNotFound => Class::Libvirt,
            Self::StateUnavailable | Self::RecordUnsupported => Class::State,
            Self::HostExhausted => Class::Exhausted,
        }
    }
}

/// Whether a system call failed because a process, a thread, a descriptor or memory could not be had. Not to be asked of
/// what a client has answered, which may be any error.
#[must_use]
pub fn is_exhaustion(error: &io::Error) -> bool {
    let is_limit = |error: &io::Error| {
        let numbers = [libc::EAGAIN, libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EFBIG];
        error.raw_os_error().is_some_and(|number| numbers.contains(&number))
    };
    let mut causes = iter::successors(error.source(), |&cause| cause.source());
    is_limit(error) || causes.any(|cause| cause.downcast_ref().is_some_and(is_limit))
}

impl Code {
    /// This code, or [`Code::HostExhausted`] where that is what the system call reports.
    #[must_use]
    pub(crate) fn unless_exhausted(self, source: &io::Error) -> Self {
        if is_exhaustion(source) { Self::HostExhausted } else { self }
    }
}

/// Most characters of a peer's text in a message.
const MAX_EXCERPT: usize = 80;

/// Most characters of a whole message.
const MAX_MESSAGE: usize = 8192;

/// A peer's text as it may stand between quotes in a message: control characters and quotes escaped, cut after 80
/// characters.
#[must_use]
pub fn excerpt(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_EXCERPT).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_EXCERPT).is_some() {
        shown.push('…');
    }
    shown
}

/// A message as it may be printed or logged: on one line, with control characters escaped, cut after 8192 characters.
#[must_use]
pub fn one_line(message: &str) -> String {
    // What Debug escapes includes characters that are not seen, or that change the direction of what follows.
    let escape =
        |c: char| if matches!(c, '"' | '\'' | '\\') { c.into() } else { c.escape_debug().to_string() };
    let mut shown: String = message.chars().take(MAX_MESSAGE).map(escape).collect();
    if message.chars().nth(MAX_MESSAGE).is_some() {
        shown.push('…');
    }
    shown
}

/// An error and its causes on one line, which is safe to print.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    one_line(&text)
}
