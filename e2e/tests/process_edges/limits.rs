//! Every subcommand where processes, descriptors, memory or sizes of files are limited: at each limit it is done, or it is an
//! error with a code and nothing is left.

use std::collections::BTreeMap;
use std::io::{self, Read};

use e2e::{Guest, LimitedUser, Site, faults::ALICE};
use serde_json::Value;

const EXHAUSTED: &str = "host_exhausted";
const DONE: &str = "done";

/// A site of a user of whom nothing else runs, so that nothing else counts.
struct Scenario {
    site: Site,
    guest: Guest,
    user: LimitedUser,
}

impl Scenario {
    fn new() -> Self {
        let site = Site::with_images(&[("one", "raw"), ("two", "raw")]);
        site.scratch().file("one.json", site.info("one").to_string());
        site.scratch().file("two.json", site.info("two").to_string());
        let guest = Guest::define(site.scratch());
        let user = LimitedUser::new(site.scratch());
        Self { site, guest, user }
    }

    /// Runs the command where prlimit's option holds. Returns the error's code, or that it is done.
    fn run(&self, limit: Option<&str>, arguments: &[&str]) -> String {
        // A file may not be as long as the answer. A pipe takes all of it.
        let (mut reader, writer) = io::pipe().expect("make a pipe");
        let command = self.site.with_options(self.user.command(limit)).args(arguments);
        let finished = command.output(writer).run();
        let mut answer = String::new();
        reader.read_to_string(&mut answer).expect("read an answer");
        let answer: Value = serde_json::from_str(&answer)
            .unwrap_or_else(|error| panic!("{limit:?} {arguments:?}: {error}: {answer:?} {finished:?}"));
        let code = answer["error"]["code"].as_str().unwrap_or(DONE).to_owned();
        let status = finished.status.code().expect("no signal ends the command");
        assert_eq!(status == 10, code == EXHAUSTED, "{finished:?}");
        assert_eq!(status == 0, code == DONE, "{finished:?}");
        code
    }

    fn can_load(&self, limit: &str) -> bool {
        self.user.command(Some(limit)).arg("--version").run().status.success()
    }

    /// The path of an image's connection_info.
    fn info(&self, image: &str) -> String {
        self.site.scratch().path().join(format!("{image}.json")).to_string_lossy().into_owned()
    }

    /// Does something under the limit, then undoes it, under the limit if that is possible there.
    fn do_and_undo(&self, limit: &str, act: &[&str], undo: &[&str]) -> [String; 2] {
        let done = self.run(Some(limit), act);
        if done != DONE {
            self.assert_nothing_is_left(limit, act);
            return [done, String::new()];
        }
        let undone = self.run(Some(limit), undo);
        if undone != DONE {
            assert_eq!(self.run(None, undo), DONE, "{limit}: {undo:?}, once {undone}");
        }
        self.assert_nothing_is_left(limit, undo);
        [done, undone]
    }

    fn assert_nothing_is_left(&self, limit: &str, arguments: &[&str]) {
        let left = (self.site.mount_directories(), self.site.records());
        assert_eq!(left, (vec![], vec![]), "{limit} {arguments:?}");
        assert!(!self.guest.xml(&["--inactive"]).contains("vdb"), "{limit} {arguments:?}");
        self.site.assert_no_process_is_left();
    }

    /// Everything that changes something, and the queries of a host without volumes.
    fn change(&self, limit: &str) -> Vec<String> {
        let domain = self.guest.name();
        let [one, two] = ["one", "two"].map(|image| self.info(image));
        let mut codes = vec![self.run(Some(limit), &["status"]), self.run(Some(limit), &["reconcile"])];
        let [connect, disconnect] = ["connect", "disconnect"].map(|command| on(command, &one));
        codes.extend(self.do_and_undo(limit, &connect, &disconnect));
        let attach = ["attach", domain, "--target", "vdb", "--connection-info", &two];
        codes.extend(self.do_and_undo(limit, &attach, &["detach", domain, "vdb"]));
        codes
    }

    /// The queries of a volume that is connected.
    fn query(&self, limit: &str) -> Vec<String> {
        let info = self.info("one");
        let of_one = ["--connection-info", &info];
        let disk_xml = [&["disk-xml", "--target", "vdb"][..], &of_one].concat();
        let explain = [&["explain"][..], &of_one].concat();
        let queries: [&[&str]; 4] = [&["status"], &["reconcile", "--dry-run"], &disk_xml, &explain];
        queries.map(|query| self.run(Some(limit), query)).into()
    }

    /// Takes a step under each limit until all of it is done under several of them, and returns how often what came of it.
    fn sweep(
        &self,
        limits: impl IntoIterator<Item = String>,
        step: impl Fn(&Self, &str) -> Vec<String>,
    ) -> BTreeMap<String, usize> {
        let mut seen = BTreeMap::new();
        let mut successes = 0;
        // With less the program itself cannot be loaded.
        for limit in limits.into_iter().skip_while(|limit| !self.can_load(limit)) {
            let codes = step(self, &limit);
            successes = if codes.iter().all(|code| code == DONE) { successes + 1 } else { 0 };
            for code in codes {
                *seen.entry(code).or_default() += 1;
            }
            if successes == 3 {
                return seen;
            }
        }
        panic!("never is everything done: {seen:?}");
    }
}

fn on<'a>(command: &'a str, info: &'a str) -> [&'a str; 5] {
    [command, "--instance", ALICE, "--connection-info", info]
}

/// With little, the client refuses, or dies once it has mounted.
const CLIENT_CODES: [&str; 3] = ["mount_failed", "mount_stale", "mount_not_visible"];

fn assert_swept(option: &str, limits: impl IntoIterator<Item = u64>) {
    let limits: Vec<_> = limits.into_iter().map(|limit| format!("--{option}={limit}")).collect();
    let scenario = Scenario::new();
    let seen = scenario.sweep(limits.clone(), Scenario::change);
    assert!(seen.contains_key(EXHAUSTED), "{seen:?}");
    let known = [&[EXHAUSTED, DONE, ""], &CLIENT_CODES[..]].concat();
    assert!(seen.keys().all(|code| known.contains(&code.as_str())), "{seen:?}");

    let info = scenario.info("one");
    assert_eq!(scenario.run(None, &on("connect", &info)), DONE);
    let seen = scenario.sweep(limits, Scenario::query);
    assert!(seen.keys().all(|code| [EXHAUSTED, DONE].contains(&code.as_str())), "{seen:?}");
    assert_eq!(scenario.run(None, &on("disconnect", &info)), DONE);
    scenario.assert_nothing_is_left(option, &["disconnect"]);
}

#[test]
fn few_processes_leave_nothing_half_done() {
    assert_swept("nproc", 1..=200);
}

#[test]
fn few_descriptors_leave_nothing_half_done() {
    assert_swept("nofile", 1..=200);
}

#[test]
fn little_memory_leaves_nothing_half_done() {
    assert_swept("as", (16..1024).step_by(8).map(|mebibytes| mebibytes << 20));
}

#[test]
fn small_file_size_limit_is_an_error() {
    assert_swept("fsize", (0..4).chain((64..1 << 16).step_by(256)));
}
