//! An attachment: one file of one guest.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::pure::connection::{ImageFormat, ImageName, InstanceId, VolumeId};
use crate::pure::guests::{Description, GuestSurvey, GuestUse, RunId};
use crate::pure::image::Layer;
use crate::pure::mount_path::MountPath;

/// One file attached to one guest.
///
/// Identity is the guest and the file. Ids of the volume are aliases that it collects, and names of snapshots and copies
/// steps that it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The guest.
    pub instance: InstanceId,
    /// The volume's id when it was last connected.
    pub volume: VolumeId,
    /// The other ids that the volume has had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<VolumeId>,
    /// The file that the guest writes to.
    pub name: ImageName,
    /// Other files that the guest may write to instead: where the volume was before a snapshot or a copy, or is after
    /// one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<ImageName>,
    /// The file's declared format.
    pub format: ImageFormat,
    /// The image's layers as they were looked at; empty where another driver attached it.
    #[serde(default)]
    pub chain: Vec<Layer>,
    /// Files below the image, as the guest's description names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub below: Vec<PathBuf>,
    /// Whether other guests may have the file at the same time.
    #[serde(default)]
    pub shareable: bool,
    /// Whether nobody has connected it: it is on record because the guest was seen to have it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
    /// The share's generation when the guest was last connected.
    pub generation: u64,
    /// The guest's run that was seen with files open of an earlier generation, which is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_in: Option<RunId>,
    /// Set once somebody has disconnected the volume while the guest still had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Leaving>,
}

/// An attachment that stays until its guest has released the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// The guest's run at that time; `None` where it was saved, or not known.
    pub run: Option<RunId>,
}

impl Attachment {
    /// An attachment of which no more is known.
    pub(crate) fn new(instance: InstanceId, volume: VolumeId, name: ImageName, format: ImageFormat) -> Self {
        Self {
            instance,
            volume,
            aliases: Vec::new(),
            name,
            steps: Vec::new(),
            format,
            chain: Vec::new(),
            below: Vec::new(),
            shareable: false,
            adopted: false,
            generation: 0,
            lost_in: None,
            leaving: None,
        }
    }

    /// An attachment of what a guest describes as one of its disks, where it is an image directly on the share at `at`.
    pub(crate) fn described(
        guest_use: &GuestUse,
        at: &MountPath,
        derive: impl Fn(&ImageName) -> VolumeId,
    ) -> Option<Self> {
        let disk = guest_use.disk.as_ref()?;
        let name = image_name(&guest_use.path, at)?;
        let mut volumes = disk.volumes.iter().copied();
        let volume = volumes.next().unwrap_or_else(|| derive(&name));
        Some(Self {
            aliases: volumes.collect(),
            below: files_below(std::iter::once(guest_use), at),
            shareable: disk.shareable,
            adopted: true,
            ..Self::new(guest_use.instance, volume, name, disk.format)
        })
    }

    /// Every id that the volume has, or has had.
    pub fn volumes(&self) -> impl Iterator<Item = VolumeId> + '_ {
        std::iter::once(self.volume).chain(self.aliases.iter().copied())
    }

    /// Whether the volume has, or has had, that id.
    #[must_use]
    pub fn has_volume(&self, volume: VolumeId) -> bool {
        self.volume == volume || self.aliases.contains(&volume)
    }

    /// The files that the guest may write to.
    pub(crate) fn tops(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(&self.name).chain(&self.steps).map(|name| Path::new(name.as_str()))
    }

    /// The files that a connect has looked at, and those that the guest may write to, as paths on the share.
    fn known_files(&self) -> impl Iterator<Item = &Path> {
        self.tops().chain(self.chain.iter().map(|layer| layer.path.as_path()))
    }

    /// Every file of it, as paths on the share.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.known_files().chain(self.below.iter().map(PathBuf::as_path))
    }

    /// Whether `file` is one of its files, directly or below one.
    pub(crate) fn has_file(&self, file: &Path) -> bool {
        self.files().any(|known| known == file)
    }

    /// Whether an image of that name, with those layers, has a file in common with it.
    pub(crate) fn is_related(&self, name: &ImageName, chain: &[Layer]) -> bool {
        let is_above = chain.iter().any(|layer| layer.path.as_path() == Path::new(self.name.as_str()));
        is_above || self.has_file(Path::new(name.as_str()))
    }

    /// Whether a guest's use is of this attachment's file: a layer of the disk is a file that the guest may write to, or the
    /// disk's own file is one of its layers, as after a commit.
    pub(crate) fn is_used_by(&self, guest_use: &GuestUse, at: &MountPath) -> bool {
        let is_top = |file: &Path| guest_use.disk.is_some() && at.as_path().join(file) == guest_use.path;
        guest_use.instance == self.instance
            && (self.tops().any(|top| guest_use.has_file(&at.as_path().join(top)))
                || self.known_files().any(is_top))
    }

    /// Whether the disk of a guest's use carries an id of the volume.
    pub(crate) fn shares_volume(&self, guest_use: &GuestUse) -> bool {
        let mut volumes = guest_use.disk.iter().flat_map(|disk| &disk.volumes);
        guest_use.instance == self.instance && volumes.any(|volume| self.has_volume(*volume))
    }

    /// Becomes `newer`, and keeps the ids and files that it had.
    pub(super) fn update(&mut self, newer: Self) {
        let old = std::mem::replace(self, newer);
        let ids = std::iter::once(old.volume).chain(old.aliases);
        for id in ids.collect::<Vec<_>>() {
            if !self.has_volume(id) {
                self.aliases.push(id);
            }
        }
        for step in std::iter::once(old.name).chain(old.steps) {
            // A layer of the chain is protected as one.
            if !self.has_file(Path::new(step.as_str())) {
                self.steps.push(step);
            }
        }
    }
}

