//! Shares and the disks on them as a person reads them: a line for each share, and below it one for each disk.

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Row, Table};
use quobyte_volume::driver::{DiskState, ShareState, ShareStatus};
use quobyte_volume::error::one_line;
use quobyte_volume::mount::MountState;
use quobyte_volume::pure::guests::GuestSurvey;
use quobyte_volume::pure::record::Attachment;

use crate::terminal::{Colour, Terminal};

/// In fewer columns nothing would be left of the cells: there the terminal wraps lines.
const MIN_WIDTH: u16 = 60;

/// Every share with its disks. On a terminal no line is longer than its width, unless all is asked for as `wide`.
pub(super) fn share_table(
    shares: &[ShareStatus],
    survey: Option<&GuestSurvey>,
    wide: bool,
    terminal: Terminal,
) -> String {
    let width = terminal.width.filter(|_| !wide).map(|width| width.max(MIN_WIDTH));
    let disks: Vec<_> = shares
        .iter()
        .flat_map(|share| share.record.attachments.iter().map(move |attachment| (share, attachment)))
        .collect();
    let mut lines = disk_lines(&disks, survey, wide, width).into_iter();
    let header = lines.next().filter(|_| !disks.is_empty());
    let mut text = header.map_or_else(String::new, |header| header + "\n");
    for share in shares {
        text.push_str(&(share_line(share, wide, width, terminal) + "\n"));
        for attachment in &share.record.attachments {
            let (line, state) = (lines.next().unwrap_or_default(), share.disk_state(attachment, survey));
            // The state is the last word of the line.
            let others = line.strip_suffix(state.as_str()).unwrap_or_default();
            text.push_str(&format!("{others}{}\n", terminal.paint(state.as_str(), disk_colour(state))));
        }
    }
    text
}

fn share_line(share: &ShareStatus, wide: bool, width: Option<u16>, terminal: Terminal) -> String {
    let state = share.state.as_str();
    let mut export = one_line(share.record.export.as_str());
    let room = width.map(|width| usize::from(width).saturating_sub(state.len() + 2));
    if let Some(room) = room.filter(|room| export.chars().count() > *room) {
        export = export.chars().take(room.saturating_sub(1)).chain(['…']).collect();
    }
    let line = format!("{export}  {}", terminal.paint(state, share_colour(&share.state)));
    if wide { format!("{line}  {}", one_line(&share.record.mount_path.to_string())) } else { line }
}

/// A header, and the line of each disk, which ends with the disk's state.
fn disk_lines(
    disks: &[(&ShareStatus, &Attachment)],
    survey: Option<&GuestSurvey>,
    wide: bool,
    width: Option<u16>,
) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(NOTHING).set_truncation_indicator("…");
    match width {
        Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width - 2),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    let mut header = vec!["GUEST", "TARGET", "IMAGE", "FORMAT", "DISK"];
    if wide {
        header.insert(1, "INSTANCE");
    }
    table.set_header(header);
    for (share, attachment) in disks {
        let guest = survey.and_then(|survey| survey.guest(attachment.instance));
        let guest_use = survey.and_then(|survey| share.guest_use(attachment, survey));
        let instance = attachment.instance.to_string();
        let name = guest.map(|guest| one_line(&guest.name));
        let target = one_line(guest_use.and_then(|found| found.target.as_deref()).unwrap_or("-"));
        let image = if wide {
            share.record.mount_path.image(&attachment.name).display().to_string()
        } else {
            attachment.name.to_string()
        };
        let state = share.disk_state(attachment, survey).as_str().to_owned();
        let mut cells = vec![target, one_line(&image), attachment.format.to_string(), state];
        if wide {
            cells.splice(0..0, [name.unwrap_or_else(|| "-".to_owned()), instance]);
        } else {
            cells.insert(0, name.unwrap_or(instance));
        }
        let mut row = Row::from(cells);
        // Of what does not fit there is one line.
        row.max_height(1);
        table.add_row(row);
    }
    table.lines().map(|line| format!("  {}", line.trim())).collect()
}

fn share_colour(state: &ShareState) -> Colour {
    match state {
        ShareState::Known(MountState::Healthy(_)) => Colour::Good,
        ShareState::Known(MountState::Disconnected(_)) | ShareState::Unknown(_) => Colour::Doubtful,
        ShareState::Known(_) => Colour::Bad,
    }
}

fn disk_colour(state: DiskState) -> Colour {
    match state {
        DiskState::Ok => Colour::Good,
        DiskState::Leaving | DiskState::NoGuest | DiskState::Unknown => Colour::Doubtful,
        DiskState::Lost => Colour::Bad,
    }
}
