//! `reconcile`

use quobyte_volume::driver::{Finding, Repair, StillMounted, Unrepaired};
use quobyte_volume::error::{Code, with_causes};
use quobyte_volume::pure::record::Attachment;
use serde_json::{Value, json};

use super::disconnect::{attachment, reason};
use crate::error::Error;
use crate::output::Answer;
use crate::progress;
use crate::settings::Settings;

pub(super) fn run(settings: Settings, dry_run: bool) -> Result<Answer, Error> {
    let driver = settings.driver()?;
    let findings = progress::during("reconciling".to_owned(), || driver.reconcile(dry_run))?;
    let (repaired, unrepaired): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| finding.is_repaired());
    let json = json!({
        "dry_run": dry_run,
        "mended": repaired.iter().map(|finding| describe(finding)).collect::<Vec<_>>(),
        "left": unrepaired.iter().map(|finding| describe(finding)).collect::<Vec<_>>(),
    });
    let mut text: String =
        repaired.iter().chain(&unrepaired).map(|finding| sentence(finding, dry_run) + "\n").collect();
    if findings.is_empty() {
        text.push_str("records, mounts and guests agree\n");
    }
    Ok(Answer { json, text })
}

/// A finding, for scripts.
fn describe(finding: &Finding) -> Value {
    let what = finding.code();
    let attachments = || finding.attachments().iter().map(attachment).collect::<Vec<_>>();
    match finding {
        Finding::Repaired(at, _) => {
            json!({"what": what, "mount_path": at.as_path(), "attachments": attachments()})
        }
        Finding::Unrepaired(at, unrepaired) => json!({
            "what": what,
            "mount_path": at.as_path(),
            "attachment": attachments().first(),
            "code": finding.error_code().map(Code::as_str),
            "detail": why(unrepaired),
        }),
        Finding::Swept(count) => json!({"what": what, "count": count}),
        Finding::UnusableRecord(error) => {
            json!({"what": what, "code": error.code().as_str(), "detail": error.to_string()})
        }
    }
}

/// The same for a person.
fn sentence(finding: &Finding, dry_run: bool) -> String {
    let tense = |done: &'static str, would: &'static str| if dry_run { would } else { done };
    match finding {
        Finding::Repaired(at, repair) => {
            let text = match repair {
                Repair::Remounted(lost) => {
                    let guests: Vec<_> =
                        lost.iter().map(|one| format!("instance {}", one.instance)).collect();
                    let done = tense("mounted again", "would mount again");
                    format!("{done}; files opened before are dead, so restart {}", guests.join(", "))
                }
                Repair::TakenDown => {
                    format!("{}, as nobody uses it", tense("unmounted", "would unmount"))
                }
                Repair::Adopted(attachments) => {
                    let done = tense("now on record", "would put on record");
                    format!("{done} for {} attachment(s)", attachments.len())
                }
            };
            format!("{at}: {text}")
        }
        Finding::Unrepaired(at, unrepaired) => format!("{at}: left alone: {}", why(unrepaired)),
        Finding::Swept(count) => {
            let done = tense("swept", "would sweep");
            format!("{done}: {count} record(s) that were never finished or are of an earlier boot")
        }
        Finding::UnusableRecord(error) => format!("left: {error}"),
    }
}

/// Why a share was left alone, for a person.
fn why(unrepaired: &Unrepaired) -> String {
    let of = |one: &Attachment| format!("volume {} of instance {}", one.volume, one.instance);
    match unrepaired {
        Unrepaired::Hung => "its client does not answer".to_owned(),
        Unrepaired::Disconnected => "its client has lost its registries".to_owned(),
        Unrepaired::Foreign(source, fs_type) => format!("{source} of type {fs_type} is mounted there"),
        Unrepaired::NotOwner => "it is dead, and another user has to unmount it".to_owned(),
        Unrepaired::NotRecorded => reason(&StillMounted::NotRecorded),
        Unrepaired::Unknown(why) => reason(&StillMounted::Unknown(why.clone())),
        Unrepaired::NoGuest(one, export) => {
            let (instance, name) = (one.instance, &one.name);
            let drop =
                format!("nova-quobyte disconnect --instance {instance} --export {export} --name {name}");
            format!("no guest has {}; if none is to: {drop}", of(one))
        }
        Unrepaired::Lost(one) => format!("{} was open on a mount that died; restart the guest", of(one)),
        Unrepaired::StillMounted(still_mounted) => reason(still_mounted),
        Unrepaired::Failed(error) => with_causes(error),
    }
}
