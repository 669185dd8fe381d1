//! Releasing a share: unmounting it once nobody is left, then removing its directory and its record.

use super::error::Error;
use super::operation::{ForcedMounts, ShareOperation};
use super::stacked_mounts::count_stacked;
use crate::host::{UnmountMode, UnmountOutcome};
use crate::mount::{MountError, MountState, inspect};
use crate::pure::guests::{Description, GuestSurvey, GuestUse};
use crate::pure::record::{Attachment, KnownMount};

/// Why a share stays mounted.
#[derive(Debug, Clone, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum StillMounted {
    /// These attachments use it.
    Attachments(Vec<Attachment>),
    /// These guests use it, recorded or not.
    Guests(Vec<GuestUse>),
    /// It could not be found out whether a guest uses it, for this reason.
    Unknown(String),
    /// The kernel says that files are open on it or something is mounted below it.
    Busy,
    /// Its client does not answer, and somebody waits for it.
    Hung,
    /// Another user mounted it.
    NotOwner,
    /// What is mounted there is not what we mounted.
    Foreign,
    /// No record says who mounted it and for whom.
    NotRecorded,
}

impl StillMounted {
    /// The reason as scripts see it, in `snake_case`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        self.into()
    }
}

/// How far a disconnect may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Force {
    /// Nothing is taken from anybody, and what the guest itself holds is refused.
    #[default]
    No,
    /// Nothing is taken from anybody. What the guest itself holds stays on record until it has released that: Nova's way,
    /// whose `force` is part of every deletion and no operator's word.
    Leave,
    /// With nobody else on record, the mount goes even if it is hung or files are open on it.
    IfAlone,
    /// The mount goes whoever uses it. What they wrote to one that hangs and the client has not stored is lost; files
    /// that are open on one that answers are served on until they are closed.
    Always,
}

/// What the hypervisor knows of all guests, or why it does not tell, where it was asked before.
pub(super) type SurveyAnswer<'a> = Result<&'a GuestSurvey, &'a str>;

