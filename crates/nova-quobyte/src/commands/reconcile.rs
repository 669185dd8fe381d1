//! `reconcile`

use quobyte_volume::driver::{self, Driver, Finding, LostGuest, Repair, StillMounted, Unrepaired};
use quobyte_volume::error::{Code, with_causes};
use quobyte_volume::pure::mount_path::MountPath;
use quobyte_volume::pure::record::Attachment;
use serde_json::{Value, json};

use super::guest_names::GuestNames;
use super::present::{attachment_json, file_names, still_mounted_reason};
use crate::error::Error;
use crate::output::{Answer, JSON_VERSION};
use crate::progress;
use crate::settings::Settings;

pub(super) fn run(settings: Settings, dry_run: bool, exit_code: bool) -> Result<Answer, Error> {
    let for_people = settings.for_people();
    let driver = settings.driver()?;
    let findings = progress::with_spinner("reconciling".to_owned(), || driver.reconcile(dry_run))?;
    let (repaired, unrepaired): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| finding.is_repaired());
    let json = json!({
        "version": JSON_VERSION,
        "dry_run": dry_run,
        "mended": repaired.iter().map(|finding| finding_json(finding)).collect::<Vec<_>>(),
        "left": unrepaired.iter().map(|finding| finding_json(finding)).collect::<Vec<_>>(),
    });
    let names = if for_people { guest_names(&driver, &findings) } else { GuestNames::default() };
    let is_lost = |finding: &&&Finding| matches!(finding, Finding::Unrepaired(_, Unrepaired::Lost(_)));
    let lines = repaired.iter().chain(unrepaired.iter().filter(|finding| !is_lost(finding)));
    let lines = lines.map(|finding| finding_text(finding, dry_run, &names));
    let mut text: String = lines.chain(lost_guests(&findings)).map(|line| line + "\n").collect();
    if findings.is_empty() {
        text.push_str("records, mounts and guests agree\n");
    }
    let needs_attention = if dry_run { !findings.is_empty() } else { findings.iter().any(needs_attention) };
    Ok(Answer::new(json, text).with_attention(exit_code && needs_attention))
}

/// Whether somebody has to do something about what was found, after all that could be repaired was.
fn needs_attention(finding: &Finding) -> bool {
    match finding {
        Finding::Repaired(_, Repair::Remounted(lost)) => !lost.is_empty(),
        Finding::Unrepaired(_, Unrepaired::Leaving(_)) => false,
        finding => !finding.is_repaired(),
    }
}

/// Who has lost files, in one line for each mount that died.
fn lost_guests(findings: &[Finding]) -> Vec<String> {
    let mut shares: Vec<(&MountPath, Vec<String>)> = Vec::new();
    for finding in findings {
        let Finding::Unrepaired(at, Unrepaired::Lost(LostGuest { name, attachments, .. })) = finding else {
            continue;
        };
        let guest = format!("{name} ({})", file_names(attachments));
        match shares.iter_mut().find(|(share, _)| *share == at) {
            Some((_, guests)) => guests.push(guest),
            None => shares.push((at, vec![guest])),
        }
    }
    let line = |(at, guests): (&MountPath, Vec<String>)| {
        format!(
            "{at}: left alone: files on a mount that died are open in {}: stop and start each guest, or detach its volumes \
             and attach them again",
            guests.join(", ")
        )
    };
    shares.into_iter().map(line).collect()
}

/// The names of the guests that findings are about.
fn guest_names(driver: &Driver, findings: &[Finding]) -> GuestNames {
    let share = |finding: &Finding| match finding {
        // Nobody has what no guest has.
        Finding::Unrepaired(_, Unrepaired::NoGuest(..)) => None,
        Finding::Repaired(at, _) | Finding::Unrepaired(at, _) => Some(at.clone()),
        Finding::Swept(_) | Finding::UnknownGuest(..) | Finding::UnusableRecord(_) => None,
    };
    GuestNames::at(driver, &findings.iter().filter_map(share).collect::<Vec<_>>())
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
            "detail": unrepaired_reason(at, unrepaired, &GuestNames::default()),
        }),
        Finding::Swept(count) => json!({"what": code, "count": count}),
        Finding::UnknownGuest(name, reason) => json!({"what": code, "domain": name, "detail": reason}),
        Finding::UnusableRecord(error) => {
            json!({"what": code, "code": error.code().as_str(), "detail": error.to_string()})
        }
    }
}

/// A finding as a line of text.
fn finding_text(finding: &Finding, dry_run: bool, names: &GuestNames) -> String {
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
                    format!("{done} what guests have: {}", list(at, attachments, names))
                }
                Repair::Moved(attachments) => {
                    let done = done_or_would("put on record", "would put on record");
                    format!("{done} that guests have moved: {}", list(at, attachments, names))
                }
                Repair::Released(attachments) => {
                    let done = done_or_would("took off the record", "would take off the record");
                    format!("{done} what guests have released: {}", list(at, attachments, names))
                }
                Repair::Restarted(attachments) => {
                    format!(
                        "not lost any more, as the guests have been stopped since: {}",
                        list(at, attachments, names)
                    )
                }
            };
            format!("{at}: {text}")
        }
        Finding::Unrepaired(at, unrepaired) => {
            format!("{at}: left alone: {}", unrepaired_reason(at, unrepaired, names))
        }
        Finding::Swept(count) => {
            let done = done_or_would("swept", "would sweep");
            format!("{done}: {count} record(s) that were never finished or are of an earlier boot")
        }
        Finding::UnusableRecord(error) => format!("left: {error}"),
        Finding::UnknownGuest(name, reason) => format!("what domain {name} uses is not known: {reason}"),
    }
}

fn list(at: &MountPath, attachments: &[Attachment], names: &GuestNames) -> String {
    let of = |attachment: &Attachment| format!("{} of {}", attachment.name, names.one(at, attachment));
    attachments.iter().map(of).collect::<Vec<_>>().join(", ")
}

/// Why a share was not repaired, as a sentence.
fn unrepaired_reason(at: &MountPath, unrepaired: &Unrepaired, names: &GuestNames) -> String {
    match unrepaired {
        Unrepaired::Hung => "its client does not answer".to_owned(),
        Unrepaired::Disconnected => "its client has lost its registries".to_owned(),
        Unrepaired::Foreign(source, fs_type) => format!("{source} of type {fs_type} is mounted there"),
        Unrepaired::NotOwner => "it is dead, and another user has to unmount it".to_owned(),
        Unrepaired::NotRecorded => still_mounted_reason(&StillMounted::NotRecorded, at, names),
        Unrepaired::Unknown(why) => still_mounted_reason(&StillMounted::Unknown(why.clone()), at, names),
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
            let guest = names.one(at, attachment);
            format!("{} is disconnected, and {guest} has yet to release it", attachment.name)
        }
        Unrepaired::Rivals(pair) => {
            let (one, other) = &**pair;
            let (first, second) = (names.one(at, one), names.one(at, other));
            format!("{first} and {second} both use {}: stop one of them and detach it", one.name)
        }
        Unrepaired::NotAdopted(guest_use) => {
            let (guest, path) = (&guest_use.name, guest_use.path.display());
            format!("{guest} uses {path}, which keeps the volume mounted and is no image on record")
        }
        Unrepaired::StillMounted(still_mounted) => still_mounted_reason(still_mounted, at, names),
        Unrepaired::Failed(error) => with_causes(error),
    }
}
