//! Volumes of the stand-in client, and their mounts.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::{Program, Scratch, mount_at};

/// An empty volume in a store of its own, and a client configuration that leads there.
#[derive(Debug)]
pub struct Volume {
    export: String,
    directory: PathBuf,
    config: PathBuf,
}

/// A volume mounted by `nova` with the client alone, without the product. Unmounted when dropped.
#[derive(Debug)]
pub struct Mount {
    path: PathBuf,
}

impl Volume {
    /// Makes the volume `name` in `scratch`. `settings` are further lines of the client's configuration.
    pub fn create(scratch: &Scratch, name: &str, settings: &[&str]) -> Self {
        let store = scratch.directory(&format!("{name}.store"));
        let directory = scratch.directory(&format!("{name}.store/{name}"));
        let mut config = format!("store={}\n", store.display());
        for setting in settings {
            config.push_str(setting);
            config.push('\n');
        }
        let config = scratch.file(&format!("{name}.cfg"), config);
        Self { export: format!("quobyte://registry/{name}"), directory, config }
    }

    /// Its name for a client: `quobyte://registry/NAME`.
    pub fn export(&self) -> &str {
        &self.export
    }

    /// Where the store keeps its files, to look at what reached it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The client configuration that finds it.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Makes another volume, `name`, in the same store: the same client configuration finds it.
    pub fn sibling(&self, scratch: &Scratch, name: &str) -> Self {
        let store = self.directory.parent().expect("a volume is in a store");
        let store = store.strip_prefix(scratch.path()).expect("the store is in the scratch");
        Self {
            export: format!("quobyte://registry/{name}"),
            directory: scratch.directory(&store.join(name).to_string_lossy()),
            config: self.config.clone(),
        }
    }

    /// Puts an image that holds `contents` into the store, open to guests by its mode, as Cinder makes them.
    pub fn image(&self, name: &str, format: &str, contents: &[u8]) {
        let raw = self.directory.join(format!("{name}.contents"));
        let image = self.directory.join(name);
        fs::write(&raw, contents).expect("write an image's contents");
        convert(("raw", &raw), (format, &image));
        fs::remove_file(raw).expect("remove an image's contents");
        fs::set_permissions(image, Permissions::from_mode(0o666)).expect("open an image to guests");
    }

    /// Makes a directory in the volume.
    pub fn make_directory(&self, name: &str) {
        let directory = self.directory.join(name);
        fs::create_dir(directory).expect("make a directory in the store");
    }

    /// Adds a line to the client's configuration. A later one goes before earlier ones.
    pub fn configure(&self, line: &str) {
        let config = OpenOptions::new().append(true).open(&self.config);
        writeln!(config.expect("open the client's configuration"), "{line}").expect("configure the client");
    }

    /// Deletes an image from the store.
    pub fn remove(&self, name: &str) {
        fs::remove_file(self.directory.join(name)).expect("delete an image from the store");
    }

    /// Puts a qcow2 image of the size of its base into the store, open to guests, on top of another image there.
    pub fn overlay(&self, name: &str, (base, base_format): (&str, &str)) {
        let image = self.directory.join(name);
        Program::as_root("qemu-img")
            .args(["create", "-q", "-f", "qcow2", "-F", base_format, "-b", base])
            .arg(&image)
            .succeed();
        fs::set_permissions(image, Permissions::from_mode(0o666)).expect("open an image to guests");
    }

    /// What an image in the store holds, as a guest sees it.
    pub fn contents(&self, name: &str, format: &str) -> Vec<u8> {
        let raw = self.directory.join(format!("{name}.contents"));
        convert((format, &self.directory.join(name)), ("raw", &raw));
        let contents = fs::read(&raw).expect("read an image's contents");
        fs::remove_file(raw).expect("remove an image's contents");
        contents
    }

    /// Mounts it at `path`, an empty directory of `nova`'s.
    pub fn mount(&self, path: &Path) -> Mount {
        Program::as_nova("mount.quobyte")
            .arg("--disable-xattrs")
            .arg(&self.export)
            .arg(path)
            .arg("-c")
            .arg(&self.config)
            .succeed();
        assert!(
            mount_at(path).is_some(),
            "mount.quobyte reported a mount that is not there: {}",
            path.display()
        );
        Mount { path: path.to_owned() }
    }
}

fn convert((from_format, from): (&str, &Path), (to_format, to): (&str, &Path)) {
    Program::as_root("qemu-img")
        .args(["convert", "-f", from_format, "-O", to_format])
        .args([from, to])
        .succeed();
}

impl Mount {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A test may have taken it down itself.
        if mount_at(&self.path).is_some() {
            Program::as_nova("umount.quobyte").arg(&self.path).succeed();
        }
    }
}
