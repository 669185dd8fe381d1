//! What is seen of an operation, in few words.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use super::{BOB, Operation};
use crate::Finished;

/// What the command said: an exit status and an error's code, or what it did.
pub(super) fn answer(operation: Operation, finished: &Finished, alice: &str) -> String {
    let value: Value =
        serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"));
    let status = finished.status.code().unwrap_or_else(|| panic!("a signal ended the command: {finished:?}"));
    if let Some(code) = value["error"]["code"].as_str() {
        return format!("{status} {code}");
    }
    assert_eq!(status, 0, "{finished:?}");
    match operation {
        Operation::Connect => match initials(&value["lost"], alice).as_str() {
            "" => "connected".to_owned(),
            lost => format!("connected, {lost} lost"),
        },
        Operation::Disconnect | Operation::Force => {
            let done = match (&value["changed"], &value["leaving"]) {
                (_, Value::Bool(true)) => "leaving",
                (Value::Bool(true), _) => "disconnected",
                _ => "was not connected",
            };
            match value["reason"].as_str() {
                None => done.to_owned(),
                Some(reason) => format!("{done}, kept: {reason}"),
            }
        }
        Operation::Status => status_of(&value),
        Operation::Reconcile => reconciled(&value),
    }
}

fn status_of(value: &Value) -> String {
    let states = list(&value["shares"]).iter().map(|share| {
        let is_lost = list(&share["attachments"]).iter().any(|attachment| attachment["lost"] == true);
        let state = share["state"].as_str().expect("a share has a state");
        format!("{state}{}", if is_lost { ", A lost" } else { "" })
    });
    let unusable = list(&value["unusable_records"]).iter().map(|_| "unusable record".to_owned());
    or_nothing(states.chain(unusable).collect())
}

fn reconciled(value: &Value) -> String {
    let what = |finding: &Value| finding["what"].as_str().expect("a finding says what it is").to_owned();
    let mended = list(&value["mended"]).iter().map(what);
    let left = list(&value["left"]).iter().map(|finding| match finding["code"].as_str() {
        Some(code) => format!("left: {} ({code})", what(finding)),
        None => format!("left: {}", what(finding)),
    });
    or_nothing(mended.chain(left).collect())
}

/// The records left, and who is on them.
pub(super) fn records(directory: &Path, alice: &str) -> String {
    let mut parts = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.expect("list the records").path();
        let record: Option<Value> = serde_json::from_slice(&fs::read(&path).expect("read a record")).ok();
        let is_set_aside = path.extension().is_some_and(|extension| extension == "set-aside");
        parts.push(match record {
            _ if is_set_aside => "one set aside".to_owned(),
            None => "torn".to_owned(),
            Some(record) => match initials(&record["attachments"], alice).as_str() {
                "" => "nobody".to_owned(),
                users => users.to_owned(),
            },
        });
    }
    parts.sort_unstable();
    if parts.is_empty() { "–".to_owned() } else { parts.join(", ") }
}

/// The initials of whose attachments these are.
fn initials(attachments: &Value, alice: &str) -> String {
    let initial = |attachment: &Value| match attachment["instance"].as_str() {
        Some(instance) if instance == alice => 'A',
        Some(BOB) => 'B',
        other => panic!("nobody connected {other:?}"),
    };
    list(attachments).iter().map(initial).collect::<BTreeSet<_>>().into_iter().collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn or_nothing(parts: Vec<String>) -> String {
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}
