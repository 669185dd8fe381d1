//! `reconcile`

use quobyte_volume::driver::{Finding, Repair, StillMounted, Unrepaired};
use quobyte_volume::error::with_causes;
use quobyte_volume::pure::mount_path::MountPath;
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
    let (mended, left): (Vec<_>, Vec<_>) = findings
        .iter()
        .map(|finding| describe(finding, dry_run))
        .partition(|told| matches!(told, Told { is_mended: true, .. }));
    let json = |told: &[Told]| told.iter().map(|told| told.json.clone()).collect::<Vec<_>>();
    let mut text: String = mended.iter().chain(&left).map(|told| told.text.clone() + "\n").collect();
    if findings.is_empty() {
        text.push_str("records, mounts and guests agree\n");
    }
    Ok(Answer { json: json!({"dry_run": dry_run, "mended": json(&mended), "left": json(&left)}), text })
}

/// A finding, for scripts and for people.
struct Told {
    is_mended: bool,
    json: Value,
    text: String,
}

fn describe(finding: &Finding, dry_run: bool) -> Told {
    match finding {
        Finding::Repaired(at, mended) => describe_mended(at, mended, dry_run),
        Finding::Unrepaired(at, left) => describe_left(at, left),
        Finding::Swept(count) => Told {
            is_mended: true,
            json: json!({"what": "swept", "count": count}),
            text: format!(
                "{}: {count} record(s) that were never finished or are of an earlier boot",
                if dry_run { "would sweep" } else { "swept" }
            ),
        },
        Finding::UnusableRecord(error) => Told {
            is_mended: false,
            json: json!({"what": "record_unusable", "code": error.code().as_str(), "detail": error.to_string()}),
            text: format!("left: {error}"),
        },
    }
}

fn describe_mended(at: &MountPath, mended: &Repair, dry_run: bool) -> Told {
    let tense = |done: &'static str, would: &'static str| if dry_run { would } else { done };
    let (what, attachments, text) = match mended {
        Repair::Remounted(lost) => ("remounted", lost.as_slice(), {
            let guests: Vec<_> = lost.iter().map(|one| format!("instance {}", one.instance)).collect();
            let done = tense("mounted again", "would mount again");
            format!("{done}; files opened before are dead, so restart {}", guests.join(", "))
        }),
        Repair::TakenDown => {
            let done = tense("unmounted", "would unmount");
            ("taken_down", [].as_slice(), format!("{done}, as nobody uses it"))
        }
        Repair::Adopted(attachments) => (
            "adopted",
            attachments.as_slice(),
            format!(
                "{} for {} attachment(s)",
                tense("now on record", "would put on record"),
                attachments.len()
            ),
        ),
    };
    let attachments: Vec<_> = attachments.iter().map(attachment).collect();
    Told {
        is_mended: true,
        json: json!({"what": what, "mount_path": at.as_path(), "attachments": attachments}),
        text: format!("{at}: {text}"),
    }
}

fn describe_left(at: &MountPath, left: &Unrepaired) -> Told {
    let of = |one: &Attachment| format!("volume {} of instance {}", one.volume, one.instance);
    let (what, about, text) = match left {
        Unrepaired::Hung => ("hung", None, "its client does not answer".to_owned()),
        Unrepaired::Disconnected => ("disconnected", None, "its client has lost its registries".to_owned()),
        Unrepaired::Foreign(source, fs_type) => {
            ("foreign", None, format!("{source} of type {fs_type} is mounted there"))
        }
        Unrepaired::NotOwner => {
            ("not_owner", None, "it is dead, and another user has to unmount it".to_owned())
        }
        Unrepaired::NotRecorded => ("not_recorded", None, reason(&StillMounted::NotRecorded)),
        Unrepaired::Unknown(why) => ("unknown", None, reason(&StillMounted::Unknown(why.clone()))),
        Unrepaired::NoGuest(one, export) => ("no_guest", Some(one), {
            let image = one.name.as_str();
            let drop = format!(
                "nova-quobyte disconnect --instance {} --export {export} --name {image}",
                one.instance
            );
            format!("no guest has {}; if none is to: {drop}", of(one))
        }),
        Unrepaired::Lost(one) => {
            ("lost", Some(one), format!("{} was open on a mount that died; restart the guest", of(one)))
        }
        Unrepaired::StillMounted(why) => (why.as_str(), None, reason(why)),
        Unrepaired::Failed(error) => ("failed", None, with_causes(error)),
    };
    let code = match left {
        Unrepaired::Failed(error) => Some(error.code().as_str()),
        _ => None,
    };
    Told {
        is_mended: false,
        json: json!({
            "what": what,
            "mount_path": at.as_path(),
            "attachment": about.map(attachment),
            "code": code,
            "detail": text,
        }),
        text: format!("{at}: left alone: {text}"),
    }
}
