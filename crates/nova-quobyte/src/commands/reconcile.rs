//! `reconcile`

use quobyte_volume::attachments::Attachment;
use quobyte_volume::driver::{Finding, Kept, LeftAlone, Mended};
use quobyte_volume::error::with_causes;
use quobyte_volume::mount_path::MountPath;
use serde_json::{Value, json};

use super::disconnect::{attachment, reason};
use crate::error::Error;
use crate::output::Answer;
use crate::progress;
use crate::settings::Settings;

pub(super) fn run(settings: Settings, dry_run: bool) -> Result<Answer, Error> {
    let driver = settings.driver()?;
    let findings = progress::during("reconciling".to_owned(), || driver.reconcile(dry_run))?;
    let (mended, left): (Vec<_>, Vec<_>) =
        findings.iter().map(describe).partition(|told| matches!(told, Told { is_mended: true, .. }));
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

fn describe(finding: &Finding) -> Told {
    match finding {
        Finding::Mended(at, mended) => describe_mended(at, mended),
        Finding::LeftAlone(at, left) => describe_left(at, left),
        Finding::Swept(count) => Told {
            is_mended: true,
            json: json!({"what": "swept", "count": count}),
            text: format!("swept: {count} record(s) that were never finished or are of an earlier boot"),
        },
        Finding::Unusable(error) => Told {
            is_mended: false,
            json: json!({"what": "record_unusable", "code": error.code().as_str(), "detail": error.to_string()}),
            text: format!("left: {error}"),
        },
    }
}

fn describe_mended(at: &MountPath, mended: &Mended) -> Told {
    let (what, attachments, text) = match mended {
        Mended::Remounted(lost) => ("remounted", lost.as_slice(), {
            let guests: Vec<_> = lost.iter().map(|one| format!("instance {}", one.instance)).collect();
            format!("mounted again; files opened before are dead, so restart {}", guests.join(", "))
        }),
        Mended::TakenDown => ("taken_down", [].as_slice(), "unmounted, as nobody uses it".to_owned()),
        Mended::Adopted(attachments) => (
            "adopted",
            attachments.as_slice(),
            format!("now on record for {} attachment(s)", attachments.len()),
        ),
    };
    let attachments: Vec<_> = attachments.iter().map(attachment).collect();
    Told {
        is_mended: true,
        json: json!({"what": what, "mount_path": at.as_path(), "attachments": attachments}),
        text: format!("{at}: {text}"),
    }
}

fn describe_left(at: &MountPath, left: &LeftAlone) -> Told {
    let of = |one: &Attachment| format!("volume {} of instance {}", one.volume, one.instance);
    let (what, about, text) = match left {
        LeftAlone::Hung => ("hung", None, "its client does not answer".to_owned()),
        LeftAlone::Disconnected => ("disconnected", None, "its client has lost its registries".to_owned()),
        LeftAlone::Foreign(source, fs_type) => {
            ("foreign", None, format!("{source} of type {fs_type} is mounted there"))
        }
        LeftAlone::NotOwner => {
            ("not_owner", None, "it is dead, and another user has to unmount it".to_owned())
        }
        LeftAlone::NotRecorded => ("not_recorded", None, reason(&Kept::NotRecorded)),
        LeftAlone::Unknown(why) => ("unknown", None, reason(&Kept::Unknown(why.clone()))),
        LeftAlone::NoGuest(one) => {
            ("no_guest", Some(one), format!("no guest has {}; if none is to, disconnect it", of(one)))
        }
        LeftAlone::Lost(one) => {
            ("lost", Some(one), format!("{} was open on a mount that died; restart the guest", of(one)))
        }
        LeftAlone::Kept(kept) => (kept.as_str(), None, reason(kept)),
        LeftAlone::Failed(error) => ("failed", None, with_causes(error)),
    };
    let code = match left {
        LeftAlone::Failed(error) => Some(error.code().as_str()),
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
