//! The states of a guest beside running and shut off.

use std::time::Instant;

use super::Guest;
use crate::process::LIMIT;

impl Guest {
    /// Has libvirt save the running domain, which ends with that.
    pub fn save(&mut self) {
        self.virsh("managedsave", &[]);
    }

    /// Starts the saved domain, which takes commands afterwards as before.
    pub fn restore(&mut self) {
        self.virsh("start", &[]);
        self.commands.resume(self.commands.accept().expect("QEMU connects"));
    }

    /// Has libvirt forget the running domain's persistent configuration: it is gone once it ends.
    pub fn make_transient(&self) {
        self.virsh("undefine", &[]);
    }

    /// Has libvirt start the domain, and does not wait for what the guest does.
    pub fn launch(&self) {
        self.virsh("start", &[]);
    }

    /// Waits until the guest that was launched takes commands.
    pub fn wait_until_ready(&mut self) {
        if let Err(error) = self.commands.connect() {
            let console = std::fs::read_to_string(&self.console).unwrap_or_default();
            panic!("guest {} does not take commands: {error}\n{console}", self.name);
        }
    }

    /// Waits until the guest can read its disk `name`, such as `vda`.
    pub fn wait_for_disk(&mut self, name: &str) {
        self.succeed(&format!("until head -c 1 /dev/{name} >/dev/null 2>&1; do usleep 1000; done"));
    }

    /// Waits until the running domain has no disk `target` any more. libvirt tells this a moment after the guest has
    /// let go of it, and to whoever asks: so this asks, until a deadline.
    pub fn wait_until_released(&self, target: &str) {
        let deadline = Instant::now() + LIMIT;
        while self.xml(&[]).contains(&format!("<target dev='{target}'")) {
            assert!(Instant::now() < deadline, "guest {} does not let go of {target}", self.name);
        }
    }

    /// Has the guest write a text to the beginning of its disk, and bring it to stable storage.
    pub fn write_text(&mut self, name: &str, text: &str) {
        self.wait_for_disk(name);
        self.succeed(&format!("printf '{text}' | dd of=/dev/{name} conv=notrunc,fsync 2>/dev/null"));
    }

    /// What the guest reads from the beginning of its disk, from the disk itself.
    pub fn read_text(&mut self, name: &str, length: usize) -> String {
        self.wait_for_disk(name);
        self.succeed(&format!("echo 3 >/proc/sys/vm/drop_caches; head -c {length} /dev/{name}"))
    }
}
