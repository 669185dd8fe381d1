//! Rivals: two disks that must not be in use at the same time, found by file.

use std::path::Path;

use super::{Attachment, FileQuery, ShareRecord};
use crate::pure::connection::{ImageFormat, InstanceId};
use crate::pure::guests::GuestUse;
use crate::pure::image::{Identity, Layer};
use crate::pure::mount_path::MountPath;

/// A file that a guest is to write to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim<'a> {
    pub(crate) instance: InstanceId,
    /// What finds the guest's own attachment of the file, which is no rival. Its layers are those of the claim.
    pub(crate) query: FileQuery<'a>,
    pub(crate) format: ImageFormat,
    /// Whether the file may be given to several guests.
    pub(crate) shareable: bool,
}

/// Why a claim cannot be granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rival {
    /// This attachment writes to the file, or to a file below it, or reads from it.
    Holder(Attachment),
    /// This use, which is on no record, does.
    Guest(GuestUse),
    /// A layer of the claim is on record in another format, for this attachment.
    OtherFormat { holder: Attachment, file: String, recorded: ImageFormat },
}

impl Rival {
    /// Whether it may have released the file since it was put on record: somebody has disconnected it, or nobody has
    /// connected it, or its disk is being taken out.
    pub(crate) fn may_be_gone(&self, record: &ShareRecord) -> bool {
        match self {
            Self::Holder(holder) | Self::OtherFormat { holder, .. } => {
                holder.leaving.is_some() || holder.adopted || record.is_being_detached(holder)
            }
            Self::Guest(_) => false,
        }
    }
}

impl<'a> Claim<'a> {
    /// The claim that an attachment on record amounts to.
    pub(crate) fn of(attachment: &'a Attachment) -> Self {
        let Attachment { instance, format, shareable, .. } = *attachment;
        Self { instance, query: FileQuery::of(attachment), format, shareable }
    }

    /// The attachment of `record` that keeps the claim from being granted.
    pub(crate) fn rival(&self, record: &ShareRecord) -> Option<Rival> {
        let own = self.query.find(self.instance, &record.attachments);
        for attachment in &record.attachments {
            if let Some((file, recorded)) = self.other_format(attachment) {
                return Some(Rival::OtherFormat { holder: attachment.clone(), file, recorded });
            }
        }
        let others = record.attachments.iter().enumerate().filter(|(index, _)| Some(*index) != own);
        others
            .map(|(_, attachment)| attachment)
            .find(|attachment| self.conflicts_with(attachment))
            .map(|attachment| Rival::Holder(attachment.clone()))
    }

    /// A file of the claim that the attachment has in another format.
    fn other_format(&self, attachment: &Attachment) -> Option<(String, ImageFormat)> {
        let known = |file: &Path| {
            if file == Path::new(attachment.name.as_str()) {
                return Some(attachment.format);
            }
            attachment.chain.iter().find(|layer| layer.path.as_path() == file).map(|layer| layer.format)
        };
        let top = self.query.name.map(|name| (Path::new(name.as_str()), self.format));
        let below = self.query.chain.iter().map(|layer| (layer.path.as_path(), layer.format));
        top.into_iter().chain(below).find_map(|(file, format)| {
            let recorded = known(file).filter(|recorded| *recorded != format)?;
            Some((file.display().to_string(), recorded))
        })
    }

    fn conflicts_with(&self, attachment: &Attachment) -> bool {
        let Some(top) = self.query.name.map(|name| Path::new(name.as_str())) else { return false };
        let identity = |file: &Path| layer_at(self.query.chain, file);
        let is_same = |file: &Path, other: &Path| {
            let inodes = identity(file).zip(layer_at(&attachment.chain, other));
            file == other || inodes.is_some_and(|(one, other)| is_same_file(one, other))
        };
        // Several writers of one file are meant where all say so, and where it is raw: QEMU's qcow2 has one writer.
        let is_shared = self.shareable
            && attachment.shareable
            && self.instance != attachment.instance
            && self.format == ImageFormat::Raw
            && attachment.format == ImageFormat::Raw;
        let has_top = attachment.files().any(|file| is_same(top, file));
        let is_own_top = is_same(top, Path::new(attachment.name.as_str()));
        if has_top && !(is_shared && is_own_top) {
            return true;
        }
        let below = self.query.chain.iter().skip(1).map(|layer| layer.path.as_path());
        below.into_iter().any(|file| attachment.tops().any(|top| is_same(file, top)))
    }

    /// Whether a guest's use, be it on record or not, keeps the claim from being granted.
    pub(crate) fn is_used_by(&self, guest_use: &GuestUse, at: &MountPath) -> bool {
        let Some(top) = self.query.name.map(|name| at.image(name)) else { return false };
        let is_shared = guest_use.disk.as_ref().is_some_and(|disk| {
            self.shareable
                && disk.shareable
                && disk.format == ImageFormat::Raw
                && self.format == ImageFormat::Raw
        });
        guest_use.instance != self.instance
            && (self.has_below(guest_use, at)
                || guest_use.has_file(&top) && !(is_shared && guest_use.path == top))
    }
}

impl Claim<'_> {
    /// Whether the topmost file of a guest's disk lies below the claim's.
    pub(crate) fn has_below(&self, guest_use: &GuestUse, at: &MountPath) -> bool {
        let mut below = self.query.chain.iter().skip(1).map(|layer| at.as_path().join(layer.path.as_path()));
        guest_use.disk.is_some() && below.any(|file| file == guest_use.path)
    }
}

