//! Storage pools of libvirt's, by which a domain can name a disk without a path.

use std::{path::Path, thread};

use crate::{Finished, Program, Scratch};

/// A pool of the files in a directory, of the lab's libvirtd. Stopped and undefined when dropped; the files stay.
#[derive(Debug)]
pub struct Pool {
    name: String,
    uuid: String,
}

impl Pool {
    /// Defines one for `directory` and starts it, so that libvirt looks at the files there.
    pub fn start(scratch: &Scratch, directory: &Path) -> Self {
        let uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid").expect("the kernel makes UUIDs");
        let uuid = uuid.trim_end().to_owned();
        let name = format!("pool-{}", &uuid[..8]);
        let xml = format!(
            "<pool type='dir'><name>{name}</name><uuid>{uuid}</uuid><target><path>{}</path></target></pool>",
            directory.display()
        );
        let definition = scratch.file(&format!("{name}.xml"), xml);
        Program::as_root("virsh")
            .args(["--quiet", "--connect", "qemu:///system", "pool-define"])
            .arg(definition)
            .succeed();
        let pool = Self { name, uuid };
        pool.activate();
        pool
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts it once more.
    pub fn activate(&self) {
        let started = self.virsh("pool-start");
        assert!(started.status.success(), "{started:?}");
    }

    /// Stops it: libvirt knows its volumes no more, and its definition still.
    pub fn stop(&self) {
        let stopped = self.virsh("pool-destroy");
        assert!(stopped.status.success(), "{stopped:?}");
    }

    fn virsh(&self, command: &str) -> Finished {
        Program::as_root("virsh").args(["--quiet", "--connect", "qemu:///system", command, &self.uuid]).run()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Fails for one that is stopped, which is as good.
        self.virsh("pool-destroy");
        let undefined = self.virsh("pool-undefine");
        assert!(undefined.status.success() || thread::panicking(), "{undefined:?}");
    }
}
