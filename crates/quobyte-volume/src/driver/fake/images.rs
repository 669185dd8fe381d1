//! The files on the fake host's volumes: every name is one, with an inode of its own unless it is a hard link.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::host::share::ShareError;
use crate::pure::connection::{ImageFormat, ImageName};
use crate::pure::image::{DeclaredImage, Identity, Layer, RelativePath, Rule, Violation};
use crate::pure::kernel_mount::Device;
use crate::pure::mount_path::MountPath;

/// What a file on every volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::driver) enum Image {
    Regular,
    Missing,
    Link,
    Directory,
    OnAnotherDevice,
}

/// What is known of files by name, whichever volume they are on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::driver) struct Images {
    /// What lies below a qcow2 image.
    pub(in crate::driver) below: BTreeMap<String, (String, ImageFormat)>,
    /// Names that are hard links, each with the name of the file that it is.
    pub(in crate::driver) links: BTreeMap<String, String>,
}

impl Images {
    /// The names of an image and of everything below it, each with its format.
    pub(in crate::driver) fn chain(&self, name: &str, format: ImageFormat) -> Vec<(String, ImageFormat)> {
        let top = (name.to_owned(), format);
        let next = |(name, format): &(String, ImageFormat)| {
            self.below.get(name).filter(|_| *format == ImageFormat::Qcow2).cloned()
        };
        std::iter::successors(Some(top), next).collect()
    }

    pub(super) fn layers(
        &self,
        DeclaredImage { name, format }: DeclaredImage<'_>,
        kind: Image,
        at: &MountPath,
        device: Device,
    ) -> Result<Vec<Layer>, ShareError> {
        let device = check(kind, name, at)?.unwrap_or(device);
        let layer = |(name, format): (String, ImageFormat)| Layer {
            path: RelativePath::parse(&name).expect("names of files are plain"),
            format,
            identity: Identity { device, inode: self.inode(&name), btime: None },
            virtual_size: 1 << 20,
        };
        Ok(self.chain(name.as_str(), format).into_iter().map(layer).collect())
    }

    fn inode(&self, name: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.links.get(name).map_or(name, String::as_str).hash(&mut hasher);
        hasher.finish()
    }
}

/// Whether the image may be looked at, and the device that it is on if that is not the mount's.
fn check(kind: Image, name: &ImageName, at: &MountPath) -> Result<Option<Device>, ShareError> {
    let path = at.image(name);
    let refused = |rule| ShareError::Refused { path: path.clone(), violation: Violation::new(rule, name) };
    match kind {
        Image::Regular => Ok(None),
        Image::Missing => Err(ShareError::Missing { path }),
        Image::Link => Err(refused(Rule::LeadsAway)),
        Image::Directory => Err(refused(Rule::NotRegularFile)),
        Image::OnAnotherDevice => Ok(Some(Device { major: 8, minor: 1 })),
    }
}
