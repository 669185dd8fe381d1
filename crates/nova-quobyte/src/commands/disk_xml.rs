//! `disk-xml`

use quobyte_volume::driver::ImageInspection;
use quobyte_volume::pure::connection::ConnectionInfo;
use quobyte_volume::pure::disk::{Bus, Disk, DiskTarget, TargetDev};
use quobyte_volume::pure::mount_path::MountPath;
use serde_json::json;

use crate::error::Error;
use crate::output::Answer;
use crate::settings::Settings;

pub(super) fn run(
    settings: Settings,
    info: &ConnectionInfo,
    target: &TargetDev,
    bus: Option<Bus>,
) -> Result<Answer, Error> {
    let device_path = MountPath::new(settings.mount_point_base(), &info.export).image(&info.name);
    let target = DiskTarget::new(target.clone(), bus)?;
    let facts = settings.hypervisor_facts();
    let ImageInspection { chain, decision, .. } = settings.driver()?.inspect_image(info, &facts)?;
    let xml = Disk::new(info, &device_path, &chain, &target, &decision.policy)?.to_xml();
    Ok(Answer::new(json!({ "xml": xml }), xml))
}