impl fmt::Display for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "volume {} of instance {}", self.volume, self.instance)
    }
}

/// What an attachment is looked up by: its file, then its volume.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FileQuery<'a> {
    /// The file's name.
    pub(crate) name: Option<&'a ImageName>,
    /// The layers of the image of that name, where they are known.
    pub(crate) chain: &'a [Layer],
    /// The volume's id.
    pub(crate) volume: Option<VolumeId>,
}

impl<'a> FileQuery<'a> {
    /// What finds that attachment.
    pub(crate) fn of(attachment: &'a Attachment) -> Self {
        Self { name: Some(&attachment.name), chain: &attachment.chain, volume: Some(attachment.volume) }
    }

    /// Where in `attachments` the guest's is that is asked for.
    ///
    /// The file that the guest writes to decides, then one that it may write to, then the volume together with a layer,
    /// then a snapshot on top of the file, then the volume.
    pub(crate) fn find(&self, instance: InstanceId, attachments: &[Attachment]) -> Option<usize> {
        let name = self.name.map(|name| Path::new(name.as_str()));
        let has_volume = |one: &Attachment| self.volume.is_some_and(|volume| one.has_volume(volume));
        let is_top = |one: &Attachment| name.is_some_and(|name| Path::new(one.name.as_str()) == name);
        let is_step = |one: &Attachment| name.is_some_and(|name| one.tops().any(|top| top == name));
        let is_layer = |one: &Attachment| name.is_some_and(|name| one.has_file(name));
        let is_below = |one: &Attachment| {
            self.chain.iter().any(|layer| layer.path.as_path() == Path::new(one.name.as_str()))
        };
        let of_guest = || attachments.iter().enumerate().filter(|(_, one)| one.instance == instance);
        let first = |is_wanted: &dyn Fn(&Attachment) -> bool| {
            of_guest().find(|(_, one)| is_wanted(one)).map(|(index, _)| index)
        };
        first(&is_top)
            .or_else(|| first(&is_step))
            .or_else(|| first(&|one| has_volume(one) && (is_layer(one) || is_below(one))))
            .or_else(|| first(&is_below))
            .or_else(|| first(&has_volume))
    }
}

/// Files that a guest has released, though its shut-off description may still name them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Release {
    pub(crate) instance: InstanceId,
    /// Paths on the share: images with all their layers.
    pub(crate) files: BTreeSet<PathBuf>,
}

impl Release {
    /// What the guest of an attachment releases with it: its files, and the layers of its disk. `None` where the guest's
    /// shut-off description names none of that.
    pub(super) fn new<'a>(
        attachment: &Attachment,
        uses: impl Iterator<Item = &'a GuestUse>,
        at: &MountPath,
    ) -> Option<Self> {
        let mut described =
            uses.filter(|guest_use| guest_use.description == Description::Persistent).peekable();
        described.peek()?;
        let layers = described.flat_map(|guest_use| &guest_use.layers);
        let layers = layers.filter_map(|layer| layer.strip_prefix(at.as_path()).ok());
        let files = attachment.files().chain(layers).map(Path::to_owned).collect();
        Some(Self { instance: attachment.instance, files })
    }

    /// Forgets what guests have released and do not describe any more, or run with again.
    pub(crate) fn forget(releases: &mut Vec<Self>, at: &MountPath, survey: &GuestSurvey) {
        for release in &mut *releases {
            let guest = survey.guest(release.instance);
            if guest.is_some_and(|guest| guest.unknown.is_some()) {
                continue;
            }
            let uses = |file: &Path, wanted: fn(&GuestUse) -> bool| {
                let mut uses = guest.into_iter().flat_map(|guest| guest.uses_of(at));
                uses.any(|guest_use| wanted(guest_use) && guest_use.has_file(&at.as_path().join(file)))
            };
            release.files.retain(|file| {
                uses(file, |guest_use| guest_use.description == Description::Persistent)
                    && !uses(file, |guest_use| guest_use.description != Description::Persistent)
            });
        }
        releases.retain(|release| !release.files.is_empty());
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.files.extend(other.files);
    }

    /// Takes back what it says of the attachment: its guest has the file again.
    pub(super) fn retract(&mut self, attachment: &Attachment) {
        if self.instance == attachment.instance {
            self.files.retain(|file| !attachment.tops().any(|top| top == file));
        }
    }

    /// Whether the guest has released what that use is about.
    pub(super) fn covers(&self, guest_use: &GuestUse, at: &MountPath) -> bool {
        guest_use.instance == self.instance
            && guest_use.description == Description::Persistent
            && guest_use.path.strip_prefix(at.as_path()).is_ok_and(|path| self.files.contains(path))
    }
}

/// What lies below the topmost files of disks, as paths on the share at `at`.
pub(super) fn files_below<'a>(uses: impl Iterator<Item = &'a GuestUse>, at: &MountPath) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for layer in uses.flat_map(|guest_use| guest_use.layers.iter().skip(1)) {
        let Ok(file) = layer.strip_prefix(at.as_path()) else { continue };
        if !files.iter().any(|known| known == file) {
            files.push(file.to_owned());
        }
    }
    files
}

/// The name of an image directly on the share at `at`.
pub(crate) fn image_name(path: &Path, at: &MountPath) -> Option<ImageName> {
    let name = ImageName::parse(path.strip_prefix(at.as_path()).ok()?.to_str()?).ok()?;
    (at.image(&name) == path).then_some(name)
}

#[cfg(test)]
mod tests;
