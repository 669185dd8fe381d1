//! What is to be done about one share. No I/O.

use super::finding::{Repair, Unrepaired};
use crate::mount::MountState;
use crate::pure::connection::Export;
use crate::pure::record::{Attachment, Comparison, ShareRecord};

/// What was seen of a share.
pub(super) struct ShareView<'a> {
    pub(super) export: &'a Export,
    pub(super) state: &'a MountState,
    /// Whether there was a record.
    pub(super) is_recorded: bool,
    /// The record, brought up to date with the guests.
    pub(super) record: &'a ShareRecord,
    /// What that has shown, or why the guests are not known.
    pub(super) comparison: Result<&'a Comparison, &'a str>,
    /// Whether the mount is healthy, but not the one that was on record, which is gone.
    pub(super) is_replaced: bool,
    pub(super) may_unmount: bool,
}

/// What to do about a share's mount, and what is worth telling.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) action: Action,
    /// What the guests have made of the record.
    pub(super) repairs: Vec<Repair>,
    pub(super) unrepaired: Vec<Unrepaired>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Leave the mount as it is.
    Keep,
    /// Mount again what attachments need, or take note that somebody has.
    Remount,
    /// Take down what no attachment needs.
    TakeDown,
}

pub(super) fn plan(view: &ShareView<'_>) -> Plan {
    let action = action(view);
    let mut repairs = Vec::new();
    let mut unrepaired = Vec::new();
    match view.comparison {
        Ok(comparison) => {
            let all = [
                (Repair::Released as fn(Vec<Attachment>) -> Repair, &comparison.released),
                (Repair::Adopted, &comparison.adopted),
                (Repair::Moved, &comparison.moved),
                (Repair::Restarted, &comparison.restarted),
            ];
            let some = all.into_iter().filter(|(_, attachments)| !attachments.is_empty());
            repairs.extend(some.map(|(repair, attachments)| repair(attachments.clone())));
            unrepaired.extend(about_mount(view));
            unrepaired.extend(about_guests(view, comparison));
        }
        Err(reason) => {
            unrepaired.extend(about_mount(view));
            if view.is_recorded || matches!(view.state, MountState::Healthy(_) | MountState::Dead(_)) {
                unrepaired.push(Unrepaired::Unknown(reason.to_owned()));
            }
        }
    }
    if action == Action::TakeDown {
        // Taking it down tells why it stays, if it does.
        unrepaired.retain(|why| !matches!(why, Unrepaired::NotAdopted(_) | Unrepaired::Unknown(_)));
    }
    Plan { action, repairs, unrepaired }
}

fn action(view: &ShareView<'_>) -> Action {
    if view.record.attachments.is_empty() {
        // A mount without record or guest is nobody's to take down.
        return if view.is_recorded { Action::TakeDown } else { Action::Keep };
    }
    let needs_remount = match view.state {
        MountState::Absent => true,
        MountState::Dead(_) => view.may_unmount,
        MountState::Healthy(_) => view.is_replaced,
        MountState::Disconnected(_)
        | MountState::Hung(_)
        | MountState::WrongVolume(_)
        | MountState::Foreign(_) => false,
    };
    if needs_remount { Action::Remount } else { Action::Keep }
}

/// What is wrong with the mount itself.
fn about_mount(view: &ShareView<'_>) -> Option<Unrepaired> {
    match view.state {
        MountState::Healthy(_) | MountState::Dead(_)
            if !view.is_recorded && view.comparison.is_ok() && view.record.attachments.is_empty() =>
        {
            Some(Unrepaired::NotRecorded)
        }
        MountState::Absent | MountState::Healthy(_) => None,
        MountState::Dead(_) if view.may_unmount => None,
        MountState::Dead(_) => Some(Unrepaired::NotOwner),
        MountState::Disconnected(_) => Some(Unrepaired::Disconnected),
        MountState::Hung(_) => Some(Unrepaired::Hung),
        MountState::WrongVolume(found) | MountState::Foreign(found) => {
            Some(Unrepaired::Foreign(found.source.clone(), found.fs_type.clone()))
        }
    }
}

/// What the guests make of the share that cannot be repaired.
fn about_guests(view: &ShareView<'_>, comparison: &Comparison) -> Vec<Unrepaired> {
    let export = view.export;
    let without_guest =
        comparison.without_guest.iter().map(|one| Unrepaired::NoGuest(one.clone(), export.clone()));
    let leaving = comparison.leaving.iter().map(|one| Unrepaired::Leaving(one.clone()));
    let rivals = comparison.rivals.iter().map(|pair| Unrepaired::Rivals(Box::new(pair.clone())));
    let not_adopted =
        comparison.not_adopted.iter().map(|guest_use| Unrepaired::NotAdopted(guest_use.clone()));
    without_guest.chain(leaving).chain(rivals).chain(not_adopted).collect()
}
