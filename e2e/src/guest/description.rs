//! A guest's descriptions in libvirt, and what other programs than ours do with them.

use std::path::Path;

use super::Guest;
use crate::Scratch;

/// A disk as another program than ours describes it: no serial, no alias, no cache mode.
#[derive(Debug, Clone)]
pub struct DiskXml {
    format: &'static str,
    attributes: &'static str,
    source: String,
    backing: String,
    target: String,
    flags: &'static str,
}

impl DiskXml {
    /// A file of the host.
    #[must_use]
    pub fn file(path: &Path, format: &'static str, target: &str) -> Self {
        Self::new("type='file'", format!("<source file='{}'/>", path.display()), format, target)
    }

    /// A volume of a storage pool.
    #[must_use]
    pub fn volume(pool: &str, volume: &str, target: &str) -> Self {
        Self::new("type='volume'", format!("<source pool='{pool}' volume='{volume}'/>"), "raw", target)
    }

    fn new(attributes: &'static str, source: String, format: &'static str, target: &str) -> Self {
        let (backing, target) = (String::new(), target.to_owned());
        Self { format, attributes, source, backing, target, flags: "" }
    }

    /// The same with a raw backing file that the description names.
    #[must_use]
    pub fn on(mut self, base: &Path) -> Self {
        self.backing = format!(
            "<backingStore type='file'><format type='raw'/><source file='{}'/><backingStore/></backingStore>",
            base.display()
        );
        self
    }

    /// The same disk for several guests at once.
    #[must_use]
    pub fn shareable(mut self) -> Self {
        self.flags = "<shareable/>";
        self
    }

    fn text(&self) -> String {
        let Self { format, attributes, source, backing, target, flags } = self;
        format!(
            "<disk {attributes} device='disk'><driver name='qemu' type='{format}'/>{source}{backing}\
             <target dev='{target}' bus='virtio'/>{flags}</disk>"
        )
    }
}

impl Guest {
    /// Has `virsh` add a disk; `options` say to which descriptions.
    pub fn virsh_attach(&self, scratch: &Scratch, disk: &DiskXml, options: &[&str]) {
        let file = scratch.file(&format!("{}.{}.xml", self.name, disk.target), disk.text());
        self.virsh("attach-device", &[&[&*file.to_string_lossy()], options].concat());
    }

    /// The description in the managed save image: what runs once the domain is started.
    pub fn saved_xml(&self) -> String {
        self.virsh("managedsave-dumpxml", &[])
    }

    /// The number that libvirt gives to this run of the domain.
    pub fn run_id(&self) -> u32 {
        self.virsh("domid", &[]).trim().parse().expect("a domain that runs has a number")
    }

    /// Has libvirt put `overlay`, an image that is there, on top of the disk `target`: an external snapshot.
    pub fn snapshot(&self, target: &str, overlay: &Path) {
        let disk = format!("{target},file={}", overlay.display());
        self.virsh(
            "snapshot-create-as",
            &["--disk-only", "--no-metadata", "--reuse-external", "--diskspec", &disk],
        );
    }

    /// Has libvirt merge the disk's top into the image below, until the two are alike. The guest still uses the top.
    pub fn commit_until_ready(&self, target: &str) {
        self.virsh("blockcommit", &[target, "--active", "--wait"]);
    }

    /// Has libvirt copy the disk to `copy`, an image that is there, until the two are alike. The guest still uses the
    /// old one.
    pub fn copy_until_ready(&self, target: &str, copy: &Path, format: &str) {
        let copy = copy.to_string_lossy();
        let options = ["--format", format, "--reuse-external", "--transient-job", "--wait"];
        self.virsh("blockcopy", &[&[target, &*copy], &options[..]].concat());
    }

    /// Has the guest go over to the image that a commit or a copy has made.
    pub fn pivot(&self, target: &str) {
        self.virsh("blockjob", &[target, "--pivot"]);
    }
}
