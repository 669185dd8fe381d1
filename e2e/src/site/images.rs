//! What a site starts with, what names it, and what somebody takes from it.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use super::Site;

const SIZE: usize = 1 << 20;

impl Site {
    /// Sets one up with empty images of 1 MiB, each of a name and a format.
    #[must_use]
    pub fn with_images(images: &[(&str, &str)]) -> Self {
        let site = Self::new(&[]);
        for (name, format) in images {
            site.volume().image(name, format, &[0; SIZE]);
        }
        site
    }

    /// The least connection_info of an image on the volume in a format of its own.
    #[must_use]
    pub fn info_of(&self, name: &str, format: &str) -> Value {
        let mut info = self.info(name);
        info["data"]["format"] = json!(format);
        info
    }

    /// Removes a record of a share that is in use, as an administrator does who tidies up.
    pub fn lose_record(&self, record: &str) {
        fs::remove_file(self.state().join("shares").join(record)).expect("remove a record");
    }

    /// The path of an image of the one share that is mounted. Panics where there are none or more.
    #[must_use]
    pub fn mounted_image(&self, name: &str) -> PathBuf {
        let [directory] = &self.mount_directories()[..] else {
            panic!("not one share is mounted: {:?}", self.mount_directories())
        };
        self.base().join(directory).join(name)
    }
}
