//! Volumes of the stand-in client, and their mounts.

use std::path::{Path, PathBuf};

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
        Self {
            export: format!("quobyte://registry/{name}"),
            directory,
            config,
        }
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
        Mount {
            path: path.to_owned(),
        }
    }
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
