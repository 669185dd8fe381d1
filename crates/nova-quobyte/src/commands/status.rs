//! `status`

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use quobyte_volume::driver::{ShareStatus, StatusReport};
use quobyte_volume::pure::guests::GuestSurvey;
use serde_json::{Value, json};

use super::present::attachment_json;
use crate::error::Error;
use crate::output::Answer;
use crate::settings::Settings;

pub(super) fn run(settings: Settings) -> Result<Answer, Error> {
    let driver = settings.driver()?;
    let StatusReport { shares, unusable_records } = driver.status()?;
    let guests = driver.guests(&shares);
    let survey = guests.as_ref().ok();
    let unknown: Vec<_> = survey
        .into_iter()
        .flat_map(|survey| &survey.guests)
        .filter_map(|guest| Some((&guest.name, &guest.unknown.as_ref()?.reason)))
        .collect();
    let unusable: Vec<_> =
        unusable_records.iter().map(|error| format!("{error} [{}]", error.code())).collect();
    let json = json!({
        "shares": shares.iter().map(|share| share_json(share, survey)).collect::<Vec<_>>(),
        "guests_unknown": guests.as_ref().err(),
        "unknown_guests": unknown
            .iter()
            .map(|(name, reason)| json!({"domain": name, "reason": reason}))
            .collect::<Vec<_>>(),
        "unusable_records": unusable,
    });
    let mut text =
        if shares.is_empty() { "nothing is connected\n".to_owned() } else { share_table(&shares, survey) };
    if let Err(reason) = &guests {
        text.push_str(&format!("which guests use them is not known: {reason}\n"));
    }
    for (name, reason) in unknown {
        text.push_str(&format!("what domain {name} uses is not known: {reason}\n"));
    }
    for record in unusable {
        text.push_str(&format!("unusable record: {record}\n"));
    }
    Ok(Answer { json, text })
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

/// A line per attachment; a share without attachment has a line of its own.
fn share_table(shares: &[ShareStatus], survey: Option<&GuestSurvey>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["EXPORT", "MOUNT", "INSTANCE", "DOMAIN", "TARGET", "DISK", "FORMAT", "IMAGE"]);
    for share in shares {
        let (export, state) = (share.record.export.as_str(), share.state.as_str());
        if share.record.attachments.is_empty() {
            table.add_row([export, state, "-", "-", "-", "-", "-", "-"]);
        }
        for attachment in &share.record.attachments {
            let image = share.record.mount_path.image(&attachment.name).display().to_string();
            let guest = survey.and_then(|survey| survey.guest(attachment.instance));
            let guest_use = survey.and_then(|survey| share.guest_use(attachment, survey));
            let domain = guest.map_or("-", |guest| &guest.name);
            let target = guest_use.and_then(|found| found.target.as_deref()).unwrap_or("-");
            let instance = attachment.instance.to_string();
            let disk = share.disk_state(attachment, survey).as_str();
            table.add_row([
                export,
                state,
                &instance,
                domain,
                target,
                disk,
                attachment.format.as_str(),
                &image,
            ]);
        }
    }
    table.lines().map(|line| line.trim().to_owned() + "\n").collect()
}
