//! What the stand-in client's switches promise: each failure of the real client, when it is asked for.
#![expect(clippy::disallowed_methods, reason = "a test writes the switches itself")]

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, ErrorKind},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use e2e::{BackgroundProcess, Daemon, Finished, Mount, Program, Scratch, Volume, make_pipe, mount_at};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    process::Signal,
};

/// A volume whose client obeys a control file and tells its process id.
struct Client {
    volume: Volume,
    mount_point: PathBuf,
    pid_file: PathBuf,
    control: PathBuf,
    scratch: Scratch,
}

impl Client {
    fn new(settings: &[&str]) -> Self {
        let scratch = Scratch::new();
        let (pid_file, control) = (scratch.path().join("pid"), scratch.path().join("control"));
        let files = [
            format!("standin.pid_file={}", pid_file.display()),
            format!("standin.control={}", control.display()),
        ];
        let settings: Vec<&str> = files.iter().map(String::as_str).chain(settings.iter().copied()).collect();
        Self {
            volume: Volume::create(&scratch, "vol", &settings),
            mount_point: scratch.directory("mnt"),
            pid_file,
            control,
            scratch,
        }
    }

    fn mounted(settings: &[&str]) -> (Mount, Self) {
        let client = Self::new(settings);
        (client.volume.mount(&client.mount_point), client)
    }

    fn arguments(&self) -> [&Path; 4] {
        let export = Path::new(self.volume.export());
        [export, &self.mount_point, Path::new("-c"), self.volume.config()]
    }

    fn run(&self) -> Finished {
        Program::as_nova("mount.quobyte").args(self.arguments()).run()
    }

    fn daemon(&self) -> Daemon {
        Daemon::of(&self.pid_file)
    }

    /// Puts a fault in force, from the next request on.
    fn fail(&self, fault: &str) {
        fs::write(&self.control, fault).expect("write the control file");
    }

    fn is_mounted(&self) -> bool {
        mount_at(&self.mount_point).is_some()
    }
}

/// What the kernel tells of the connection to a mount's daemon.
struct Connection {
    control: PathBuf,
    minor: String,
}

impl Connection {
    fn of(mount: &Mount, scratch: &Scratch) -> Self {
        let control = scratch.directory("fusectl");
        Program::as_root("mount").args(["-t", "fusectl", "none"]).arg(&control).succeed();
        let device = mount_at(mount.path()).expect("the volume is mounted").device;
        let (_, minor) = device.split_once(':').expect("a device has two numbers");
        Self { control, minor: minor.to_owned() }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.control.join(&self.minor).join(name)).expect("ask the kernel")
    }

    /// Waits until somebody waits for the daemon, of which the kernel sends no event.
    fn wait_for_request(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.read("waiting") == "0\n" {
            assert!(Instant::now() < deadline, "nobody asks the daemon");
            std::thread::yield_now();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        Program::as_root("umount").arg(&self.control).succeed();
    }
}

fn error_of(result: io::Result<impl Sized>) -> Option<Errno> {
    result.err().and_then(|error| Errno::from_io_error(&error))
}

#[test]
fn standin_can_exit_0_without_mounting() {
    let client = Client::new(&["standin.fault=exit-without-mounting"]);
    let finished = client.run();
    assert!(finished.status.success(), "{finished:?}");
    assert!(!client.is_mounted());
}

#[test]
fn unreachable_registry_fails_without_mount() {
    let client = Client::new(&["standin.fault=unreachable"]);
    let finished = client.run();
    assert_eq!(finished.status.code(), Some(4));
    assert!(finished.stderr.contains("could not connect"), "{finished:?}");
    assert!(!client.is_mounted());
}

#[test]
fn unknown_switch_fails_without_mount() {
    let client = Client::new(&["standin.falt=eio"]);
    let finished = client.run();
    assert_eq!(finished.status.code(), Some(4));
    assert!(finished.stderr.contains("unknown switch: falt"), "{finished:?}");
    assert!(!client.is_mounted());
}

#[test]
fn environment_switch_overrides_config() {
    let client = Client::new(&["standin.subtype=config"]);
    let program = Program::as_nova("mount.quobyte").env("QUOBYTE_STANDIN_SUBTYPE", "environment");
    program.args(client.arguments()).succeed();
    let entry = mount_at(&client.mount_point).expect("the volume is mounted");
    Program::as_nova("umount.quobyte").arg(&client.mount_point).succeed();
    assert_eq!(entry.fs_type, "fuse.environment");
}

#[test]
fn unmounted_client_dies_with_caller() {
    for setting in ["standin.fault=hang-before-mount", "standin.mount_delay_ms=3600000"] {
        let client = Client::new(&[setting]);
        make_pipe(&client.pid_file);
        let mut caller = BackgroundProcess::start("mount.quobyte", &client.arguments());
        let daemon = client.daemon();
        caller.kill();
        caller.wait_for_end();
        daemon.wait_for_end();
        assert!(!client.is_mounted(), "{setting}");
    }
}

#[test]
fn delayed_mount_is_reported_once_mounted() {
    let start = Instant::now();
    let (_mount, _client) = Client::mounted(&["standin.mount_delay_ms=50"]);
    assert!(start.elapsed() >= Duration::from_millis(50));
}

#[test]
fn standin_late_mount_exits_0_before_mounting() {
    let client = Client::new(&["standin.late_mount_ms=3600000"]);
    let finished = client.run();
    assert!(finished.status.success(), "{finished:?}");
    assert!(!client.is_mounted());
    client.daemon().crash();
}

