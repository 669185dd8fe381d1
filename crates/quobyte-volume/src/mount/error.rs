//! Why a mount point is not as it should be.

use std::io;
use std::path::PathBuf;

use crate::error::Code;
use crate::host::client::ClientError;
use crate::host::share::ShareError;
use crate::pure::connection::Export;
use crate::pure::kernel_mount::Mount;
use crate::pure::mount_path::MountPath;
use crate::pure::record::Attachment;

/// Why a mount point is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The mount table cannot be read.
    #[error("it cannot be found out what is mounted at {at}")]
    Table {
        /// The mount point looked for.
        at: MountPath,
        /// What failed.
        source: io::Error,
    },
    /// Something else is mounted there.
    #[error("{at} holds {} of type {}, which is not Quobyte; unmount it or choose another quobyte_mount_point_base", .found.source, .found.fs_type)]
    Foreign {
        /// The mount point.
        at: MountPath,
        /// What is there.
        found: Box<Mount>,
    },
    /// Another Quobyte volume is mounted there.
    #[error("{at} holds {}, not {}", .found.source, .wanted.mount_source())]
    WrongVolume {
        /// The mount point.
        at: MountPath,
        /// What is there.
        found: Box<Mount>,
        /// What should be.
        wanted: Export,
    },
    /// The client does not serve the volume any more, and the mount could not be replaced.
    #[error("the Quobyte client of {at} does not serve {export} any more; {remedy}")]
    Stale {
        /// The mount point.
        at: MountPath,
        /// The export mounted there.
        export: Export,
        /// What an operator can do.
        remedy: String,
    },
    /// The client did not answer by the deadline.
    #[error("the Quobyte client of {at} does not answer; concerned: {}", list_attachments(.attachments))]
    Hung {
        /// The mount point.
        at: MountPath,
        /// Who has files on it.
        attachments: Vec<Attachment>,
    },
    /// The mount is there, but this user cannot look at it.
    #[error("{at} is mounted, but cannot be looked at")]
    Unreadable {
        /// The mount point.
        at: MountPath,
        /// What came of asking it.
        source: ShareError,
    },
    /// The directory to mount on cannot be made or used.
    #[error("mount point {at} cannot be prepared")]
    MountPoint {
        /// The mount point.
        at: MountPath,
        /// Another base, below which this user has mounts.
        other_base: Option<PathBuf>,
        /// What failed.
        source: io::Error,
    },
    /// The client did not do its work.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The client was content, and yet nothing is mounted.
    #[error("mount.quobyte ended without an error, but {export} is not mounted at {at}")]
    NothingMounted {
        /// The mount point.
        at: MountPath,
        /// What should be there.
        export: Export,
    },
    /// What is there cannot be used, and the client that was to mount it reports a failure.
    #[error("{found}")]
    Failed {
        /// What is there.
        found: Box<MountError>,
        /// What the client said.
        #[source]
        said: ClientError,
    },
    /// The host has not what undoing a mount may take, so none was begun.
    #[error("the host lacks what mounting takes")]
    Exhausted {
        /// What the kernel said.
        source: io::Error,
    },
    /// What was mounted cannot be kept so.
    #[error("{at} was mounted, and is not any more")]
    NotHeld {
        /// The mount point.
        at: MountPath,
        /// What failed.
        source: io::Error,
    },
    /// The mount cannot be taken away, and not because it is in use.
    #[error("{at} cannot be unmounted")]
    Unmount {
        /// The mount point.
        at: MountPath,
        /// What failed.
        source: io::Error,
    },
}

impl MountError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Table { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Code::MountFailed
            }
            Self::Unmount { source, .. } if source.kind() == io::ErrorKind::TimedOut => Code::UnmountTimeout,
            Self::Table { source, .. } | Self::Client(ClientError::Host { source }) => {
                Code::Internal.unless_exhausted(source)
            }
            Self::Failed { found, .. } => found.code(),
            Self::Exhausted { .. } => Code::HostExhausted,
            Self::Hung { .. } => Code::MountHung,
            Self::Foreign { .. } => Code::NotQuobyte,
            Self::WrongVolume { .. } => Code::WrongVolume,
            Self::Stale { .. } => Code::MountStale,
            Self::Unreadable { source, .. } => source.code(),
            Self::Client(ClientError::NotFound { .. }) => Code::ClientNotFound,
            Self::Client(ClientError::NoConfiguration { .. }) => Code::InvalidConfig,
            Self::Client(ClientError::Timeout { .. }) => Code::MountTimeout,
            Self::MountPoint { source, .. } | Self::NotHeld { source, .. } => {
                Code::MountFailed.unless_exhausted(source)
            }
            Self::Client(
                ClientError::Refused { .. }
                | ClientError::NotLaunched { .. }
                | ClientError::EndsWithCaller { .. },
            )
            | Self::NothingMounted { .. } => Code::MountFailed,
            Self::Unmount { source, .. } => Code::UnmountFailed.unless_exhausted(source),
        }
    }
}

fn list_attachments(attachments: &[Attachment]) -> String {
    if attachments.is_empty() {
        return "no recorded attachment".to_owned();
    }
    // Each guest once, with its files.
    let mut guests: Vec<(_, Vec<&str>)> = Vec::new();
    for attachment in attachments {
        let name = attachment.name.as_str();
        match guests.iter_mut().find(|(instance, _)| *instance == attachment.instance) {
            Some((_, names)) => names.push(name),
            None => guests.push((attachment.instance, vec![name])),
        }
    }
    let guest = |(instance, names): (_, Vec<&str>)| format!("instance {instance} ({})", names.join(", "));
    guests.into_iter().map(guest).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::pure::connection::{ImageFormat, ImageName};

    #[test]
    fn hung_share_names_each_guest_once() {
        let attachment = |guest: u128, name: &str| {
            let (guest, volume) = (Uuid::from_u128(guest), Uuid::from_u128(9));
            Attachment::new(guest.into(), volume.into(), ImageName::parse(name).unwrap(), ImageFormat::Raw)
        };
        let listed = list_attachments(&[attachment(1, "a"), attachment(2, "b"), attachment(1, "c")]);
        let guest = |number: u128| Uuid::from_u128(number).to_string();
        assert_eq!(listed, format!("instance {} (a, c), instance {} (b)", guest(1), guest(2)));
        assert_eq!(list_attachments(&[]), "no recorded attachment");
    }
}
