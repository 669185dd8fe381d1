//! What is to be done about one share. No I/O.

use super::finding::{Repair, Unrepaired};
use crate::mount::MountState;
use crate::pure::connection::{Export, ImageName, VolumeId};
use crate::pure::guests::GuestUse;
use crate::pure::mount_path::MountPath;
use crate::pure::record::{Attachment, ShareRecord};

/// Tells which guests use a share, or why that is not known.
pub(super) type Uses<'a> = dyn Fn() -> Result<Vec<GuestUse>, String> + 'a;

/// What was seen of a share.
pub(super) struct ShareView<'a> {
    pub(super) at: MountPath,
    pub(super) export: Export,
    pub(super) record: Option<ShareRecord>,
    pub(super) state: MountState,
    /// Whether it is healthy, but not the mount on record, which is gone.
    pub(super) is_replaced: bool,
    pub(super) may_unmount: bool,
    /// Asked only where it makes a difference.
    pub(super) uses: &'a Uses<'a>,
}

/// The one thing to do next, or else what is worth telling.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) action: Option<Action>,
    pub(super) unrepaired: Vec<Unrepaired>,
}

#[derive(Debug)]
pub(super) enum Action {
    /// Mount again what these attachments need, or take note that it has been.
    Remount(Vec<Attachment>),
    /// Take down what no attachment needs.
    TakeDown,
    /// Put this record in place for what guests use already.
    Adopt(Box<ShareRecord>),
}

impl Action {
    /// What there is to tell once it is done.
    pub(super) fn repair(&self) -> Repair {
        match self {
            Self::Remount(attachments) => Repair::Remounted(attachments.clone()),
            Self::TakeDown => Repair::TakenDown,
            Self::Adopt(record) => Repair::Adopted(record.attachments.clone()),
        }
    }
}

pub(super) fn plan(view: &ShareView<'_>) -> Plan {
    match &view.record {
        None => unrecorded(view),
        Some(record) if record.attachments.is_empty() => Plan::to(Action::TakeDown),
        Some(record) => recorded(view, record),
    }
}

impl Plan {
    fn to(action: Action) -> Self {
        Self { action: Some(action), unrepaired: Vec::new() }
    }

    fn nothing_but(unrepaired: Unrepaired) -> Self {
        Self { action: None, unrepaired: vec![unrepaired] }
    }
}

/// A mount without a record: one made before this driver came, or whose records were lost.
fn unrecorded(view: &ShareView<'_>) -> Plan {
    let (MountState::Healthy(_) | MountState::Dead(_)) = &view.state else {
        return Plan { action: None, unrepaired: about_mount(view).into_iter().collect() };
    };
    match (view.uses)() {
        Err(reason) => Plan::nothing_but(Unrepaired::Unknown(reason)),
        Ok(uses) => {
            let attachments: Vec<_> = uses.iter().filter_map(|guest| attachment(view, guest)).collect();
            match ShareRecord::adopting(view, attachments) {
                Some(record) => Plan::to(Action::Adopt(Box::new(record))),
                None => Plan::nothing_but(Unrepaired::NotRecorded),
            }
        }
    }
}

fn recorded(view: &ShareView<'_>, record: &ShareRecord) -> Plan {
    let needs_remount = match view.state {
        MountState::Absent => true,
        MountState::Dead(_) => view.may_unmount,
        MountState::Healthy(_) => view.is_replaced,
        MountState::Disconnected(_)
        | MountState::Hung(_)
        | MountState::WrongVolume(_)
        | MountState::Foreign(_) => false,
    };
    if needs_remount {
        return Plan::to(Action::Remount(record.attachments.clone()));
    }
    let mut unrepaired: Vec<_> = about_mount(view).into_iter().collect();
    unrepaired.extend(record.lost().into_iter().map(Unrepaired::Lost));
    match (view.uses)() {
        Err(reason) => unrepaired.push(Unrepaired::Unknown(reason)),
        Ok(uses) => {
            let has_guest =
                |attachment: &&Attachment| uses.iter().any(|guest| guest.is_disk_of(attachment, &view.at));
            let without = record.attachments.iter().filter(|attachment| !has_guest(attachment));
            unrepaired.extend(without.map(|one| Unrepaired::NoGuest(one.clone(), view.export.clone())));
        }
    }
    Plan { action: None, unrepaired }
}

/// What is wrong with the mount itself.
fn about_mount(view: &ShareView<'_>) -> Option<Unrepaired> {
    match &view.state {
        MountState::Absent | MountState::Healthy(_) => None,
        MountState::Dead(_) => Some(Unrepaired::NotOwner),
        MountState::Disconnected(_) => Some(Unrepaired::Disconnected),
        MountState::Hung(_) => Some(Unrepaired::Hung),
        MountState::WrongVolume(found) | MountState::Foreign(found) => {
            Some(Unrepaired::Foreign(found.source.clone(), found.fs_type.clone()))
        }
    }
}

/// The attachment that a guest's disk amounts to.
fn attachment(view: &ShareView<'_>, guest: &GuestUse) -> Option<Attachment> {
    let disk = guest.disk.as_ref()?;
    let name = ImageName::parse(guest.path.file_name()?.to_str()?).ok()?;
    (guest.path == view.at.image(&name)).then(|| Attachment {
        instance: guest.instance,
        volume: disk.volume.unwrap_or_else(|| VolumeId::derive(&view.export, &name)),
        format: disk.format,
        name,
        chain: Vec::new(),
        generation: 0,
    })
}

impl ShareRecord {
    /// A record of what guests use already; `None` if they use no image of the share.
    fn adopting(view: &ShareView<'_>, attachments: Vec<Attachment>) -> Option<Self> {
        let (MountState::Healthy(mount) | MountState::Dead(mount)) = &view.state else { return None };
        let mut record = Self::new(view.export.clone(), view.at.clone()).ok()?;
        record.mount = Some(mount.clone());
        for attachment in attachments {
            record.attach(attachment);
        }
        (!record.attachments.is_empty()).then_some(record)
    }
}
