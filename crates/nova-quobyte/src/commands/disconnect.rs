//! `disconnect`

use quobyte_volume::driver::{Described, DisconnectRequest, Force};
use quobyte_volume::pure::connection::VolumeReference;

use super::guest_names::GuestNames;
use super::input::find_instance;
use super::present::{disconnect_json, summary};
use crate::error::Error;
use crate::output::Answer;
use crate::progress;
use crate::settings::Settings;

pub(super) fn run(
    settings: Settings,
    target: &VolumeReference,
    guest: &str,
    force: u8,
) -> Result<Answer, Error> {
    let force = match force {
        0 => Force::No,
        1 => Force::IfAlone,
        _ => Force::Always,
    };
    let instance = find_instance(&settings, guest)?;
    let for_people = settings.for_people();
    let driver = settings.driver()?;
    let VolumeReference { export, name, volume_id } = target;
    let at = driver.mount_path(export);
    let request = DisconnectRequest {
        at: &at,
        export: Some(export),
        name,
        volume: Some(*volume_id),
        instance,
        described: Described::OutOfDate,
        force,
    };
    let disconnected =
        progress::with_spinner(format!("disconnecting {export}"), || driver.disconnect(&request))?;
    let names = if for_people { GuestNames::of_users(&driver, &disconnected) } else { GuestNames::default() };
    Ok(Answer::new(disconnect_json(&disconnected), summary(&disconnected, &names)))
}
