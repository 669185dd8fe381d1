//! `status`

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use quobyte_volume::driver::{ShareState, ShareStatus};
use quobyte_volume::mount::MountState;
use quobyte_volume::pure::guests::GuestUse;
use quobyte_volume::pure::record::Attachment;
use serde_json::{Value, json};

use super::present::attachment_json;
use crate::error::Error;
use crate::output::Answer;
use crate::settings::Settings;

/// The uses of the shares by guests, or the reason why they are not known.
type GuestUses = Result<Vec<GuestUse>, String>;

pub(super) fn run(settings: Settings) -> Result<Answer, Error> {
    let driver = settings.driver()?;
    let (shares, unusable) = driver.status()?;
    let uses = driver.guests(&shares).map_err(|error| error.to_string());
    let unusable: Vec<_> = unusable.iter().map(|error| format!("{error} [{}]", error.code())).collect();
    let json = json!({
        "shares": shares.iter().map(|share| share_json(share, &uses)).collect::<Vec<_>>(),
        "guests_unknown": uses.as_ref().err(),
        "unusable_records": unusable,
    });
    let mut text =
        if shares.is_empty() { "nothing is connected\n".to_owned() } else { share_table(&shares, &uses) };
    if let Err(reason) = &uses {
        text.push_str(&format!("which guests use them is not known: {reason}\n"));
    }
    for record in unusable {
        text.push_str(&format!("unusable record: {record}\n"));
    }
    Ok(Answer { json, text })
}

/// The guest's use of its attachment; `None` where there is none or it is not known.
fn find_guest_use<'a>(
    share: &ShareStatus,
    attachment: &Attachment,
    uses: &'a GuestUses,
) -> Option<&'a GuestUse> {
    let mut uses = uses.as_ref().ok()?.iter();
    uses.find(|guest| guest.disk.is_some() && guest.is_disk_of(attachment, &share.record.mount_path))
}

fn share_json(share: &ShareStatus, uses: &GuestUses) -> Value {
    let attachments = share.record.attachments.iter().map(|attachment| {
        let guest = find_guest_use(share, attachment, uses);
        let mut json = attachment_json(attachment);
        json["device_path"] = json!(share.record.mount_path.image(&attachment.name));
        json["domain"] = json!(guest.map(|guest| &guest.name));
        json["target"] = json!(guest.and_then(|guest| guest.disk.as_ref()).map(|disk| &disk.target));
        json["lost"] = json!(share.is_lost(attachment));
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
fn share_table(shares: &[ShareStatus], uses: &GuestUses) -> String {
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
            let guest = find_guest_use(share, attachment, uses);
            let domain = guest.map_or("-", |guest| &guest.name);
            let target = guest.and_then(|guest| guest.disk.as_ref()).map_or("-", |disk| &disk.target);
            let instance = attachment.instance.to_string();
            let disk = disk_state(share, attachment, uses);
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

/// The state of the guest's disk, as far as it is known.
fn disk_state(share: &ShareStatus, attachment: &Attachment, uses: &GuestUses) -> &'static str {
    match (&share.state, uses) {
        _ if share.is_lost(attachment) => "lost",
        (_, Ok(_)) if find_guest_use(share, attachment, uses).is_none() => "no_guest",
        (ShareState::Known(MountState::Healthy(_)), Ok(_)) => "ok",
        // The mount is not known to be healthy, or the guests' uses are not known.
        _ => "unknown",
    }
}
