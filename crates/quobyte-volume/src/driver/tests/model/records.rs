//! What calls may change about who is on record.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use super::machine::Machine;
use super::steps::{Call, FileUse, SHARES, export};
use crate::driver::Force;
use crate::pure::guests::{Description, GuestUse};
use crate::pure::record::{Attachment, ShareRecord};

/// The attachments on record, each with whether it is of an earlier mount than the present one.
pub(super) type Recorded = BTreeMap<FileUse, (Attachment, bool)>;

impl Machine {
    pub(super) fn recorded(&self) -> Recorded {
        let mut recorded = Recorded::new();
        for record in self.records() {
            let share = (0..SHARES.len()).find(|share| export(*share) == record.export).unwrap();
            for attachment in &record.attachments {
                let user = FileUse::named(share, attachment.name.as_str(), attachment.instance).unwrap();
                let entry = (attachment.clone(), record.is_stale(attachment));
                assert!(
                    recorded.insert(user, entry).is_none(),
                    "one file of one guest is one attachment: {record:?}"
                );
            }
        }
        recorded
    }

    pub(super) fn records(&self) -> Vec<ShareRecord> {
        self.state().records().unwrap().into_iter().map(Result::unwrap).collect()
    }

    pub(super) fn is_recorded(&self, user: FileUse) -> bool {
        self.recorded().contains_key(&user)
    }

    /// Whether the guest runs with a layer of the attachment's volume, or was saved with one.
    pub(super) fn is_held(&self, user: FileUse) -> bool {
        let mut uses =
            self.uses().into_iter().filter(|(_, description)| *description != Description::Persistent);
        uses.any(|(other, _)| other.guest == user.guest && other.is_same_volume(user))
    }

    /// Whether any description of the guest has a layer of the attachment's volume.
    pub(super) fn is_described(&self, user: FileUse) -> bool {
        self.uses().iter().any(|(other, _)| other.guest == user.guest && other.is_same_volume(user))
    }

    /// Whether a disk that the guest runs with, or was saved with, carries an id of the attachment, and its file is on
    /// record for no other volume of the guest.
    fn is_held_by_id(&self, user: FileUse, attachment: &Attachment) -> bool {
        let recorded = self.recorded();
        let is_anothers = |one: &GuestUse| {
            let name = one.path.file_name().and_then(OsStr::to_str);
            let other = name.and_then(|name| FileUse::named(user.share, name, one.instance));
            other.is_some_and(|other| {
                let mut others = recorded.keys().filter(|known| !known.is_same_volume(user));
                others.any(|known| known.guest == other.guest && known.is_same_volume(other))
            })
        };
        let uses = self.guest_uses(user.share);
        let mut held = uses.iter().filter(|one| {
            one.instance == user.instance() && one.description != Description::Persistent && !is_anothers(one)
        });
        held.any(|one| {
            one.disk.as_ref().is_some_and(|disk| disk.volumes.iter().any(|id| attachment.has_volume(*id)))
        })
    }

    /// Makes sure that a call, or part of one, has put nobody on record and dropped nobody without reason.
    pub(super) fn check_transition(&self, call: Call, before: &Recorded) {
        let after = self.recorded();
        let uses = self.uses();
        let is_target = |user: &FileUse| match call {
            Call::Connect(target) | Call::Disconnect(target, _) => {
                target.guest == user.guest && target.is_same_volume(*user)
            }
            Call::Reconcile | Call::DryRun => false,
        };
        for user in after.keys().filter(|user| !before.contains_key(user)) {
            let is_described = uses.iter().any(|(other, _)| other == user);
            assert!(is_described || is_target(user), "{call:?} has put {user:?} on record");
        }
        for (user, (attachment, _)) in before.iter().filter(|(user, _)| !after.contains_key(user)) {
            let has_moved = after.keys().any(|other| {
                other.guest == user.guest && other.share == user.share && !before.contains_key(other)
            });
            let is_forced = matches!(call, Call::Disconnect(_, Force::Always));
            let has_released = attachment.leaving.is_some() && (is_forced || !self.is_held(*user));
            let is_unused = attachment.adopted && !self.is_described(*user);
            // Where no record has the file that is disconnected, the volume's id says which one it is now.
            let is_named = matches!(call, Call::Disconnect(target, _)
                if target.guest == user.guest && attachment.has_volume(target.info().volume_id));
            let is_dropped = is_named || is_target(user) && !matches!(call, Call::Connect(_));
            assert!(has_moved || has_released || is_dropped || is_unused, "{call:?} has dropped {user:?}");
        }
    }

