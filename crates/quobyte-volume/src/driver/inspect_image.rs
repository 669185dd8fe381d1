//! The image of a volume as it is now. Nothing is mounted, and nothing put on record.

use super::context::Context;
use super::error::Error;
use super::operation::ShareOperation;
use super::probe_direct_io::probe_direct_io;
use crate::mount::{MountError, MountState};
use crate::pure::connection::ConnectionInfo;
use crate::pure::image::{self, Layer};
use crate::pure::io_policy::{Decision, Facts, HypervisorFacts, Probe};
use crate::pure::record::Attachment;

/// An image as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageInspection {
    /// The image and everything below it.
    pub chain: Vec<Layer>,
    /// What is known of host and mount.
    pub facts: Facts,
    /// What follows for how QEMU is to read and write it.
    pub decision: Decision,
}

/// The image and everything below it: see [`Driver::chain`](super::Driver::chain).
pub(super) fn chain(context: &Context, info: &ConnectionInfo) -> Result<Vec<Layer>, Error> {
    context.config.volume_formats.check_name(&info.name, info.format)?;
    let at = context.mount_path(&info.export);
    let lock = context.lock(&at)?;
    let mut operation =
        ShareOperation::without_record(context, &lock, &at, &info.export).with_image(info.into());
    Ok(operation.mounted_image(info)?.chain)
}

/// The same, and the policy: see [`Driver::inspect_image`](super::Driver::inspect_image).
pub(super) fn inspect_image(
    context: &Context,
    info: &ConnectionInfo,
    facts: &HypervisorFacts,
) -> Result<ImageInspection, Error> {
    context.config.volume_formats.check_name(&info.name, info.format)?;
    let at = context.mount_path(&info.export);
    context.check_for_guest(info, &at, &at.resolved())?;
    let lock = context.lock(&at)?;
    let mut operation =
        ShareOperation::without_record(context, &lock, &at, &info.export).with_image(info.into());
    let MountedImage { chain, probe: known } = operation.mounted_image(info)?;
    let probe =
        known.map_or_else(|| probe_direct_io(context.host(), &at, &chain), |known| Ok(Some(known)))?;
    let facts = context.unprobed_facts(facts).of_image(probe, &chain);
    let decision = context.decide(info, &facts)?;
    Ok(ImageInspection { chain, facts, decision })
}

/// An image on a healthy mount.
struct MountedImage {
    chain: Vec<Layer>,
    /// What is on record of a probe of that mount.
    probe: Option<Probe>,
}

impl ShareOperation<'_> {
    fn mounted_image(&mut self, info: &ConnectionInfo) -> Result<MountedImage, Error> {
        let state = self.inspect()?;
        let at = self.record.mount_path.clone();
        match state {
            MountState::Absent => Err(Error::NotMounted { at }),
            MountState::Healthy(mount) => {
                let chain = self.verify_image(&mount)?;
                self.context.config.volume_formats.check_chain(&chain)?;
                let record = self.lock.peek()?;
                let attachments = record.iter().flat_map(|record| &record.attachments);
                let is_of_volume =
                    |other: &&Attachment| other.has_volume(info.volume_id) || other.name == info.name;
                for connected in attachments.filter(is_of_volume) {
                    image::check_not_swapped(&at, &connected.chain, &chain)?;
                }
                let record = record.filter(|record| record.is_for_mount(&mount));
                Ok(MountedImage { chain, probe: record.and_then(|record| record.probe) })
            }
            MountState::Dead(_) | MountState::Disconnected(_) => {
                let remedy = "connect the volume, or reconcile".to_owned();
                Err(MountError::Stale { at, export: info.export.clone(), remedy }.into())
            }
            state @ (MountState::Hung(_) | MountState::WrongVolume(_) | MountState::Foreign(_)) => {
                Err(self.unusable(state).into())
            }
        }
    }
}
