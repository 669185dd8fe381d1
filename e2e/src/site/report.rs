//! What `status` and `reconcile` tell of guests.

use serde_json::Value;

use super::{Reply, Site};
use crate::Guest;

/// What `reconcile` found: nothing where records, mounts and guests agree.
#[derive(Debug)]
pub struct Reconciled {
    /// What it mended.
    pub mended: Vec<Value>,
    /// What it left as it was.
    pub left: Vec<Value>,
}

impl Site {
    /// A guest's attachments as `status` shows them.
    pub fn attachments_of(&self, instance: &str) -> Vec<Value> {
        let status = self.run(&["status"]).answer();
        let shares = status["shares"].as_array().expect("status lists shares").iter();
        let attachments = shares.flat_map(|share| share["attachments"].as_array().expect("a list"));
        attachments.filter(|one| one["instance"] == instance).cloned().collect()
    }

    /// A guest's only attachment as `status` shows it. Panics where there are none or more.
    pub fn attachment_of(&self, guest: &Guest) -> Value {
        let mut attachments = self.attachments_of(guest.uuid());
        assert_eq!(attachments.len(), 1, "{}: {attachments:?}", guest.name());
        attachments.remove(0)
    }

    /// The state of the only share on record. Panics where there are none or more.
    pub fn share_state(&self) -> String {
        let status = self.run(&["status"]).answer();
        let shares = status["shares"].as_array().expect("status lists shares");
        assert_eq!(shares.len(), 1, "{status}");
        shares[0]["state"].as_str().expect("a share has a state").to_owned()
    }

    /// Runs `reconcile`.
    pub fn reconcile(&self) -> Reconciled {
        Reconciled::of(self.run(&["reconcile"]))
    }
}

impl Reconciled {
    /// Reads what the command answered. Panics when it failed.
    pub fn of(reply: Reply) -> Self {
        let mut answer = reply.answer();
        let mut list = |name: &str| match answer[name].take() {
            Value::Array(findings) => findings,
            other => panic!("no list of what is {name}: {other}"),
        };
        Self { mended: list("mended"), left: list("left") }
    }

    /// What was mended, in the order it is told.
    pub fn mended_codes(&self) -> Vec<&str> {
        codes(&self.mended)
    }

    /// What was left, in the order it is told.
    pub fn left_codes(&self) -> Vec<&str> {
        codes(&self.left)
    }

    /// Makes sure that nothing at all was found.
    pub fn assert_agreed(&self) {
        assert!(self.mended.is_empty() && self.left.is_empty(), "{self:?}");
    }

    /// The findings of one kind.
    pub fn of_kind(&self, what: &str) -> Vec<&Value> {
        self.mended.iter().chain(&self.left).filter(|finding| finding["what"] == what).collect()
    }
}

fn codes(findings: &[Value]) -> Vec<&str> {
    findings.iter().map(|finding| finding["what"].as_str().expect("a finding says what it is")).collect()
}

impl Reply {
    /// Makes sure that the command refused because that guest uses the file, and named the guest.
    pub fn assert_held_by(&self, guest: &Guest) {
        assert_eq!(self.failure(), (7, "volume_in_use"), "{}", self.message());
        let message = self.message();
        assert!(message.contains(guest.name()) || message.contains(guest.uuid()), "{message}");
    }
}
