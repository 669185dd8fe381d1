//! A test's own directory.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::Lab;

/// A new directory in the lab that belongs to `nova`, and that guests may pass through. Gone when dropped.
#[derive(Debug)]
pub struct Scratch {
    directory: TempDir,
}

impl Scratch {
    /// Makes an empty one. Panics outside the lab.
    #[expect(clippy::new_without_default, reason = "it makes a directory, which nobody expects of a default")]
    pub fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("test-")
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in(Lab::require().directory())
            .expect("make a directory in the lab");
        give_to_nova(directory.path());
        Self { directory }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Makes a directory in it, `nova`'s as well.
    pub fn directory(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir(&path).unwrap_or_else(|error| panic!("make {}: {error}", path.display()));
        give_to_nova(&path);
        path
    }

    /// Writes a file in it, `nova`'s as well.
    pub fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, contents).unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
        give_to_nova(&path);
        path
    }
}

fn give_to_nova(path: &Path) {
    let nova = fs::metadata(Lab::require().nova_home()).expect("nova has a home");
    chown(path, Some(nova.uid()), Some(nova.gid())).expect("give a file to nova");
}
