//! connect: a healthy mount, an image that may be given to a guest, and a record of the attachment.

use std::path::PathBuf;

use super::context::Context;
use super::error::Error;
use super::operation::ShareOperation;
use crate::mount::Inquiry;
use crate::pure::connection::{ConnectionInfo, InstanceId};
use crate::pure::image::Layer;
use crate::pure::io_policy::{Decision, Facts, HypervisorFacts, IoPolicy};
use crate::pure::kernel_mount::Mount;
use crate::pure::mount_path::MountPath;
use crate::pure::record::{Attachment, ShareRecord};

/// A connected volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// Where the share is mounted.
    pub mount_path: MountPath,
    /// The share's mount.
    pub mount: Mount,
    /// The image on it.
    pub device_path: PathBuf,
    /// The image and everything below it, as they were looked at.
    pub chain: Vec<Layer>,
    /// How QEMU is to read and write it.
    pub policy: IoPolicy,
    /// Whether this call mounted the share.
    pub mounted: bool,
    /// Whether the guest had no attachment of the volume before.
    pub attached: bool,
    /// Whether this call changed anything; `false` when the volume was connected just so already.
    pub changed: bool,
    /// Attachments whose files were opened on a mount that is gone: each of those guests has to be restarted, or its
    /// volume detached and attached again. The attachment itself is among them only after [`Driver::connect_running`](super::Driver::connect_running).
    pub lost: Vec<Attachment>,
}

/// What is to be connected for whom.
pub(super) struct ConnectRequest<'a> {
    pub(super) info: &'a ConnectionInfo,
    pub(super) instance: InstanceId,
    /// Whether the guest has the image open already.
    pub(super) has_image_open: bool,
    pub(super) facts: &'a HypervisorFacts,
}

/// Connects a volume: see [`Driver::connect`](super::Driver::connect).
pub(super) fn connect(context: &Context, request: &ConnectRequest<'_>) -> Result<Connected, Error> {
    let ConnectRequest { info, instance, .. } = *request;
    // What no later finding could allow is refused before anything is begun.
    Decision::check_before_mount(info, request.facts, &context.config.io)?;
    let at = context.mount_path(&info.export);
    let lock = context.lock(&at)?;
    // The client answers while everything else is found out.
    let early_inquiry = Inquiry::start_fast(context.host(), &at, &info.export, Some(info.into()));
    let before = lock.load()?;
    if let Some(holder) = before.as_ref().and_then(|before| conflicting_attachment(before, info, instance)) {
        return Err(Error::InUse { export: info.export.clone(), holder: Box::new(holder.clone()) });
    }
    let record = match &before {
        Some(record) => record.clone(),
        None => ShareRecord::new(info.export.clone(), at.clone())?,
    };
    let mut operation = ShareOperation::new(context, &lock, before, record).with_image(info.into());
    match operation.connect(request, early_inquiry) {
        Ok(ConnectedImage { mount, chain, policy }) => Ok(Connected {
            device_path: at.image(&info.name),
            mount_path: at.clone(),
            mount,
            chain,
            policy,
            mounted: operation.rollback.client.is_some(),
            attached: !operation.before.iter().any(|before| before.has_attachment(instance, info.volume_id)),
            changed: operation.before.as_ref() != Some(&operation.record),
            lost: operation.record.lost(),
        }),
        Err(cause) => Err(operation.roll_back(&at, cause)),
    }
}

/// An image on its share's mount, and how QEMU is to read and write it.
struct ConnectedImage {
    mount: Mount,
    chain: Vec<Layer>,
    policy: IoPolicy,
}

impl ShareOperation<'_> {
    /// Makes sure of the mount and of the image, decides the policy, and puts the attachment on record.
    fn connect(
        &mut self,
        request: &ConnectRequest<'_>,
        early_inquiry: Option<Inquiry<'_>>,
    ) -> Result<ConnectedImage, Error> {
        let facts = self.context.unprobed_facts(request.facts);
        let mount = self.ensure_mounted(early_inquiry)?;
        let chain = self.verify_image(&mount)?;
        let probe = self.probe_once(&chain)?;
        let policy = self.decide_policy(request.info, &Facts { probe, ..facts })?;
        self.record.attach(self.attachment(request, &chain));
        if self.before.as_ref() != Some(&self.record) {
            self.rollback.record_written = true;
            self.store()?;
        }
        Ok(ConnectedImage { mount, chain, policy })
    }

    fn attachment(&self, request: &ConnectRequest<'_>, chain: &[Layer]) -> Attachment {
        let ConnectRequest { info, instance, .. } = *request;
        let recorded = self.record.attachments.iter().find(|one| one.matches(instance, info.volume_id));
        let generation = match recorded {
            Some(attachment) if request.has_image_open => attachment.generation,
            // Whatever it has open is on a mount that is gone.
            None if request.has_image_open && self.rollback.client.is_some() => 0,
            _ => self.record.generation,
        };
        Attachment {
            instance,
            volume: info.volume_id,
            name: info.name.clone(),
            format: info.format,
            chain: chain.to_vec(),
            generation,
        }
    }
}

/// The attachment of another guest to a volume that is not multiattach. A guest that has the volume already keeps it: it
/// may have been given it by another driver, and has to be able to connect again.
fn conflicting_attachment<'a>(
    record: &'a ShareRecord,
    info: &ConnectionInfo,
    instance: InstanceId,
) -> Option<&'a Attachment> {
    if info.multiattach || record.has_attachment(instance, info.volume_id) {
        return None;
    }
    record.attachments.iter().find(|other| other.volume == info.volume_id)
}