/// Whether both are one file of the share. A device has another number on each mount, so the inode's number decides, and the
/// time of its creation where that is known.
fn is_same_file(one: Identity, other: Identity) -> bool {
    one.inode == other.inode && one.btime.zip(other.btime).is_none_or(|(one, other)| one == other)
}

fn layer_at(chain: &[Layer], file: &Path) -> Option<Identity> {
    chain.iter().find(|layer| layer.path.as_path() == file).map(|layer| layer.identity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::connection::{Export, ImageName, VolumeId};
    use crate::pure::image::RelativePath;
    use crate::pure::kernel_mount::Device;

    use ImageFormat::{Qcow2, Raw};

    fn layer(path: &str, format: ImageFormat, inode: u64) -> Layer {
        let identity = Identity { device: Device { major: 0, minor: 7 }, inode, btime: None };
        Layer { path: RelativePath::parse(path).unwrap(), format, identity, virtual_size: 1 << 20 }
    }

    /// The layers of a chain given as `top<below`, each of whose files has the inode of its first letter. All are qcow2 but
    /// those named with a capital letter.
    fn chain(text: &str) -> Vec<Layer> {
        let format = |name: &str| if name.starts_with(char::is_uppercase) { Raw } else { Qcow2 };
        text.split('<').map(|name| layer(name, format(name), name.bytes().next().unwrap().into())).collect()
    }

    fn guest(number: u128) -> InstanceId {
        uuid::Uuid::from_u128(number).into()
    }

    fn attachment(number: u128, text: &str, shareable: bool) -> Attachment {
        let chain = chain(text);
        let name = ImageName::parse(text.split('<').next().unwrap()).unwrap();
        let volume = VolumeId::from(uuid::Uuid::from_u128(number));
        let attachment = Attachment::new(guest(number), volume, name, chain[0].format);
        Attachment { chain, shareable, generation: 1, ..attachment }
    }

    fn record(attachments: &[Attachment]) -> ShareRecord {
        let export = Export::parse("reg/vol").unwrap();
        let at = MountPath::new(Path::new("/mnt"), &export);
        ShareRecord {
            generation: 1,
            attachments: attachments.to_vec(),
            ..ShareRecord::unrecorded(export, at)
        }
    }

    fn rival(record: &ShareRecord, claimed: &Attachment) -> Option<Rival> {
        let query = FileQuery::of(claimed);
        let (instance, format, shareable) = (claimed.instance, claimed.format, claimed.shareable);
        Claim { instance, query, format, shareable }.rival(record)
    }

    #[test]
    fn one_file_has_one_writer_and_no_readers() {
        for (held, claimed, is_rival) in [
            ("A", "A", true),
            ("a<B", "a<B", true),
            ("a<B", "B", true),
            ("A", "b<A", true),
            ("a<b<C", "d<b<C", false),
            ("a<C", "b<C", false),
            ("A", "B", false),
        ] {
            let (held, claim) = (attachment(1, held, false), attachment(2, claimed, false));
            let found = rival(&record(std::slice::from_ref(&held)), &claim);
            assert_eq!(found, is_rival.then_some(Rival::Holder(held.clone())), "{held:?} {claimed}");
        }
    }

    #[test]
    fn hard_link_is_the_same_file() {
        let mut linked = attachment(2, "Link", false);
        linked.chain[0].identity.inode = u64::from(b'A');
        let held = record(&[attachment(1, "A", false)]);
        assert!(rival(&held, &linked).is_some());
        linked.chain[0].identity.device.minor += 1;
        assert!(rival(&held, &linked).is_some(), "on another mount of the share, too");
        linked.chain[0].identity.btime = Some((1, 0));
        let mut made_before = held.clone();
        made_before.attachments[0].chain[0].identity.btime = Some((0, 0));
        assert_eq!(rival(&made_before, &linked), None, "the number was given to another file since");
    }

    #[test]
    fn several_guests_need_multiattach_and_raw_in_all() {
        for (held, claimed, both_raw) in [("A", "A", true), ("a", "a", false)] {
            for (held_shareable, shareable) in [(false, false), (true, false), (false, true), (true, true)] {
                let held = record(&[attachment(1, held, held_shareable)]);
                let is_granted = rival(&held, &attachment(2, claimed, shareable)).is_none();
                assert_eq!(is_granted, both_raw && held_shareable && shareable);
            }
        }
    }

    #[test]
    fn file_keeps_its_format_on_record() {
        let held = record(&[attachment(1, "a<B", false)]);
        let other_format = |number, name: &str, format| {
            let mut claimed = attachment(number, name, false);
            (claimed.format, claimed.chain[0].format) = (format, format);
            rival(&held, &claimed)
        };
        for (number, name, format) in [(1, "a", Raw), (2, "a", Raw), (2, "B", Qcow2)] {
            let found = other_format(number, name, format);
            assert!(matches!(found, Some(Rival::OtherFormat { .. })), "{name}: {found:?}");
        }
        assert_eq!(other_format(1, "a", Qcow2), None);
    }

    #[test]
    fn guest_keeps_its_own_file_through_a_snapshot() {
        let held = record(&[attachment(1, "A", false)]);
        let mut snapshot = attachment(1, "b<A", false);
        snapshot.volume = VolumeId::from(uuid::Uuid::from_u128(9));
        assert_eq!(rival(&held, &snapshot), None);
    }
}
