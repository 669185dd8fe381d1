//! What a command can fail with, beyond what the library reports.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use quobyte_volume::driver;
use quobyte_volume::error::Code;
use quobyte_volume::pure::connection::{ConnectionError, Export};
use quobyte_volume::pure::disk::{Bus, DiskError};
use quobyte_volume::pure::io_policy::IoPolicyError;
use quobyte_volume::pure::mount_path::MountPath;

use crate::settings::FoundBy;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Driver(#[from] driver::Error),
    #[error("the host, or a limit of this process, does not permit what the command takes")]
    HostExhausted { source: io::Error },
    #[error("{operation}: no thread can be had for it")]
    NoThread { operation: String, source: io::Error },
    #[error("{path} cannot be read")]
    UnreadableInput { path: PathBuf, source: io::Error },
    #[error("{path}, the connection_info, cannot be read")]
    UnreadableConnection { path: PathBuf, source: io::Error },
    #[error("{path}, the configuration {}, cannot be read", found(*.found_by))]
    UnreadableConfig { path: PathBuf, found_by: FoundBy, source: io::Error },
    #[error("{path}: {reason}")]
    InvalidConfig { path: PathBuf, reason: String },
    #[error("{operation}: libvirt says: {message}")]
    Libvirt { operation: String, message: String },
    #[error(
        "{operation}: libvirt did not answer within {timeout:?}; look whether its daemon is stopped or overloaded"
    )]
    LibvirtTimeout { operation: String, timeout: Duration },
    #[error(
        "whether domain {domain} gets the disk is not known, so the volume stays connected; once libvirt answers, attach \
         it again, or disconnect it"
    )]
    AttachUncertain { domain: String, source: Box<Error> },
    #[error(
        "{target} was added to domain {domain}, but whether its volume is still connected is not known: attach it again, \
         which changes nothing but what is missing"
    )]
    AttachUnconfirmed { domain: String, target: String, source: Box<Error> },
    #[error("libvirt at {uri} does not run on this host, and neither would what this command mounts")]
    RemoteLibvirt { uri: String },
    #[error("the guest's volumes cannot be connected: {}", volumes.join("; "))]
    VolumesUnavailable { volumes: Vec<String>, first: Box<Error> },
    #[error("{export} could not be connected {} seconds ago, and is tried again {} seconds after that", ago.as_secs(), pause.as_secs())]
    FailedRecently { export: Export, ago: Duration, pause: Duration },
    #[error("it took longer than {limit:?}")]
    HookDeadline { limit: Duration },
    #[error("the guest's description cannot be read")]
    UnreadableGuest { source: io::Error },
    #[error("the user whose state directory {path} is cannot be become")]
    NotOwner { path: PathBuf, source: io::Error },
    #[error("libvirt at {uri} knows no domain {domain:?}")]
    DomainNotFound { domain: String, uri: String },
    #[error(
        "domain {domain} is saved and comes back with the disks that it had: start it first, or drop its state with \
         `virsh managedsave-remove {domain}`"
    )]
    DomainSaved { domain: String },
    #[error("{image} is below disk {target} of domain {domain}, so it cannot be another disk")]
    PartOfOtherDisk { image: PathBuf, target: String, domain: String },
    #[error("domain {domain} has no disk {target}")]
    DiskNotFound { domain: String, target: String },
    #[error("domain {domain} has no disk with image {image} of a Quobyte volume")]
    ImageNotAttached { domain: String, image: String },
    #[error("domain {domain} has several disks with image {image}: say which of {}", disks.join(", "))]
    AmbiguousImage { domain: String, image: String, disks: Vec<String> },
    #[error(
        "disk {target} of domain {domain} is no image directly on a volume mounted below {base}, so it is not this \
         command's to detach: if it lies over one, `virsh detach-disk` takes it out, and `nova-quobyte reconcile` follows"
    )]
    NotQuobyteDisk { domain: String, target: String, base: PathBuf },
    #[error("domain {domain} has the image already, as {target} on bus {bus}")]
    AlreadyAttached { domain: String, target: String, bus: String },
    #[error(
        "domain {domain} runs with {target} on a mount that is gone: stop and start it, or \
         `nova-quobyte detach {domain} {target}` and attach the volume again"
    )]
    DiskOnDeadMount { domain: String, target: String },
    #[error("domain {domain} has another disk {target}")]
    TargetTaken { domain: String, target: String },
    #[error("domain {domain} cannot have a disk {target} on bus {bus}: libvirt says: {message}")]
    DiskUnsupported { domain: String, target: String, bus: Bus, message: String },
    #[error("domain {domain} runs, and disks on bus {bus} are added to a domain that is shut off only")]
    NoHotplug { domain: String, bus: Bus },
    #[error("domain {domain} has no free disk name left")]
    NoFreeTarget { domain: String },
    #[error("the hypervisor may not open {image}")]
    ImageNotAccessible { image: PathBuf, source: Box<Error> },
    #[error(
        "{image} is open elsewhere: {}",
        holder.as_ref().map_or_else(
            || "no guest that libvirt knows on this host has it".to_owned(),
            |holder| format!("guest {holder} has it")
        )
    )]
    ImageLocked { image: PathBuf, holder: Option<String>, source: Box<Error> },
    #[error("{} cannot be run", program.display())]
    CommandNotRun { program: OsString, source: io::Error },
    #[error("the man page cannot be written")]
    Unprinted { source: io::Error },
    #[error("the helper {path} is not installed")]
    HelperMissing { path: PathBuf },
    #[error("the hypervisor cannot see {at}: {remedy}")]
    MountNotVisible { at: MountPath, remedy: &'static str, source: Option<Box<Error>> },
    #[error(
        "the guest did not let go of {target} in time and may yet do so; try again once it is up and its client answers"
    )]
    DetachTimeout { target: String },
    #[error("the guest refuses to let go of {target}")]
    DetachRefused { target: String },
    #[error("the volume is not attached, and could not be disconnected either ({rollback_error})")]
    RollbackFailed {
        #[source]
        cause: Box<Error>,
        rollback_error: driver::Error,
    },
}