impl ShareOperation<'_> {
    /// Notes which mounts force is for, before anybody is asked anything.
    pub(super) fn note_forced_mounts(&mut self, force: Force) -> Result<(), Error> {
        if force >= Force::IfAlone
            && let Some(top) = self.top_mount(self.record.mount.as_ref())?
        {
            // A base that is spelt through a link has none that are found; there is one.
            let count = count_stacked(self.host, &self.record.mount_path)?.max(1);
            self.forced = ForcedMounts { top: Some(top), count };
        }
        Ok(())
    }

    /// Releases the share if nobody uses it: unmounts it, then removes its directory, then its record. `survey` is what the
    /// hypervisor knows of all guests; it is asked where that is `None`.
    pub(super) fn release(
        &mut self,
        force: Force,
        survey: Option<SurveyAnswer<'_>>,
    ) -> Result<Option<StillMounted>, Error> {
        let record = &self.record;
        if !record.attachments.is_empty() && force < Force::Always {
            return Ok(Some(StillMounted::Attachments(record.attachments.clone())));
        }
        // A client that a killed call has left may be about to mount. One that has mounted ends by itself.
        if record.mount.is_none() && self.top_mount(None)?.is_none() {
            self.kill_client(record.generation)?;
        }
        let still_mounted = self.unmount_all(force, survey)?;
        match still_mounted {
            // Nothing of ours to keep a record of.
            Some(StillMounted::NotOwner) if self.is_recorded_mount_alone()? => {}
            // Ours to take down later, or once it is uncovered: the record stays.
            Some(_) => return Ok(still_mounted),
            None => {
                // With its mount goes what a guest was still to release.
                let record = &mut self.record;
                let count = record.attachments.len();
                record.attachments.retain(|attachment| attachment.leaving.is_none());
                let is_changed = record.attachments.len() < count;
                if is_changed && !record.attachments.is_empty() {
                    self.store()?;
                }
                let record = &self.record;
                if let Err(error) = self.host.remove_directory(record.mount_path.as_path()) {
                    tracing::warn!(mount_path = %record.mount_path, %error, "the mount directory stays");
                }
            }
        }
        if self.record.attachments.is_empty() {
            self.lock.keep_releases(&self.record.mount_path, &self.record.releases)?;
            self.lock.remove()?;
        }
        Ok(still_mounted)
    }

    /// Whether the mount on top is the one on record, and the only one.
    fn is_recorded_mount_alone(&self) -> Result<bool, Error> {
        let known = self.record.mount.as_ref();
        let top = self.top_mount(known)?;
        let is_recorded = known.zip(top.as_ref()).is_some_and(|(known, top)| known.is_same(top));
        Ok(is_recorded && count_stacked(self.host, &self.record.mount_path)? == 1)
    }

    /// Unmounts the record's export as often as it is mounted there.
    fn unmount_all(
        &self,
        force: Force,
        survey: Option<SurveyAnswer<'_>>,
    ) -> Result<Option<StillMounted>, Error> {
        let (at, export) = (&self.record.mount_path, &self.record.export);
        let mut asked = None;
        let mut known = self.record.mount.clone();
        let mut unmounted = 0;
        while let Some(mount) = self.top_mount(known.take().as_ref())? {
            let force = if self.forced.contain(&mount, unmounted) { force } else { Force::No };
            unmounted += 1;
            if !mount.is_of(export) {
                return Ok(Some(StillMounted::Foreign));
            }
            if !self.host.may_unmount(&mount) {
                return Ok(Some(StillMounted::NotOwner));
            }
            let known = KnownMount { mount: Some(&mount), ..self.record.known_mount() };
            let known =
                if self.record.is_for_mount(&mount) { known } else { KnownMount { client: &[], ..known } };
            let state = match inspect(self.host, at, export, known) {
                Err(MountError::Unreadable { source, .. }) if force < Force::IfAlone => {
                    return Ok(Some(StillMounted::Unknown(source.to_string())));
                }
                Err(MountError::Unreadable { .. }) => MountState::Hung(mount.clone()),
                state => state?,
            };
            let is_dead = matches!(state, MountState::Dead(_));
            if force < Force::Always {
                if !is_dead && self.context.state.has_set_aside(self.lock)? {
                    return Ok(Some(StillMounted::Unknown("a record of it was set aside".to_owned())));
                }
                let answer = match survey {
                    Some(answer) => answer,
                    None => asked.get_or_insert_with(|| self.survey(None)).as_ref().map_err(String::as_str),
                };
                match answer {
                    Ok(survey) => {
                        if let Some(still_mounted) = self.still_used_by_guests(survey, is_dead) {
                            return Ok(Some(still_mounted));
                        }
                    }
                    // A dead connection serves nobody any more.
                    Err(_) if is_dead => {}
                    Err(reason) => return Ok(Some(StillMounted::Unknown(reason.to_owned()))),
                }
            }
            let if_busy = if_busy(&state, force);
            tracing::info!(%export, mount_path = %at, "unmounting");
            if self.unmount(&mount, UnmountMode::IfUnused)? == UnmountOutcome::Busy {
                match if_busy {
                    IfBusy::Keep(still_mounted) => return Ok(Some(still_mounted)),
                    IfBusy::AbortFirst => self.abort(&mount),
                    IfBusy::UnmountLazily => {}
                }
                self.unmount(&mount, UnmountMode::Lazy)?;
            }
        }
        Ok(None)
    }

    /// Why the share has to stay for guests, if it has. On a dead mount only those that run with files on it count: they
    /// have lost them, and have to be named.
    fn still_used_by_guests(&self, survey: &GuestSurvey, is_dead: bool) -> Option<StillMounted> {
        let (at, record) = (&self.record.mount_path, &self.record);
        let counts = |guest_use: &&GuestUse| match guest_use.description {
            Description::Running => true,
            Description::Saved => !is_dead,
            Description::Persistent => !is_dead && !record.is_released(guest_use),
        };
        let uses: Vec<_> = survey.uses_of(at).filter(counts).cloned().collect();
        if !uses.is_empty() {
            return Some(StillMounted::Guests(uses));
        }
        let is_recorded = |instance| {
            let mut attachments = record.attachments.iter().map(|attachment| attachment.instance);
            let mut releases = record.releases.iter().map(|release| release.instance);
            attachments.any(|other| other == instance) || releases.any(|other| other == instance)
        };
        let unknown = survey.unknown_of(at, is_recorded).find(|_| !is_dead);
        unknown.map(|(guest, unknown)| {
            StillMounted::Unknown(format!("guest {}: {}", guest.name, unknown.reason))
        })
    }
}

/// What becomes of a mount on which the kernel finds open files, or another mount below.
enum IfBusy {
    Keep(StillMounted),
    /// Whoever waits for the client is freed first.
    AbortFirst,
    UnmountLazily,
}

/// Whether a mount in that state may be unmounted under open files, as far as `force` goes for it.
fn if_busy(state: &MountState, force: Force) -> IfBusy {
    match state {
        // It serves nobody any more.
        MountState::Dead(_) => IfBusy::UnmountLazily,
        MountState::Hung(_) if force < Force::IfAlone => IfBusy::Keep(StillMounted::Hung),
        MountState::Hung(_) => IfBusy::AbortFirst,
        MountState::Absent
        | MountState::Healthy(_)
        | MountState::Disconnected(_)
        | MountState::WrongVolume(_)
        | MountState::Foreign(_) => {
            if force < Force::IfAlone {
                IfBusy::Keep(StillMounted::Busy)
            } else {
                IfBusy::UnmountLazily
            }
        }
    }
}
