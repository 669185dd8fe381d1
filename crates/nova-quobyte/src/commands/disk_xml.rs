//! `disk-xml`

use quobyte_volume::connection::ConnectionInfo;
use quobyte_volume::disk::{Bus, Disk, DiskTarget, TargetDev};
use quobyte_volume::io_policy::{Decision, HostFacts};
use quobyte_volume::mount_path::MountPath;
use serde_json::json;

use crate::error::Error;
use crate::output::Answer;
use crate::settings::Settings;

pub(super) fn run(
    settings: Settings,
    info: &ConnectionInfo,
    target: &TargetDev,
    bus: Bus,
) -> Result<Answer, Error> {
    let policy = Decision::make(info, &HostFacts::default().into(), settings.io())?.policy;
    let device_path = MountPath::new(settings.mount_point_base(), &info.export).image(&info.name);
    let target = DiskTarget { dev: target.clone(), bus, unit: None };
    let chain = settings.driver()?.chain(info)?;
    let xml = Disk::new(info, &device_path, &chain, &target, &policy)?.to_xml();
    Ok(Answer { json: json!({ "xml": xml }), text: xml })
}
