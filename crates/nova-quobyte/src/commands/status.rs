//! `status`

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use quobyte_volume::driver::ShareStatus;
use serde_json::{Value, json};

use super::disconnect::attachment;
use crate::error::Error;
use crate::output::Answer;
use crate::settings::Settings;

pub(super) fn run(settings: Settings) -> Result<Answer, Error> {
    let (shares, unusable) = settings.driver()?.status()?;
    let unusable: Vec<_> = unusable.iter().map(|error| format!("{error} [{}]", error.code())).collect();
    let json = json!({
        "shares": shares.iter().map(describe).collect::<Vec<_>>(),
        "unusable_records": unusable,
    });
    let mut text = if shares.is_empty() { "nothing is connected\n".to_owned() } else { list(&shares) };
    for record in unusable {
        text.push_str(&format!("unusable record: {record}\n"));
    }
    Ok(Answer { json, text })
}

fn describe(share: &ShareStatus) -> Value {
    let attachments = share.record.attachments.iter().map(|one| {
        let mut described = attachment(one);
        described["lost"] = json!(share.is_lost(one));
        described
    });
    json!({
        "export": share.record.export.as_str(),
        "mount_path": share.record.mount_path.as_path(),
        "state": share.state.as_str(),
        "attachments": attachments.collect::<Vec<_>>(),
    })
}

/// A line per attachment; a share without one has a line of its own.
fn list(shares: &[ShareStatus]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["EXPORT", "MOUNT", "INSTANCE", "DISK", "FORMAT", "IMAGE"]);
    for share in shares {
        let (export, state) = (share.record.export.as_str(), share.state.as_str());
        if share.record.attachments.is_empty() {
            table.add_row([export, state, "-", "-", "-", "-"]);
        }
        for one in &share.record.attachments {
            let image = share.record.mount_path.image(&one.name).display().to_string();
            let disk = if share.is_lost(one) { "lost" } else { "ok" };
            table.add_row([export, state, &one.instance.to_string(), disk, one.format.as_str(), &image]);
        }
    }
    table.lines().map(|line| line.trim().to_owned() + "\n").collect()
}
