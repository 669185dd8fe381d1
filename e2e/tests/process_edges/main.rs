//! Every subcommand in unusual surroundings: none of them decides over an operation, and what was done or undone is so.

mod full_pipe;
mod limits;

use std::{fs, os::unix::fs::PermissionsExt};

use e2e::{Finished, Guest, Site, edges::Edge, faults::ALICE};
use serde_json::Value;

/// A site whose base and state directory have yet to be made, a guest that is shut off, and the surroundings.
struct Scenario {
    site: Site,
    guest: Guest,
    edge: Edge,
    json: bool,
}

impl Scenario {
    fn new(edge: Edge, json: bool) -> Self {
        let mut site = Site::with_images(&[("one", "raw"), ("two", "raw")]);
        site.set_option("--quobyte-mount-point-base", site.base().join("made/mnt"));
        site.set_option("--state-dir", site.state().join("made"));
        let guest = Guest::define(site.scratch());
        Self { site, guest, edge, json }
    }

    /// Runs the command with all there is to log, so that it writes to standard error half-way.
    fn run(&self, arguments: &[&str]) -> Finished {
        let command = self.edge.command(self.site.scratch().path()).args(["-v", "-v"]);
        let options = if self.json { Site::with_options } else { Site::with_text_options };
        options(&self.site, command).args(arguments).run()
    }

    fn run_on(&self, image: &str, arguments: &[&str]) -> Finished {
        // Standard input may be closed.
        let info = self.site.scratch().file("info.json", self.site.info(image).to_string());
        self.run(&[arguments, &["--connection-info", &info.to_string_lossy()]].concat())
    }

    fn assert_status(&self, finished: &Finished, status: i32) {
        let (edge, json) = (self.edge, self.json);
        assert_eq!(finished.status.code(), Some(status), "{edge:?}, json {json}: {finished:?}");
        assert!(!finished.stderr.contains("panicked"), "{edge:?}: {finished:?}");
        if self.edge.keeps_output() && self.json {
            let answer = serde_json::from_str::<Value>(&finished.stdout);
            assert!(answer.is_ok(), "{edge:?}: {finished:?}");
        }
    }

    fn assert_done(&self, finished: &Finished) {
        self.assert_status(finished, 0);
    }

    /// A query whose answer cannot be written has failed, and has changed nothing.
    fn assert_answered(&self, finished: &Finished) {
        self.assert_status(finished, i32::from(self.edge.loses_answers()));
    }

    fn assert_attached(&self, images: &[&str]) {
        let attached: Vec<_> = self.site.attachments().into_iter().map(|(_, image)| image).collect();
        assert_eq!(attached, images, "{:?}", self.edge);
    }

    fn assert_nothing_is_left(&self) {
        for directory in ["mnt/made/mnt", "state/made/shares", "state/made/launch"] {
            let entries = fs::read_dir(self.site.scratch().path().join(directory));
            let names: Vec<_> =
                entries.into_iter().flatten().map(|entry| entry.expect("list").file_name()).collect();
            assert!(names.is_empty(), "{:?}: {directory}: {names:?}", self.edge);
        }
        self.site.assert_no_process_is_left();
    }
}

/// Has every subcommand succeed, and a repair, and an operation that fails.
fn run_all_subcommands(edge: Edge, json: bool) {
    let scenario = Scenario::new(edge, json);
    let Scenario { site, guest, .. } = &scenario;
    let domain = guest.name();

    scenario.assert_done(&scenario.run_on("one", &["connect", "--instance", ALICE]));
    scenario.assert_attached(&["one"]);
    scenario.assert_answered(&scenario.run_on("one", &["disk-xml", "--target", "vdb"]));
    scenario.assert_answered(&scenario.run_on("one", &["explain"]));
    scenario.assert_answered(&scenario.run(&["status"]));
    scenario.assert_answered(&scenario.run(&["config", "show"]));
    scenario.assert_done(&scenario.run_on("one", &["disconnect", "--instance", ALICE]));
    scenario.assert_nothing_is_left();

    // The command that it runs may have no reader either.
    let command = ["--", "sh", "-c", "trap '' PIPE; ls one >&2; echo '{}'; exit 0"];
    let run = [&["run", "--export", site.volume().export()][..], &command].concat();
    scenario.assert_done(&scenario.run(&run));
    scenario.assert_nothing_is_left();

    // Nothing that was begun stays.
    scenario.assert_status(&scenario.run_on("none", &["connect", "--instance", ALICE]), 6);
    scenario.assert_status(&scenario.run_on("none", &["attach", domain]), 6);
    scenario.assert_nothing_is_left();

    scenario.assert_done(&scenario.run_on("two", &["attach", domain, "--target", "vdb"]));
    scenario.assert_attached(&["two"]);
    assert!(guest.xml(&["--inactive"]).contains("vdb"), "{edge:?}");
    site.crash_clients();
    scenario.assert_answered(&scenario.run(&["reconcile", "--dry-run"]));
    scenario.assert_done(&scenario.run(&["reconcile"]));
    assert_eq!(site.share_state(), "healthy", "{edge:?}");
    scenario.assert_done(&scenario.run(&["detach", domain, "vdb"]));
    assert!(!guest.xml(&["--inactive"]).contains("vdb"), "{edge:?}");
    scenario.assert_nothing_is_left();
}

