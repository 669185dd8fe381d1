//! Somebody who is attached and reads all the while.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use crate::{Site, mount_at};

/// A guest with an open image. Whatever is killed beside it, its mount stays and its file is served.
#[derive(Debug)]
pub struct Bystander {
    instance: &'static str,
    image: &'static str,
    file: File,
    mount_path: PathBuf,
}

impl Bystander {
    /// Connects the image for `instance` and opens it.
    pub fn attach(site: &Site, instance: &'static str, image: &'static str) -> Self {
        let answer = site.connect(instance, &site.info(image)).answer();
        let path = |name: &str| PathBuf::from(answer[name].as_str().expect("a path"));
        let file = File::open(path("device_path")).expect("open the image");
        Self { instance, image, file, mount_path: path("mount_path") }
    }

    /// Panics when its file is not served, its mount has been taken away, or no record knows of it any more.
    pub fn assert_served(&self, site: &Site, when: &str) {
        let mut byte = [0];
        if let Err(error) = self.file.read_exact_at(&mut byte, 0) {
            panic!("{when}: the bystander's file is not served: {error}");
        }
        self.assert_attached(site, when);
    }

    /// The same without asking for its file, which is dead once its client is.
    pub fn assert_attached(&self, site: &Site, when: &str) {
        assert!(mount_at(&self.mount_path).is_some(), "{when}: the bystander's mount is gone");
        let mine = (self.instance.to_owned(), self.image.to_owned());
        assert!(site.attachments().contains(&mine), "{when}: the bystander's attachment is lost");
    }

    /// Where its volume is mounted.
    pub fn mount_path(&self) -> &Path {
        &self.mount_path
    }

    /// Closes the file and disconnects.
    pub fn disconnect(self, site: &Site) {
        drop(self.file);
        site.disconnect(self.instance, &site.info(self.image)).answer();
    }
}
