//! `status`

mod table;

use quobyte_volume::driver::{DiskState, ShareState, ShareStatus, StatusReport};
use quobyte_volume::error::one_line;
use quobyte_volume::mount::MountState;
use quobyte_volume::pure::guests::GuestSurvey;
use serde_json::{Value, json};

use self::table::share_table;
use super::present::attachment_json;
use crate::error::Error;
use crate::output::{Answer, JSON_VERSION};
use crate::progress;
use crate::settings::Settings;
use crate::terminal::Terminal;

pub(super) fn run(settings: Settings, wide: bool, exit_code: bool) -> Result<Answer, Error> {
    let driver = settings.driver()?;
    let StatusReport { shares, unusable_records } =
        progress::with_spinner("asking the volumes' clients".to_owned(), || driver.status())?;
    let guests =
        progress::with_spinner("asking libvirt for the guests".to_owned(), || driver.guests(&shares));
    let survey = guests.as_ref().ok();
    let unknown: Vec<_> = survey
        .into_iter()
        .flat_map(|survey| &survey.guests)
        .filter_map(|guest| Some((&guest.name, &guest.unknown.as_ref()?.reason)))
        .collect();
    let unusable: Vec<_> =
        unusable_records.iter().map(|error| format!("{error} [{}]", error.code())).collect();
    let json = json!({
        "version": JSON_VERSION,
        "shares": shares.iter().map(|share| share_json(share, survey)).collect::<Vec<_>>(),
        "guests_unknown": guests.as_ref().err(),
        "unknown_guests": unknown
            .iter()
            .map(|(name, reason)| json!({"domain": name, "reason": reason}))
            .collect::<Vec<_>>(),
        "unusable_records": unusable,
    });
    let terminal = Terminal::of_output();
    let mut text = if shares.is_empty() {
        "nothing is connected\n".to_owned()
    } else {
        share_table(&shares, survey, wide, terminal)
    };
    let mut add = |line: String| text.push_str(&(one_line(&line) + "\n"));
    if let Err(reason) = &guests {
        add(format!("which guests use them is not known: {reason}"));
    }
    for (name, reason) in &unknown {
        add(format!("what domain {name} uses is not known: {reason}"));
    }
    for record in &unusable {
        add(format!("unusable record: {record}"));
    }
    let is_fine = guests.is_ok()
        && unknown.is_empty()
        && unusable.is_empty()
        && shares.iter().all(|share| is_fine(share, survey));
    Ok(Answer::styled(json, text).with_attention(exit_code && !is_fine))
}

/// Whether nobody has to do anything about a share. A disk that its guest is about to release takes care of itself.
fn is_fine(share: &ShareStatus, survey: Option<&GuestSurvey>) -> bool {
    let is_disk_fine =
        |attachment| matches!(share.disk_state(attachment, survey), DiskState::Ok | DiskState::Leaving);
    matches!(share.state, ShareState::Known(MountState::Healthy(_)))
        && share.record.attachments.iter().all(is_disk_fine)
}

fn share_json(share: &ShareStatus, survey: Option<&GuestSurvey>) -> Value {
    let attachments = share.record.attachments.iter().map(|attachment| {
        let guest = survey.and_then(|survey| survey.guest(attachment.instance));
        let guest_use = survey.and_then(|survey| share.guest_use(attachment, survey));
        let mut json = attachment_json(attachment);
        json["device_path"] = json!(share.record.mount_path.image(&attachment.name));
        json["domain"] = json!(guest.map(|guest| &guest.name));
        json["target"] = json!(guest_use.and_then(|found| found.target.as_ref()));
        json["lost"] = json!(share.is_lost(attachment, survey));
        json["leaving"] = json!(attachment.leaving.is_some());
        json["disk"] = json!(share.disk_state(attachment, survey).as_str());
        json
    });
    json!({
        "export": share.record.export.as_str(),
        "mount_path": share.record.mount_path.as_path(),
        "state": share.state.as_str(),
        "attachments": attachments.collect::<Vec<_>>(),
    })
}