#[test]
fn late_mount_appears_after_delay() {
    let client = Client::new(&["standin.late_mount_ms=1"]);
    let table = File::open("/proc/self/mountinfo").expect("open the mount table");
    assert!(client.run().status.success());
    while !client.is_mounted() {
        // The kernel reports each change of the table as an exceptional condition.
        poll(&mut [PollFd::new(&table, PollFlags::PRI)], None).expect("wait for a change of the mount table");
    }
    Program::as_nova("umount.quobyte").arg(&client.mount_point).succeed();
}

#[test]
fn file_system_subtype_is_configurable() {
    for (subtype, shown) in [("xtreemfs", "fuse.xtreemfs"), ("", "fuse")] {
        let (mount, _client) = Client::mounted(&[&format!("standin.subtype={subtype}")]);
        assert_eq!(mount_at(mount.path()).expect("the volume is mounted").fs_type, shown);
    }
}

#[test]
fn standin_stale_root_has_a_size() {
    let (mount, client) = Client::mounted(&["standin.fault=stale-root"]);
    let size = || fs::metadata(mount.path()).expect("stat the root").size();
    assert_eq!(size(), 4096);
    client.fail("none");
    assert_eq!(size(), 0);
}

#[test]
fn errno_fails_every_request_until_cleared() {
    let (mount, client) = Client::mounted(&[]);
    let file = mount.path().join("file");
    fs::write(&file, "data").expect("write through the mount");
    for (fault, errno) in [("eio", Errno::IO), ("estale", Errno::STALE), ("enotconn", Errno::NOTCONN)] {
        client.fail(fault);
        assert_eq!(error_of(fs::metadata(mount.path())), Some(errno));
        assert_eq!(error_of(fs::read(&file)), Some(errno));
        client.fail("none");
        assert_eq!(fs::read_to_string(&file).expect("read through the mount"), "data");
    }
}

#[test]
fn standin_no_answer_blocks_sigkill() {
    let client = Client::new(&[]);
    let log = client.scratch.path().join("log");
    make_pipe(&log);
    // Open for writing as well, or opening waits for the client, and its end would end the log.
    let lines = File::options().read(true).write(true).open(&log).expect("open the log");
    Program::as_nova("mount.quobyte").arg("-l").arg(&log).args(client.arguments()).succeed();
    let daemon = client.daemon();
    client.fail("no-answer");
    let mut process = BackgroundProcess::start("stat", &[&client.mount_point]);
    let swallowed =
        BufReader::new(lines).lines().any(|line| line.expect("read the log") == "request left unanswered");
    assert!(swallowed);
    process.kill();
    process.wait_until_uninterruptible();
    daemon.crash();
    process.wait_for_end();
    Program::as_nova("umount.quobyte").arg(&client.mount_point).succeed();
}

#[test]
fn stopped_daemon_leaves_caller_killable() {
    let (mount, client) = Client::mounted(&[]);
    let connection = Connection::of(&mount, &client.scratch);
    let daemon = client.daemon();
    daemon.stop();
    let mut process = BackgroundProcess::start("stat", &[&client.mount_point]);
    connection.wait_for_request();
    process.kill();
    process.wait_for_end();
    daemon.signal(Signal::CONT);
    fs::metadata(&client.mount_point).expect("the daemon answers again");
}

#[test]
fn dead_mount_can_be_unmounted() {
    let (mount, client) = Client::mounted(&["standin.fault=die"]);
    let daemon = client.daemon();
    assert_eq!(error_of(fs::metadata(mount.path())), Some(Errno::CONNABORTED));
    daemon.wait_for_end();
    assert_eq!(error_of(fs::metadata(mount.path())), Some(Errno::NOTCONN));
    assert!(client.is_mounted());
    Program::as_nova("umount.quobyte").arg(mount.path()).succeed();
    assert!(!client.is_mounted());
}

#[test]
fn late_client_exit_preserves_newer_mount() {
    let (mount, client) = Client::mounted(&[]);
    let daemon = client.daemon();
    daemon.stop();
    drop(mount);
    let later = client.volume.mount(&client.mount_point);
    let entry = mount_at(later.path());
    daemon.signal(Signal::CONT);
    daemon.wait_for_end();
    assert_eq!(mount_at(later.path()), entry);
}

#[test]
fn standin_refuses_dead_mount_point() {
    let (mount, client) = Client::mounted(&[]);
    client.daemon().crash();
    assert_eq!(error_of(fs::metadata(mount.path())), Some(Errno::NOTCONN));
    let finished = client.run();
    assert_eq!(finished.status.code(), Some(4));
    assert!(finished.stderr.contains("is busy or already mounted"), "{finished:?}");
}

#[test]
fn latency_delays_every_answer() {
    let (mount, _client) = Client::mounted(&["standin.latency_us=20000"]);
    let start = Instant::now();
    fs::metadata(mount.path()).expect("stat the root");
    assert!(start.elapsed() >= Duration::from_millis(20));
    let missing = fs::metadata(mount.path().join("missing")).expect_err("there is no such file");
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[test]
fn max_background_is_configurable() {
    let (mount, client) = Client::mounted(&["standin.max_background=77"]);
    let connection = Connection::of(&mount, &client.scratch);
    assert_eq!(connection.read("max_background"), "77\n");
}