    /// Makes sure of what a call that came to its end undisturbed promises about the records.
    pub(super) fn check_records(&self, call: Call, succeeded: bool, before: &Recorded) {
        let after = self.recorded();
        let answers = self.host.world().hypervisor.answers;
        let of_volume = |target: FileUse| {
            let is_it = move |user: &FileUse| user.guest == target.guest && user.is_same_volume(target);
            after.iter().filter(move |(user, _)| is_it(user))
        };
        match call {
            Call::Connect(target) if succeeded => {
                let (attachment, _) = &after[&target];
                assert_eq!(attachment.leaving, None, "{target:?} is connected");
                let rival = after.keys().find(|other| other.is_rival(target));
                assert_eq!(rival, None, "{target:?} was granted");
            }
            Call::Connect(_) => {
                assert!(after.keys().eq(before.keys()), "it failed, and {before:?} is {after:?}");
            }
            Call::Disconnect(target, force) if succeeded => {
                let is_held =
                    answers && self.is_held(target) && before.keys().any(|one| one.share == target.share);
                assert!(!is_held || force > Force::No, "{target:?} is held, and was not refused");
                let is_kept = of_volume(target).next().is_some();
                assert!(
                    !is_held || is_kept || force == Force::Always,
                    "{target:?} is held, and not on record"
                );
                for (user, (attachment, _)) in of_volume(target) {
                    assert!(attachment.leaving.is_some(), "{user:?} is disconnected");
                    let may_have_it = self.is_held(*user) || self.is_held_by_id(*user, attachment);
                    assert!(may_have_it || !answers, "{user:?} has released the file");
                }
            }
            Call::Disconnect(target, force) => {
                // The volume's id may stand for another file by now, which the guest has.
                let is_held_by_id = before.iter().any(|(user, (attachment, _))| {
                    user.guest == target.guest
                        && attachment.has_volume(target.info().volume_id)
                        && (self.is_held(*user) || self.is_held_by_id(*user, attachment))
                });
                let is_held = self.is_held(target) || is_held_by_id;
                assert!(force == Force::No && is_held, "{target:?} was refused with {force:?}");
                assert_eq!(&after, before, "a refusal changes nothing");
            }
            Call::Reconcile if answers => {
                for (user, (attachment, _)) in after.iter().filter(|(_, (one, _))| one.leaving.is_some()) {
                    let may_have_it = self.is_held(*user) || self.is_held_by_id(*user, attachment);
                    assert!(may_have_it, "{user:?} has been released and stays as leaving");
                }
                let recorded_shares: Vec<_> = after.keys().map(|user| user.share).collect();
                let running =
                    self.uses().into_iter().filter(|(_, description)| *description == Description::Running);
                for (user, _) in running.filter(|(user, _)| recorded_shares.contains(&user.share)) {
                    // An id that a swapped disk carries can make two files of one guest one attachment.
                    let is_file_of = |(other, (one, _)): (&FileUse, &(Attachment, bool))| {
                        (other.share, other.guest) == (user.share, user.guest)
                            && one.tops().any(|top| top == Path::new(user.name()))
                    };
                    assert!(after.iter().any(is_file_of), "{user:?} runs, and is on no record");
                }
            }
            Call::Reconcile => {}
            Call::DryRun => assert_eq!(&after, before),
        }
    }

    /// Where nobody has given files to guests by hand, no two guests are on record for one volume, if one of them was
    /// connected. A reboot forgets what guests have released, and their descriptions may still name it.
    pub(super) fn check_rivals(&self) {
        let recorded = self.recorded();
        let is_adopted = |user: &FileUse| recorded[user].0.adopted;
        let rival = |user: &&FileUse| {
            let mut others = recorded.keys().filter(|other| other.is_rival(**user));
            others.any(|other| !is_adopted(other) || !is_adopted(user))
        };
        let rival = recorded.keys().find(rival);
        assert!(!self.is_undisturbed || rival.is_none(), "two guests have the volume of {rival:?}");
    }
}
