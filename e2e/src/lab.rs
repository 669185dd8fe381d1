//! The lab a test runs in.

use std::{env, path::PathBuf};

/// The lab around this process: its directory, programs and guest. See `tests/lab/enter`.
#[derive(Debug)]
pub struct Lab {
    directory: PathBuf,
}

impl Lab {
    /// The lab this process runs in. Panics outside of one.
    pub fn require() -> Self {
        let Some(directory) = env::var_os("NOVA_QUOBYTE_LAB") else {
            panic!("this test needs real mounts, users, libvirtd and guests: run it by `make test`");
        };
        Self { directory: directory.into() }
    }

    /// The lab's own directory: every user may pass through it, and it is gone with the lab.
    pub fn directory(&self) -> PathBuf {
        self.directory.clone()
    }

    /// The home directory of the ordinary user `nova`.
    pub fn nova_home(&self) -> PathBuf {
        self.directory.join("nova")
    }

    /// A file of the test guest: `vmlinuz` or `initramfs`.
    pub fn guest_file(&self, name: &str) -> PathBuf {
        self.directory.join("guest").join(name)
    }

    /// libvirt's domain type for guests here: `kvm` where guests really run under it, else `qemu`.
    pub fn virt_type(&self) -> String {
        env::var("NOVA_QUOBYTE_VIRT_TYPE").expect("the lab tells how guests run")
    }
}
