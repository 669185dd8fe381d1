//! `reconcile`

use quobyte_volume::driver::{self, Finding, LostGuest, Repair, StillMounted, Unrepaired};
use quobyte_volume::error::{Code, with_causes};
use quobyte_volume::pure::record::Attachment;
use serde_json::{Value, json};

use super::present::{attachment_json, file_names, still_mounted_reason};
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

/// Reconciles unless another process is doing so in its turn; then that one does it once more.
pub(super) fn run_in_turn(settings: Settings) -> Result<Answer, Error> {
    let state = settings.state()?;
    let driver = settings.driver()?;
    state.do_in_turn::<driver::Error>(|| driver.reconcile(false).map(drop))?;
    Ok(Answer::none())
}

/// A finding as JSON.
fn finding_json(finding: &Finding) -> Value {
    let code = finding.code();
    let domains = || finding.lost_guests().iter().map(|guest| guest.name.as_str()).collect::<Vec<_>>();
    let attachments = || finding.attachments().iter().map(attachment_json).collect::<Vec<_>>();
    match finding {
        Finding::Repaired(at, _) => {
            json!({
                "what": code,
                "mount_path": at.as_path(),
                "attachments": attachments(),
                "domains": domains(),
            })
        }
        Finding::Unrepaired(at, unrepaired) => json!({
            "what": code,
            "mount_path": at.as_path(),
            "attachment": attachments().first(),
            "attachments": attachments(),
            "domains": domains(),
            "code": finding.error_code().map(Code::as_str),
            "detail": unrepaired_reason(unrepaired),
        }),
        Finding::Swept(count) => json!({"what": code, "count": count}),
        Finding::UnknownGuest(name, reason) => json!({"what": code, "domain": name, "detail": reason}),
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
                    let done = done_or_would("mounted again", "would mount again").to_owned();
                    let guests: Vec<_> = lost.iter().map(|guest| guest.name.as_str()).collect();
                    match guests[..] {
                        [] => done,
                        _ => {
                            format!(
                                "{done}; files opened before are dead, so stop and start {}",
                                guests.join(", ")
                            )
                        }
                    }
                }
                Repair::TakenDown => {
                    format!("{}, as nobody uses it", done_or_would("unmounted", "would unmount"))
                }
                Repair::Adopted(attachments) => {
                    let done = done_or_would("put on record", "would put on record");
                    format!("{done} what guests have: {}", list(attachments))
                }
                Repair::Moved(attachments) => {
                    let done = done_or_would("put on record", "would put on record");
                    format!("{done} that guests have moved: {}", list(attachments))
                }
                Repair::Released(attachments) => {
                    let done = done_or_would("took off the record", "would take off the record");
                    format!("{done} what guests have released: {}", list(attachments))
                }
                Repair::Restarted(attachments) => {
                    format!("not lost any more, as the guests have been stopped since: {}", list(attachments))
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
        Finding::UnknownGuest(name, reason) => format!("what domain {name} uses is not known: {reason}"),
    }
}

fn list(attachments: &[Attachment]) -> String {
    let of = |attachment: &Attachment| format!("{} of instance {}", attachment.name, attachment.instance);
    attachments.iter().map(of).collect::<Vec<_>>().join(", ")
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
        Unrepaired::Lost(LostGuest { name, attachments, .. }) => {
            format!(
                "{name} has files open on a mount that died ({}): stop and start it, or detach its volumes and attach them again",
                file_names(attachments)
            )
        }
        Unrepaired::Leaving(attachment) => {
            format!("{attachment} is disconnected, and its guest has yet to release {}", attachment.name)
        }
        Unrepaired::Rivals(pair) => {
            let (one, other) = &**pair;
            let (first, second) = (one.instance, other.instance);
            format!("instances {first} and {second} both use {}: stop one of them and detach it", one.name)
        }
        Unrepaired::NotAdopted(guest_use) => {
            let (guest, path) = (&guest_use.name, guest_use.path.display());
            format!("{guest} uses {path}, which keeps the volume mounted and is no image on record")
        }
        Unrepaired::StillMounted(still_mounted) => still_mounted_reason(still_mounted),
        Unrepaired::Failed(error) => with_causes(error),
    }
}