fn run_all_under(edges: &[Edge]) {
    for &edge in edges {
        for json in [true, false] {
            run_all_subcommands(edge, json);
        }
    }
}

#[test]
fn no_edge_is_left_out() {
    let tested =
        [OUTPUTS, &[Edge::ErrorsClosed, Edge::ErrorsFull, Edge::ErrorsBroken], SIGNALS, UMASKS, OTHERS];
    assert_eq!(tested.concat().len(), Edge::ALL.len());
}

const OUTPUTS: &[Edge] =
    &[Edge::OutputClosed, Edge::OutputFull, Edge::OutputBroken, Edge::StreamsClosed, Edge::BothFull];
const SIGNALS: &[Edge] = &[Edge::ChildrenIgnored, Edge::SignalsIgnored, Edge::SignalsBlocked];
const UMASKS: &[Edge] = &[Edge::OpenUmask, Edge::GroupUmask, Edge::PrivateUmask, Edge::ClosedUmask];
const OTHERS: &[Edge] = &[
    Edge::BareEnvironment,
    Edge::ShortPath,
    Edge::DirectoryGone,
    Edge::ClockJumps,
    Edge::Unimportant,
    Edge::FewDescriptorsAtFirst,
    Edge::SmallStackAtFirst,
];

#[test]
fn standard_output_decides_nothing() {
    run_all_under(OUTPUTS);
}

#[test]
fn standard_error_decides_nothing() {
    run_all_under(&[Edge::ErrorsClosed, Edge::ErrorsFull, Edge::ErrorsBroken]);
}

#[test]
fn signals_decide_nothing() {
    run_all_under(SIGNALS);
}

#[test]
fn umask_decides_nothing() {
    run_all_under(UMASKS);
}

#[test]
fn environment_decides_nothing() {
    run_all_under(OTHERS);
}

#[test]
fn modes_do_not_depend_on_umask() {
    for &edge in UMASKS {
        let scenario = Scenario::new(edge, true);
        scenario.assert_done(&scenario.run_on("one", &["connect", "--instance", ALICE]));
        let mode = |path: &str| {
            let path = scenario.site.scratch().path().join(path);
            fs::metadata(&path).expect("it was made").permissions().mode() & 0o7777
        };
        let modes = ["mnt/made", "mnt/made/mnt", "state/made", "state/made/locks"].map(mode);
        // The base lets only QEMU's user pass.
        assert_eq!(modes, [0o755, 0o710, 0o700, 0o700], "{edge:?}");
        scenario.assert_done(&scenario.run_on("one", &["disconnect", "--instance", ALICE]));
    }
}

#[test]
fn client_inherits_nothing_from_caller() {
    let client_of = |edge: Option<Edge>| {
        let scenario = Scenario::new(edge.unwrap_or(Edge::DirectoryGone), true);
        scenario.assert_done(&scenario.run_on("one", &["connect", "--instance", ALICE]));
        let scratch = scenario.site.scratch().path().to_string_lossy().into_owned();
        let contexts = scenario.site.client_contexts().join("\n").replace(&scratch, "");
        scenario.assert_done(&scenario.run_on("one", &["disconnect", "--instance", ALICE]));
        contexts
    };
    let usual = client_of(None);
    assert!(usual.contains("SigBlk:\t0000000000000000"), "{usual}");
    assert!(usual.lines().any(|line| line.starts_with("Max stack") && line.contains(" 8388608 ")), "{usual}");
    for edge in [
        Edge::SignalsIgnored,
        Edge::SignalsBlocked,
        Edge::ClosedUmask,
        Edge::StreamsClosed,
        Edge::SmallStackAtFirst,
    ] {
        assert_eq!(client_of(Some(edge)), usual, "{edge:?}");
    }
}

#[test]
fn client_does_not_hold_callers_lock() {
    let site = Site::with_images(&[("one", "raw")]);
    let lock = site.scratch().file("lock", "");
    let script = format!("exec 9<{lock} && flock 9 && exec \"$@\"", lock = lock.display());
    let command = e2e::Program::as_nova("sh").args(["-c", &script, "sh", "nova-quobyte"]);
    let connect = site.with_options(command).args(["connect", "--instance", ALICE, "--connection-info", "-"]);
    e2e::Reply::of(connect.input(site.info("one").to_string())).answer();
    let lock = fs::File::open(lock).expect("open the lock");
    assert!(lock.try_lock().is_ok(), "a lock that the caller held is held by the client");
}