impl Error {
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Driver(error) => error.code(),
            Self::HostExhausted { .. } | Self::NoThread { .. } => Code::HostExhausted,
            Self::UnreadableInput { .. } | Self::UnreadableConfig { .. } | Self::InvalidConfig { .. } => {
                Code::InvalidConfig
            }
            Self::UnreadableConnection { .. } => Code::InvalidConnection,
            Self::AmbiguousImage { .. } => Code::ImageAmbiguous,
            Self::CommandNotRun { .. } => Code::CommandNotRun,
            Self::LibvirtTimeout { .. }
            | Self::AttachUncertain { .. }
            | Self::Libvirt { .. }
            | Self::RemoteLibvirt { .. }
            | Self::TargetTaken { .. }
            | Self::NoFreeTarget { .. } => Code::LibvirtError,
            Self::DiskUnsupported { .. } | Self::NoHotplug { .. } => Code::DiskUnsupported,
            Self::HelperMissing { .. } | Self::Unprinted { .. } => Code::Internal,
            Self::VolumesUnavailable { first, .. } => first.code(),
            Self::FailedRecently { .. } => Code::MountFailed,
            Self::HookDeadline { .. } => Code::MountTimeout,
            Self::UnreadableGuest { .. } => Code::LibvirtError,
            Self::NotOwner { .. } => Code::StateUnavailable,
            Self::DomainNotFound { .. } => Code::DomainNotFound,
            Self::DiskOnDeadMount { .. } => Code::MountStale,
            Self::DiskNotFound { .. } | Self::ImageNotAttached { .. } | Self::NotQuobyteDisk { .. } => {
                Code::DiskNotFound
            }
            Self::MountNotVisible { .. } | Self::ImageNotAccessible { .. } => Code::MountNotVisible,
            Self::DomainSaved { .. } | Self::PartOfOtherDisk { .. } => Code::VolumeInUse,
            Self::AlreadyAttached { .. }
            | Self::ImageLocked { .. }
            | Self::DetachTimeout { .. }
            | Self::DetachRefused { .. } => Code::VolumeInUse,
            Self::AttachUnconfirmed { source: cause, .. } | Self::RollbackFailed { cause, .. } => {
                cause.code()
            }
        }
    }
}

/// What has named a configuration file.
fn found(by: FoundBy) -> &'static str {
    match by {
        FoundBy::CommandLine => "named with --config",
        FoundBy::Environment => "named in $NOVA_QUOBYTE_CONFIG",
        FoundBy::Place => "of this host",
    }
}

/// Whether a message of libvirt's reports a denied permission.
pub(crate) fn is_denied(message: &str) -> bool {
    message.contains("Permission denied")
}

/// Whether a message of libvirt's reports that somebody else has an image open: QEMU's words for its locks, or those of
/// libvirt's lock manager.
pub(crate) fn is_locked(message: &str) -> bool {
    let is_qemus_lock =
        ["Failed to get \"", "Failed to get shared \""].iter().any(|start| message.contains(start))
            && message.contains("\" lock");
    is_qemus_lock || message.contains("Lockspace resource") && message.contains("is locked")
}

macro_rules! impl_from_library_errors {
    ($($error:ty),*) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::Driver(error.into())
            }
        })*
    };
}

impl_from_library_errors!(ConnectionError, DiskError, IoPolicyError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_of_qemu_and_libvirt_are_known() {
        for message in [
            "internal error: unable to execute QEMU command 'blockdev-add': Failed to get \"write\" lock",
            "internal error: process exited while connecting to monitor: Failed to get shared \"write\" lock\nIs \
             another process using the image [/mnt/disk]?",
            "Failed to get \"consistent read\" lock",
            "resource busy: Lockspace resource '/mnt/disk' is locked",
        ] {
            assert!(is_locked(message), "{message}");
        }
        for message in
            ["Failed to lock byte 100", "Timed out during operation: cannot acquire state change lock"]
        {
            assert!(!is_locked(message), "{message}");
        }
    }
}
