//! Guests: libvirt domains that boot the lab's small Linux and run commands for a test.

mod commands;
mod description;
mod migration;
mod state;

use std::{fs, path::PathBuf, thread};

use crate::{Lab, Program, Scratch, process::LIMIT};

pub use commands::Answer;
use commands::Commands;
pub use description::DiskXml;

/// The lab's own libvirtd.
const LAB_URI: &str = "qemu:///system";

/// A domain of the lab's libvirtd, with free slots for six more PCI devices and a virtio SCSI controller. It runs as
/// `libvirt-qemu`, as Debian has it. Destroyed and undefined when dropped.
#[derive(Debug)]
pub struct Guest {
    name: String,
    uuid: String,
    /// Where the libvirtd is reached that has it.
    uri: String,
    console: PathBuf,
    commands: Commands,
}

impl Guest {
    /// Defines a domain and leaves it shut off.
    pub fn define(scratch: &Scratch) -> Self {
        Self::define_with(scratch, |xml| xml)
    }

    /// The same with a description that `change` has made of the usual one.
    pub fn define_with(scratch: &Scratch, change: impl FnOnce(String) -> String) -> Self {
        let lab = Lab::require();
        let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid").expect("the kernel makes UUIDs");
        let uuid = uuid.trim_end().to_owned();
        let name = format!("guest-{}", &uuid[..8]);
        let console = scratch.path().join(format!("{name}.console"));
        let socket = scratch.path().join(format!("{name}.commands"));
        let commands = Commands::listen(&socket);
        let xml = include_str!("../../tests/lab/domain.xml")
            .replace("@TYPE@", &lab.virt_type())
            .replace("@NAME@", &name)
            .replace("@UUID@", &uuid)
            .replace("@KERNEL@", &lab.guest_file("vmlinuz").to_string_lossy())
            .replace("@INITRAMFS@", &lab.guest_file("initramfs").to_string_lossy())
            .replace("@CONSOLE@", &console.to_string_lossy())
            .replace("@COMMANDS@", &socket.to_string_lossy());
        let definition = scratch.file(&format!("{name}.xml"), change(xml));
        virsh(LAB_URI, "define").arg(definition).succeed();
        Self { name, uuid, uri: LAB_URI.to_owned(), console, commands }
    }

    /// Defines a domain, starts it, and waits until it takes commands.
    pub fn boot(scratch: &Scratch) -> Self {
        let mut guest = Self::define(scratch);
        guest.start();
        guest
    }

    /// Starts the domain and waits until it takes commands.
    pub fn start(&mut self) {
        self.launch();
        self.wait_until_ready();
    }

    /// Starts the domain and does not let it run.
    pub fn start_paused(&mut self) {
        self.virsh("start", &["--paused"]);
        self.commands.resume(self.commands.accept().expect("QEMU connects"));
    }

    /// Ends the domain at once, as pulling the plug does.
    pub fn destroy(&mut self) {
        self.virsh("destroy", &[]);
    }

    /// The domain's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The domain's UUID.
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// The domain's definition as libvirt has it now: `virsh dumpxml` with further `options`.
    pub fn xml(&self, options: &[&str]) -> String {
        self.virsh("dumpxml", options)
    }

    /// Runs one line of shell in the guest.
    pub fn run(&mut self, command: &str) -> Answer {
        self.commands
            .run(command)
            .unwrap_or_else(|error| panic!("guest {} did not answer `{command}`: {error}", self.name))
    }

    /// Runs one line of shell in the guest and returns what it wrote. Panics when it fails.
    pub fn succeed(&mut self, command: &str) -> String {
        let answer = self.run(command);
        assert_eq!(answer.status, 0, "`{command}` in the guest: {}", answer.output);
        answer.output
    }

    /// Waits until the guest can read a virtio disk with that serial number, of which it sees 20 characters, and
    /// returns the disk's device. A disk can be read some time after its device has appeared, and no event tells the
    /// host of either.
    pub fn virtio_disk(&mut self, serial: &str) -> String {
        let seen = &serial[..serial.len().min(20)];
        self.succeed(&format!(
            "until disk=$(grep -lxF '{seen}' /sys/block/vd*/serial 2>/dev/null) && disk=/dev/$(basename ${{disk%/serial}}) \
             && head -c 1 $disk >/dev/null 2>&1; do usleep 1000; done; echo -n $disk"
        ))
    }

    /// The names of the guest's own disks, sorted.
    pub fn disks(&mut self) -> Vec<String> {
        let names = self.succeed("ls /sys/block");
        names.split_whitespace().map(str::to_owned).collect()
    }

    /// Runs one `virsh` command on the domain. Panics when it fails.
    pub fn virsh(&self, command: &str, arguments: &[&str]) -> String {
        virsh(&self.uri, command).arg(&self.uuid).args(arguments).succeed()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Fails for a domain that is not running, which is as good.
        virsh(&self.uri, "destroy").arg(&self.uuid).start().finish_within(LIMIT);
        let undefine = virsh(&self.uri, "undefine").args([&self.uuid, "--managed-save"]);
        let undefined = undefine.start().finish_within(LIMIT);
        // A transient domain is gone once it has ended. A second panic would end the test before the rest is cleaned up.
        let is_gone = undefined.status.success() || undefined.stderr.contains("failed to get domain");
        assert!(is_gone || thread::panicking(), "{undefined:?}");
    }
}

/// One `virsh` command to the libvirtd at `uri`.
fn virsh(uri: &str, command: &str) -> Program {
    Program::as_root("virsh").args(["--quiet", "--connect", uri, command])
}
