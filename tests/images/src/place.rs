//! Puts images where real programs can open them.
#![expect(clippy::disallowed_methods, reason = "making images is what this crate is for")]

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{Specimen, legitimate::Recipe};

impl Specimen {
    /// Writes all files below an existing directory, sparse ones sparse, and says where the one to hand over is.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn place(&self, directory: &Path) -> io::Result<PathBuf> {
        for (path, content) in &self.files {
            let path = directory.join(path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            let file = File::create(path)?;
            file.set_len(content.len())?;
            for (offset, bytes) in content.parts() {
                file.write_all_at(bytes, *offset)?;
            }
        }
        Ok(directory.join(self.top()))
    }
}

impl Recipe {
    /// Makes the image in an existing directory, and says where the file to hand over is.
    ///
    /// # Errors
    /// What the shell and its commands wrote when one of them failed.
    pub fn place(&self, directory: &Path) -> io::Result<PathBuf> {
        let shell = Command::new("sh")
            .args(["-e", "-c", self.script])
            .current_dir(directory)
            .stdin(Stdio::null())
            .output()?;
        if shell.status.success() {
            Ok(directory.join(self.top))
        } else {
            let stderr = String::from_utf8_lossy(&shell.stderr);
            Err(io::Error::other(format!("{}: {}\n{stderr}", self.name, shell.status)))
        }
    }
}
