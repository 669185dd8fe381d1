//! A mounted volume, seen from both of its sides.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::PathBuf,
};

use crate::{Mount, Scratch, Volume};

/// A volume mounted by `nova`, through the mount and in the store. Unmounted when dropped.
#[derive(Debug)]
pub struct Files {
    mount: Mount,
    volume: Volume,
    scratch: Scratch,
}

impl Files {
    /// Mounts an empty volume. `settings` are further lines of the client's configuration.
    pub fn mount(settings: &[&str]) -> Self {
        let scratch = Scratch::new();
        let volume = Volume::create(&scratch, "vol", settings);
        let mount = volume.mount(&scratch.directory("mnt"));
        Self { mount, volume, scratch }
    }

    /// The directory that all of it is in, for further files of the test.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// A path through the mount.
    pub fn mounted(&self, name: &str) -> PathBuf {
        self.mount.path().join(name)
    }

    /// The same path in the store.
    pub fn stored(&self, name: &str) -> PathBuf {
        self.volume.directory().join(name)
    }

    /// Makes a file through the mount, open for reading and writing.
    pub fn file(&self, name: &str, contents: &[u8]) -> File {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(self.mounted(name))
            .expect("make a file");
        file.write_all(contents).expect("write to a file");
        file
    }

    /// What a file holds for who reads it through the mount, and in the store.
    pub fn read_both(&self, name: &str) -> (Vec<u8>, Vec<u8>) {
        let read =
            |path: PathBuf| fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (read(self.mounted(name)), read(self.stored(name)))
    }
}
