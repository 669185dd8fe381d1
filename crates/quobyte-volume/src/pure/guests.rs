//! Which guests use a share, and what the driver asks of a hypervisor to learn it.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::connection::{ImageFormat, InstanceId, VolumeId};
use super::mount_path::MountPath;

/// What the driver asks of a hypervisor. Each door has its own: the command asks libvirt, Nova its host object.
pub trait Guests {
    /// The guests of this host, and every use that one of them makes of a path at or below one of the shares.
    ///
    /// # Errors
    /// When the hypervisor cannot be asked, or has not answered by the question's deadline. A share then stays: not
    /// knowing is no permission. A single guest that cannot be understood is no error: see [`Guest::unknown`].
    fn survey(&self, question: &GuestQuestion<'_>) -> Result<GuestSurvey, Box<dyn Error + Send + Sync>>;

    /// The number of the user that the guests' QEMU runs as; `None` where the hypervisor does not tell within `timeout`.
    fn emulator_user(&self, timeout: Duration) -> Option<u32> {
        let _ = timeout;
        None
    }
}

/// What a hypervisor is asked.
#[derive(Debug, Clone, Copy)]
pub struct GuestQuestion<'a> {
    /// The shares that are of interest.
    pub shares: &'a [MountPath],
    /// Only this guest is of interest.
    pub only: Option<InstanceId>,
    /// The answer is of no use later than this, where the front end itself has no shorter deadline.
    pub timeout: Option<Duration>,
}

/// What a hypervisor knows of its guests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GuestSurvey {
    /// Every guest, or the one that was asked about; none if there is no such guest.
    pub guests: Vec<Guest>,
}

/// One guest of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Its identity.
    pub instance: InstanceId,
    /// Its name, for people.
    pub name: String,
    /// Its present run; `None` while it is shut off.
    pub run: Option<RunId>,
    /// Whether a saved state waits for its next start.
    pub saved: bool,
    /// Whether OpenStack Nova has defined it, which connects and disconnects its volumes.
    pub is_novas: bool,
    /// Its uses of the shares that were asked about.
    pub uses: Vec<GuestUse>,
    /// Why its uses are not all known, if they are not.
    pub unknown: Option<UnknownUses>,
}

/// Why not all uses of a guest are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownUses {
    /// The reason, for people.
    pub reason: String,
    /// The shares that its descriptions mention, as far as they could be had.
    pub mentioned: Vec<MountPath>,
}

/// One run of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunId {
    /// The number that libvirt gives it at its start. A libvirtd that was restarted while nothing ran counts anew.
    pub number: u32,
    /// When the guest's QEMU was started, in the kernel's ticks since the boot, where that is known.
    pub started: Option<u64>,
}

impl RunId {
    /// The run of that number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self { number, started: None }
    }

    /// Whether it began after a share's mount of that generation was begun: then what it has open is on that mount, or on a
    /// later one.
    #[must_use]
    pub fn began_after(self, generation: u64) -> bool {
        /// So many nanoseconds are a tick of those in which the kernel tells a process's start.
        const TICK: u64 = 10_000_000;
        self.started.is_some_and(|ticks| ticks.saturating_mul(TICK) > generation)
    }

    /// Whether this is that very run.
    #[must_use]
    pub fn is_same(self, other: Self) -> bool {
        let has_other_start = self.started.zip(other.started).is_some_and(|(one, other)| one != other);
        self.number == other.number && !has_other_start
    }
}

/// Which of a guest's descriptions says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Description {
    /// What it has now, while it runs.
    Running,
    /// What it gets at its next start from its persistent configuration.
    Persistent,
    /// What it gets back at its next start from a saved state.
    Saved,
}

/// One disk, or another device, by which a guest uses a share, in one of its descriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestUse {
    /// The guest.
    pub instance: InstanceId,
    /// The guest's name, for people.
    pub name: String,
    /// The description that mentions it.
    pub description: Description,
    /// The disk's name in the guest's description, such as `vdb`; `None` for what is no disk.
    pub target: Option<String>,
    /// The path, spelt as its share's mount path is: the topmost file of a disk that is on a share.
    pub path: PathBuf,
    /// Every file of the disk that is on a share, the topmost first: `path` and what lies below it.
    pub layers: Vec<PathBuf>,
    /// The disk whose own file `path` is: neither a file below one that is elsewhere, nor a kernel or a directory.
    pub disk: Option<GuestDisk>,
}

/// A disk as a guest has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestDisk {
    /// The volume's ids that the disk's description carries, in its alias and as its serial number.
    pub volumes: Vec<VolumeId>,
    /// The format that the hypervisor takes the file for; raw where it says none, as Nova has it.
    pub format: ImageFormat,
    /// Whether other guests may have it at the same time.
    pub shareable: bool,
    /// Whether it is the copy that a block job is making of the disk.
    pub is_copy: bool,
}

impl GuestSurvey {
    /// The guest of that identity, if there is one.
    #[must_use]
    pub fn guest(&self, instance: InstanceId) -> Option<&Guest> {
        self.guests.iter().find(|guest| guest.instance == instance)
    }

    /// Every use of the share at `at`.
    pub fn uses_of<'a>(&'a self, at: &'a MountPath) -> impl Iterator<Item = &'a GuestUse> {
        self.guests.iter().flat_map(|guest| guest.uses_of(at))
    }

    /// The guests whose uses of the share at `at` may be more than those that are known: their descriptions mention it,
    /// or could not be had and `is_recorded` says that records connect them with it.
    pub fn unknown_of<'a>(
        &'a self,
        at: &'a MountPath,
        is_recorded: impl Fn(InstanceId) -> bool + 'a,
    ) -> impl Iterator<Item = (&'a Guest, &'a UnknownUses)> {
        self.guests.iter().filter_map(move |guest| {
            let unknown = guest.unknown.as_ref()?;
            (unknown.mentioned.contains(at) || is_recorded(guest.instance)).then_some((guest, unknown))
        })
    }
}

impl Guest {
    /// Its uses of the share at `at`.
    pub fn uses_of<'a>(&'a self, at: &'a MountPath) -> impl Iterator<Item = &'a GuestUse> {
        self.uses.iter().filter(|guest_use| guest_use.path.starts_with(at.as_path()))
    }

    /// The description that says what it has: now, if it runs, else after its next start.
    #[must_use]
    pub fn current_description(&self) -> Description {
        match (self.run, self.saved) {
            (Some(_), _) => Description::Running,
            (None, true) => Description::Saved,
            (None, false) => Description::Persistent,
        }
    }

    /// Its uses of the share at `at`, now or after its next start.
    pub fn current_uses_of<'a>(&'a self, at: &'a MountPath) -> impl Iterator<Item = &'a GuestUse> {
        let current = self.current_description();
        self.uses_of(at).filter(move |guest_use| guest_use.description == current)
    }
}

impl GuestUse {
    /// Whether the disk consists of `file`, at least in part.
    #[must_use]
    pub fn has_file(&self, file: &Path) -> bool {
        self.layers.iter().any(|layer| layer == file)
    }
}
