//! connect: a healthy mount, an image that may be given to a guest, and a record of the attachment.

use std::path::PathBuf;

use super::bring_up::Begun;
use super::judge::judge;
use super::{Driver, Error};
use crate::host::records::LockedShare;
use crate::mount::Asked;
use crate::pure::connection::{ConnectionInfo, InstanceId};
use crate::pure::image::Layer;
use crate::pure::io_policy::{Decision, Facts, HostFacts, IoPolicy};
use crate::pure::mount_path::MountPath;
use crate::pure::mounts::Mount;
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
    /// UnmountMode QEMU is to read and write it.
    pub policy: IoPolicy,
    /// Whether this call mounted the share.
    pub mounted: bool,
    /// Whether the guest had no attachment of the volume before.
    pub attached: bool,
    /// Whether this call changed anything; `false` when the volume was connected just so already.
    pub changed: bool,
    /// Attachments whose files were opened on a mount that is gone: each of those guests has to be restarted, or its
    /// volume detached and attached again. The attachment itself is among them only after [`Driver::connect_open`].
    pub lost: Vec<Attachment>,
}

impl Driver {
    /// Connects a volume for a guest: afterwards its share is mounted and answers, the image is a regular file on it,
    /// and a record keeps the share mounted until the guest's last volume on it is disconnected. A mount whose client
    /// has died is replaced. Connecting what is connected changes nothing.
    ///
    /// # Errors
    /// The first thing that is not as it should be, [`Error::Held`] where another guest has the volume and it is not
    /// multiattach. Nothing this call made is left: no mount, directory or record,
    /// and no process but a helper that is ending.
    pub fn connect(
        &self,
        info: &ConnectionInfo,
        instance: InstanceId,
        facts: &HostFacts,
    ) -> Result<Connected, Error> {
        self.connect_guest(info, instance, facts, false)
    }

    /// The same for a guest that has the image open already: it goes on with the files it has, so an attachment on
    /// record stays one of the mount that it was made on.
    ///
    /// # Errors
    /// Those of [`Driver::connect`].
    pub fn connect_open(
        &self,
        info: &ConnectionInfo,
        instance: InstanceId,
        facts: &HostFacts,
    ) -> Result<Connected, Error> {
        self.connect_guest(info, instance, facts, true)
    }

    fn connect_guest(
        &self,
        info: &ConnectionInfo,
        instance: InstanceId,
        facts: &HostFacts,
        is_open: bool,
    ) -> Result<Connected, Error> {
        // What nothing could change that is yet to be found out is refused before anything is begun.
        self.decide(info, &Facts::from(*facts))?;
        let at = self.mount_path(&info.export);
        let share = self.lock(&at)?;
        // Answered while all else is found out.
        let image = Some((&info.name, info.format));
        let asked = Asked::at_once(self.host.as_ref(), &at, &info.export, image);
        let before = share.load()?;
        if let Some(holder) = before.as_ref().and_then(|before| rival(before, info, instance)) {
            return Err(Error::Held { export: info.export.clone(), holder: Box::new(holder.clone()) });
        }
        let mut begun = Begun::default();
        match self.establish(&share, (info, instance, is_open), facts, before.as_ref(), asked, &mut begun) {
            Ok((record, mount, chain, decision)) => Ok(Connected {
                device_path: at.image(&info.name),
                mount_path: at,
                mount,
                chain,
                policy: decision.policy,
                mounted: begun.client.is_some(),
                attached: !before.iter().any(|before| before.has(instance, info.volume_id)),
                changed: before.as_ref() != Some(&record),
                lost: record.lost(),
            }),
            Err(cause) => Err(cause.leaving(self.undo(&share, &at, before.as_ref(), &begun))),
        }
    }

    /// Returns the share's record as it is now, its mount, the image's layers, and the policy.
    fn establish(
        &self,
        share: &LockedShare,
        (info, instance, is_open): (&ConnectionInfo, InstanceId, bool),
        facts: &HostFacts,
        before: Option<&ShareRecord>,
        asked: Option<Asked<'_>>,
        begun: &mut Begun,
    ) -> Result<(ShareRecord, Mount, Vec<Layer>, Decision), Error> {
        let mut record = match before {
            Some(record) => record.clone(),
            None => ShareRecord::new(info.export.clone(), self.mount_path(&info.export))?,
        };
        let image = (&info.name, info.format);
        let facts = self.unprobed(facts);
        let (mount, seen) = self.bring_up(share, &mut record, Some(image), asked, begun)?;
        let chain = judge(image, seen, &mount, &record.mount_path)?;
        let decision = self.decide_on_record(info, &facts, &chain, &mut record)?;
        let recorded = record.attachments.iter().find(|one| one.is(instance, info.volume_id));
        let generation = match recorded {
            Some(attachment) if is_open => attachment.generation,
            // Whatever it has open is on a mount that is gone.
            None if is_open && begun.client.is_some() => 0,
            _ => record.generation,
        };
        record.attach(Attachment {
            instance,
            volume: info.volume_id,
            name: info.name.clone(),
            format: info.format,
            chain: chain.clone(),
            generation,
        });
        if before != Some(&record) {
            begun.record_written = true;
            share.store(&record)?;
        }
        Ok((record, mount, chain, decision))
    }
}

/// Who else has a volume that is not said to be for several guests. One that has it already keeps it: it may have been
/// given it by another driver, and has to be able to connect anew.
fn rival<'a>(record: &'a ShareRecord, info: &ConnectionInfo, instance: InstanceId) -> Option<&'a Attachment> {
    if info.multiattach || record.has(instance, info.volume_id) {
        return None;
    }
    record.attachments.iter().find(|other| other.volume == info.volume_id)
}
