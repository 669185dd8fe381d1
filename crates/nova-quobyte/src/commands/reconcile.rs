//! `reconcile`

use quobyte_volume::driver::{Finding, Repair, StillMounted, Unrepaired};
use quobyte_volume::error::{Code, with_causes};
use serde_json::{Value, json};

use super::present::{attachment_json, still_mounted_reason};
use crate::error::Error;
use crate::output::Answer;
use crate::progress;
use crate::settings::Settings;

pub(super) fn run(settings: Settings, dry_run: bool) -> Result<Answer, Error> {
    let driver = settings.driver()?;
    let findings = progress::with_spinner("reconciling".to_owned(), || driver.reconcile(dry_run))?;
    let (repaired, unrepaired): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| finding.is_repaired());
    let json = json!({
        "dry_run": dry_run,
        "mended": repaired.iter().map(|finding| finding_json(finding)).collect::<Vec<_>>(),
        "left": unrepaired.iter().map(|finding| finding_json(finding)).collect::<Vec<_>>(),
    });
    let mut text: String =
        repaired.iter().chain(&unrepaired).map(|finding| finding_text(finding, dry_run) + "\n").collect();
    if findings.is_empty() {
        text.push_str("records, mounts and guests agree\n");
    }
    Ok(Answer { json, text })
}

/// A finding as JSON.
fn finding_json(finding: &Finding) -> Value {
    let code = finding.code();
    let attachments = || finding.attachments().iter().map(attachment_json).collect::<Vec<_>>();
    match finding {
        Finding::Repaired(at, _) => {
            json!({"what": code, "mount_path": at.as_path(), "attachments": attachments()})
        }
        Finding::Unrepaired(at, unrepaired) => json!({
            "what": code,
            "mount_path": at.as_path(),
            "attachment": attachments().first(),
            "code": finding.error_code().map(Code::as_str),
            "detail": unrepaired_reason(unrepaired),
        }),
        Finding::Swept(count) => json!({"what": code, "count": count}),
        Finding::UnusableRecord(error) => {
            json!({"what": code, "code": error.code().as_str(), "detail": error.to_string()})
        }
    }
}

/// A finding as a line of text.
fn finding_text(finding: &Finding, dry_run: bool) -> String {
    let done_or_would = |done: &'static str, would: &'static str| if dry_run { would } else { done };
    match finding {
        Finding::Repaired(at, repair) => {
            let text = match repair {
                Repair::Remounted(lost) => {
                    let guests: Vec<_> =
                        lost.iter().map(|attachment| format!("instance {}", attachment.instance)).collect();
                    let done = done_or_would("mounted again", "would mount again");
                    format!("{done}; files opened before are dead, so restart {}", guests.join(", "))
                }
                Repair::TakenDown => {
                    format!("{}, as nobody uses it", done_or_would("unmounted", "would unmount"))
                }
                Repair::Adopted(attachments) => {
                    let done = done_or_would("now on record", "would put on record");
                    format!("{done} for {} attachment(s)", attachments.len())
                }
            };
            format!("{at}: {text}")
        }
        Finding::Unrepaired(at, unrepaired) => format!("{at}: left alone: {}", unrepaired_reason(unrepaired)),
        Finding::Swept(count) => {
            let done = done_or_would("swept", "would sweep");
            format!("{done}: {count} record(s) that were never finished or are of an earlier boot")
        }
        Finding::UnusableRecord(error) => format!("left: {error}"),
    }
}

/// Why a share was not repaired, as a sentence.
fn unrepaired_reason(unrepaired: &Unrepaired) -> String {
    match unrepaired {
        Unrepaired::Hung => "its client does not answer".to_owned(),
        Unrepaired::Disconnected => "its client has lost its registries".to_owned(),
        Unrepaired::Foreign(source, fs_type) => format!("{source} of type {fs_type} is mounted there"),
        Unrepaired::NotOwner => "it is dead, and another user has to unmount it".to_owned(),
        Unrepaired::NotRecorded => still_mounted_reason(&StillMounted::NotRecorded),
        Unrepaired::Unknown(why) => still_mounted_reason(&StillMounted::Unknown(why.clone())),
        Unrepaired::NoGuest(attachment, export) => {
            let (instance, name) = (attachment.instance, &attachment.name);
            let disconnect =
                format!("nova-quobyte disconnect --instance {instance} --export {export} --name {name}");
            format!("no guest has {attachment}; if none is to: {disconnect}")
        }
        Unrepaired::Lost(attachment) => {
            format!("{attachment} was open on a mount that died; restart the guest")
        }
        Unrepaired::StillMounted(still_mounted) => still_mounted_reason(still_mounted),
        Unrepaired::Failed(error) => with_causes(error),
    }
}
