//! Which guests are told that their open files have died.

use std::ops::Range;

use super::machine::{Machine, is_ours};
use crate::driver::ShareStatus;
use crate::driver::fake::ClientState;
use crate::pure::guests::GuestSurvey;

impl Machine {
    /// A guest that has a file of one of those shares open on a mount that is gone is told so, and no other guest is. A call
    /// has looked at those shares.
    pub(super) fn check_lost(&self, looked_at: Range<usize>) {
        if !self.host.world().hypervisor.answers {
            return;
        }
        let shares = self.drivers[0].status().unwrap().shares;
        let survey = self.drivers[0].guests(&shares).unwrap();
        for share in looked_at {
            if let Some(status) = shares.iter().find(|status| status.record.mount_path == self.at(share)) {
                self.check_lost_of(share, status, &survey);
            }
        }
    }

    /// Who is on record as lost runs on with the file; to be called after a reconcile.
    pub(super) fn check_lost_runs(&self) {
        let recorded = self.recorded();
        for (user, (attachment, is_stale)) in recorded.iter().filter(|_| self.host.world().hypervisor.answers)
        {
            if let Some(run) = attachment.lost_in.filter(|_| *is_stale) {
                assert!(self.run(user.guest) == Some(run) && self.is_held(*user), "{user:?} was restarted");
            }
        }
    }

    fn check_lost_of(&self, share: usize, status: &ShareStatus, survey: &GuestSurvey) {
        let world = self.host.world().clone();
        let layers = world.mounts.get(self.at(share).as_path()).map_or(&[][..], Vec::as_slice);
        // Something may hide what is there.
        if !layers.iter().all(|layer| is_ours(share, layer)) || layers.len() > 1 {
            return;
        }
        let recorded = self.recorded();
        for (user, open) in self.open.iter().filter(|(user, _)| user.share == share) {
            let Some((attachment, _)) = recorded.get(user) else { continue };
            let is_served = layers.iter().any(|one| one.mount == open.mount && one.client_state.is_alive());
            let is_told = status.is_lost(attachment, Some(survey));
            // That a client's process is gone proves nothing where no record names it.
            let is_unproven = layers.iter().any(|one| {
                let is_known = status.record.is_for_mount(&one.mount) && !status.record.client.is_empty();
                one.mount == open.mount && one.client_state == ClientState::Vanished && !is_known
            });
            if open.is_tracked {
                assert!(is_told || is_served || is_unproven, "{user:?} is not told that its file is dead");
            }
            // Nobody knows when a mount was made that somebody else has made, and so whether a run began before.
            let mut by_hand = layers.iter().filter(|one| one.generation.is_none());
            let is_by_hand = by_hand.any(|one| one.mount == open.mount);
            if !open.is_ambiguous && !is_by_hand && self.is_observable {
                assert!(
                    !is_told || !is_served,
                    "{user:?} is told that its file is dead: {attachment:?} {open:?}"
                );
            }
        }
        for (user, (attachment, _)) in recorded.iter().filter(|(user, _)| user.share == share) {
            let is_told = status.is_lost(attachment, Some(survey));
            assert!(!is_told || self.run(user.guest).is_some(), "{user:?} does not run");
        }
    }
}
