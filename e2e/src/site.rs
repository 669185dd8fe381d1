//! A host on which `nova-quobyte` is set up: the command as a test runs it, and what it leaves.

mod clients;
mod host_events;
mod images;
mod report;

use std::{
    fs,
    path::{Path, PathBuf},
};

pub use report::Reconciled;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::{Finished, Guest, Program, Scratch, Volume, process};

/// A mount point base, a state directory and a volume, used by `nova-quobyte` as `nova`. What is still mounted when it
/// is dropped is unmounted.
#[derive(Debug)]
pub struct Site {
    volume: Volume,
    base: PathBuf,
    state: PathBuf,
    options: [(&'static str, PathBuf); 3],
    scratch: Scratch,
}

/// What the command answered, which with `--json` is one JSON value whatever happened.
#[derive(Debug)]
pub struct Reply {
    status: i32,
    value: Value,
    warnings: String,
}

impl Site {
    /// Sets one up. `settings` are further lines of the client's configuration.
    pub fn new(settings: &[&str]) -> Self {
        let scratch = Scratch::new();
        let volume = Volume::create(&scratch, "volumes", settings);
        let (base, state) = (scratch.directory("mnt"), scratch.directory("state"));
        let options = [
            ("--quobyte-mount-point-base", base.clone()),
            ("--state-dir", state.clone()),
            ("--quobyte-client-cfg", volume.config().to_owned()),
        ];
        Self { volume, base, state, options, scratch }
    }

    /// Gives the command another value of one of its options from now on. Nothing else changes.
    pub fn set_option(&mut self, option: &str, value: impl Into<PathBuf>) {
        let (_, old) = self
            .options
            .iter_mut()
            .find(|(name, _)| *name == option)
            .unwrap_or_else(|| panic!("{option} is none of the site's options"));
        *old = value.into();
    }

    /// Closes its mount point base to all users but QEMU's, as a host has it: no mount warns of it any more.
    pub fn close_base(&self) {
        Program::as_nova("setfacl").args(["-m", "u:libvirt-qemu:x,o::-"]).arg(&self.base).succeed();
    }

    /// The volume that its client configuration finds.
    pub fn volume(&self) -> &Volume {
        &self.volume
    }

    /// The directory below which volumes are mounted.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// The directory of records and locks.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The directory that all of it is in.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// The least connection_info of a raw image on the volume.
    pub fn info(&self, name: &str) -> Value {
        json!({
            "driver_volume_type": "quobyte",
            "data": {"export": self.volume.export(), "name": name, "format": "raw"},
        })
    }

    /// The command with the site's options and `arguments`, ready to run with others.
    pub fn command(&self, arguments: &[&str]) -> Program {
        self.with_options(Program::as_nova("nova-quobyte")).args(arguments)
    }

    /// `program`, which ends in the command, with the site's options.
    pub fn with_options(&self, program: Program) -> Program {
        self.with_text_options(program.arg("--json"))
    }

    /// The same for an answer in text.
    pub fn with_text_options(&self, program: Program) -> Program {
        let options = self.options.iter();
        options.fold(program, |program, (name, value)| program.arg(name).arg(value))
    }

    /// Runs the command.
    pub fn run(&self, arguments: &[&str]) -> Reply {
        Reply::of(self.command(arguments))
    }

    /// Runs the command with a connection_info.
    pub fn run_with(&self, info: &Value, arguments: &[&str]) -> Reply {
        let program = self.command(arguments).args(["--connection-info", "-"]);
        Reply::of(program.input(info.to_string()))
    }

    /// `connect` for a guest.
    pub fn connect(&self, instance: &str, info: &Value) -> Reply {
        self.run_with(info, &["connect", "--instance", instance])
    }

    /// `disconnect` for a guest.
    pub fn disconnect(&self, instance: &str, info: &Value) -> Reply {
        self.run_with(info, &["disconnect", "--instance", instance])
    }

    /// `attach` to a domain.
    pub fn attach(&self, guest: &Guest, info: &Value, options: &[&str]) -> Reply {
        self.run_with(info, &[&["attach", guest.name()], options].concat())
    }

    /// `detach` from a domain.
    pub fn detach(&self, guest: &Guest, target: &str, options: &[&str]) -> Reply {
        self.run(&[&["detach", guest.name(), target], options].concat())
    }

    /// The names in its mount point base: one for each mounted volume.
    pub fn mount_directories(&self) -> Vec<String> {
        names_in(&self.base)
    }

    /// The names of its records: one for each volume in use.
    pub fn records(&self) -> Vec<String> {
        names_in(&self.state.join("shares"))
    }

    /// Who is attached according to `status`: instance and image of each attachment, sorted.
    pub fn attachments(&self) -> Vec<(String, String)> {
        let status = self.run(&["status"]).answer();
        assert_eq!(status["unusable_records"], json!([]));
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let attachment = |one: &Value| (text(&one["instance"]), text(&one["name"]));
        let shares = status["shares"].as_array().expect("a list of shares").iter();
        let attachments = shares.flat_map(|share| share["attachments"].as_array().expect("a list"));
        let mut attachments: Vec<_> = attachments.map(attachment).collect();
        attachments.sort_unstable();
        attachments
    }

    /// Sends a signal to each of its clients.
    pub fn signal_clients(&self, signal: Signal) {
        for client in clients::of(&self.base) {
            // One that is gone already is as good.
            let _ = kill_process(client, signal);
        }
    }

    /// Stops its clients, and waits until they read no request and answer none. One that ends meanwhile is as good.
    pub fn stop_clients(&self) {
        self.signal_clients(Signal::STOP);
        for client in clients::of(&self.base) {
            process::wait_until_stopped(client);
        }
    }

    /// Ends its clients at once, as a crash does, and waits until they have ended.
    pub fn crash_clients(&self) {
        self.signal_clients(Signal::KILL);
        clients::wait_for_end(&self.base);
    }

    /// Ends one of its clients at once, the `chosen`-th counted around, and does not wait. There may be none.
    pub fn crash_one_client(&self, chosen: usize) {
        let clients = clients::of(&self.base);
        if let Some(client) = clients.get(chosen % clients.len().max(1)) {
            // One that is gone already is as good.
            let _ = kill_process(*client, Signal::KILL);
        }
    }

    /// What the kernel tells of each of its clients in `/proc/PID`: what it has inherited.
    pub fn client_contexts(&self) -> Vec<String> {
        clients::of(&self.base).into_iter().map(clients::context).collect()
    }

    /// How many of the client's processes serve it.
    pub fn client_count(&self) -> usize {
        clients::of(&self.base).len()
    }

    /// Waits until none of the client's processes is left. Panics when one stays.
    pub fn assert_no_client_is_left(&self) {
        clients::wait_for_end(&self.base);
    }

    /// Waits until no process is left that was told of a path below its base: no client, and no helper either, which
    /// is told of the mount it asks. Panics when one stays.
    pub fn assert_no_process_is_left(&self) {
        for (pid, arguments) in process::with_argument_below(&self.base) {
            process::wait_for_end(pid, &arguments);
        }
    }

    /// Makes sure that no mount, directory, record or process of a client is left. Panics with what is.
    pub fn assert_nothing_is_left(&self) {
        assert_eq!(self.mount_directories(), [""; 0], "mount directories");
        assert_eq!(self.records(), [""; 0], "records");
        // A client that is not done could still mount.
        self.assert_no_client_is_left();
        assert_eq!(clients::mounts_below(&self.base), [""; 0], "mounts");
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // In reverse: what lies on top goes first.
        for mount in clients::mounts_below(&self.base).iter().rev() {
            Program::as_root("umount").args(["--lazy", mount]).run();
        }
    }
}

impl Reply {
    /// Runs the command and reads its answer. Panics unless standard output is one JSON value, and standard error
    /// nothing but warnings for a log: no terminal shows them.
    pub fn of(program: Program) -> Self {
        Self::of_finished(&program.run())
    }

    /// Reads the answer of the command that has ended.
    pub fn of_finished(finished: &Finished) -> Self {
        let Finished { stdout, stderr, .. } = finished;
        let is_warning = |line: &str| line.contains(" WARN ") && !line.contains(char::is_control);
        assert!(stderr.lines().all(is_warning), "{finished:?}");
        Self {
            status: finished.status.code().expect("no signal ends the command"),
            value: serde_json::from_str(stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}")),
            warnings: stderr.clone(),
        }
    }

    /// The warnings it logged.
    pub fn warnings(&self) -> &str {
        &self.warnings
    }

    /// The answer. Panics when the command failed.
    pub fn answer(self) -> Value {
        assert_eq!(self.status, 0, "{}", self.value);
        self.value
    }

    /// Whether the command succeeded.
    pub fn is_success(&self) -> bool {
        self.status == 0
    }

    /// Exit status and error code. Panics when the command succeeded.
    pub fn failure(&self) -> (i32, &str) {
        let code = self.value["error"]["code"].as_str();
        let code = code.unwrap_or_else(|| panic!("{} is no error", self.value));
        (self.status, code)
    }

    /// What an error says. Panics when the command succeeded.
    pub fn message(&self) -> &str {
        let message = self.value["error"]["message"].as_str();
        message.unwrap_or_else(|| panic!("{} is no error", self.value))
    }
}

impl Reply {
    /// What an error says that a person can do. Panics when it says nothing of the kind.
    pub fn hint(&self) -> &str {
        let hint = self.value["error"]["hint"].as_str();
        hint.unwrap_or_else(|| panic!("{} has no hint", self.value))
    }
}

/// Sorted; none where there is no such directory.
fn names_in(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("list a directory").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}
