//! QEMU opening an image, watched.

use std::{cell::RefCell, collections::BTreeSet, fs, path::Path, path::PathBuf, time::Duration};

use e2e::{Program, Scratch};
use image_corpus::{Content, Qcow2};

/// The bounds of docs/IMAGES.md: the tables of a chain, and what QEMU takes without any.
const MAX_MEMORY_KIB: u64 = (512 + 64) << 10;
/// Of processor time: what the machine does beside does not count.
const MAX_SECONDS: f64 = 30.0;

/// What QEMU does with an image when it opens it: for reading, with a read, and for writing, which repairs it.
const OPEN: [&str; 2] = ["qemu-io -r -f qcow2 -c 'read 0 512' \"$1\"", "qemu-io -f qcow2 -c length \"$1\""];

/// What a write costs has no bound: see docs/IMAGES.md. It is ended after a while.
const WRITE: &str = "timeout --signal=KILL 30 qemu-io -f qcow2 -c 'write 0 512' \"$1\"";

/// What the C library looks up for itself, when several threads ask it for memory.
const OF_LIBC: [&str; 2] = ["/sys/devices/system/cpu/online", "/proc/sys/vm/overcommit_memory"];

pub(crate) struct Qemu {
    trace: PathBuf,
    usage: PathBuf,
    /// What it opens for any image: libraries and the like.
    usual: BTreeSet<String>,
    most: RefCell<Usage>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Usage {
    memory_kib: u64,
    seconds: f64,
}

impl Qemu {
    pub(crate) fn new(scratch: &Scratch) -> Self {
        let trace = scratch.path().join("trace");
        let usage = scratch.path().join("usage");
        let mut qemu =
            Self { trace, usage, usual: OF_LIBC.map(str::to_owned).into(), most: RefCell::default() };
        let share = scratch.directory("plain");
        for image in [Qcow2::v3(), Qcow2::v3().feature(0)] {
            let path = share.join("image");
            let content = Content::from(image);
            fs::write(&path, content.read(0, 4 << 20).expect("it is so long")).expect("write an image");
            for script in [&OPEN[..], &[WRITE]].concat() {
                assert!(qemu.run(script, &path), "a plain image is opened");
                let opened = qemu.opened();
                qemu.usual.extend(opened.into_iter().filter(|name| !Path::new(name).starts_with(&share)));
            }
        }
        qemu
    }

    /// Opens an image on the share both ways, and writes to it. Whether QEMU took it for an image.
    pub(crate) fn open(&self, share: &Path, top: &str, when: &str) -> bool {
        let image = share.join(top);
        let mut opens = false;
        for script in OPEN {
            opens |= self.run_within(share, script, &image, when);
            let usage = self.usage(when);
            assert!(usage.memory_kib <= MAX_MEMORY_KIB, "{when}: {usage:?}");
            assert!(usage.seconds <= MAX_SECONDS, "{when}: {usage:?}");
            let most = &mut *self.most.borrow_mut();
            most.memory_kib = most.memory_kib.max(usage.memory_kib);
            most.seconds = most.seconds.max(usage.seconds);
        }
        self.run_within(share, WRITE, &image, when);
        opens
    }

    /// Runs a script that opens no file outside the share. Whether it succeeded.
    fn run_within(&self, share: &Path, script: &str, image: &Path, when: &str) -> bool {
        let succeeded = self.run(script, image);
        for name in self.opened() {
            let path = Path::new(&name);
            let is_plain = !path.components().any(|part| part.as_os_str() == "..");
            let is_expected = self.usual.contains(&name) || is_plain && path.starts_with(share);
            assert!(is_expected, "{when}: QEMU opens {name}");
        }
        succeeded
    }

    /// What the costliest image took.
    pub(crate) fn report(&self) -> String {
        let Usage { memory_kib, seconds } = *self.most.borrow();
        format!("at most {} MiB and {seconds} s of processor time", memory_kib >> 10)
    }

    fn run(&self, script: &str, image: &Path) -> bool {
        let ended = Program::as_root("time")
            .args(["-f", "%M %U %S", "-o"])
            .arg(&self.usage)
            .args([
                "strace",
                "--seccomp-bpf",
                "-f",
                "-qq",
                "-s",
                "4096",
                "-e",
                "trace=%file,connect",
                "-e",
                "signal=none",
                "-o",
            ])
            .arg(&self.trace)
            // What it says of each broken cluster would fill the lab.
            .args(["sh", "-c", &format!("exec {script} >/dev/null 2>&1"), "sh"])
            .arg(image)
            .within(Duration::from_secs(600))
            .run();
        ended.status.success()
    }

    /// What it named to the kernel, whether or not that was there: paths, and addresses.
    fn opened(&self) -> BTreeSet<String> {
        let trace = fs::read_to_string(&self.trace).expect("read what strace wrote");
        // A call that another thread interrupts has a second line, without a name. One that the end of its process keeps
        // from being made has no name at all.
        let is_call = |call: &&str| !call.starts_with("<... ") && !call.starts_with("???(");
        let calls = trace.lines().filter_map(|line| line.split_once(' ')).map(|(_, call)| call.trim_start());
        calls.filter(is_call).map(name).collect()
    }

    fn usage(&self, when: &str) -> Usage {
        let text = fs::read_to_string(&self.usage).expect("read what time wrote");
        let last = text.lines().last().unwrap_or_default();
        let numbers: Vec<f64> = last.split(' ').filter_map(|number| number.parse().ok()).collect();
        let [memory, user, system] = numbers[..] else { panic!("{when}: time wrote {text}") };
        Usage { memory_kib: memory as u64, seconds: user + system }
    }
}

/// The name in a call as strace writes it: what stands in its first quotes; else the whole call, such as an address.
fn name(call: &str) -> String {
    let quoted = call.split_once('"').and_then(|(_, rest)| rest.split_once('"'));
    quoted.map_or(call, |(name, _)| name).to_owned()
}
