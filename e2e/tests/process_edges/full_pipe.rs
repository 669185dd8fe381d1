//! A pipe that is full and that nobody reads keeps a command waiting when it is done, and not before.

use std::time::{Duration, Instant};

use e2e::{
    Guest, Program, Running, Site,
    edges::FullPipe,
    faults::{ALICE, BOB},
};
use serde_json::Value;

/// A command whose output nobody reads yet.
struct Unread {
    running: Running,
    pipes: [FullPipe; 2],
}

impl Unread {
    fn start(site: &Site, arguments: &[&str]) -> Self {
        let pipes = [FullPipe::new(), FullPipe::new()];
        let command = site.command(&[&["-v", "-v"], arguments].concat());
        let command = command.input(site.info("one").to_string());
        Self { running: command.output(pipes[0].writer()).errors(pipes[1].writer()).start(), pipes }
    }

    /// Has somebody read what it prints, and waits for its end.
    fn assert_done_once_read(self) {
        let _readers = self.pipes.map(FullPipe::drain);
        let finished = self.running.finish();
        assert!(finished.status.success(), "{finished:?}");
    }
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
    }
}

fn info_of<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [arguments, &["--connection-info", "-"]].concat()
}

/// Others can use the share although the command has not ended.
fn assert_share_is_free(site: &Site, unread: &Unread) {
    site.connect(BOB, &site.info("two")).answer();
    site.disconnect(BOB, &site.info("two")).answer();
    assert!(unread.running.is_running(), "its answer was not read");
}

#[test]
fn unread_output_does_not_hold_up_operations() {
    let site = Site::with_images(&[("one", "raw"), ("two", "raw")]);
    let guest = Guest::define(site.scratch());
    let attached = || site.attachments().len();

    let connect = Unread::start(&site, &info_of(&["connect", "--instance", ALICE]));
    wait_until("it connects", || attached() == 1);
    assert_share_is_free(&site, &connect);
    connect.assert_done_once_read();

    for query in [&["status"][..], &info_of(&["explain"]), &info_of(&["disk-xml", "--target", "vdb"])] {
        let query = Unread::start(&site, query);
        assert_share_is_free(&site, &query);
        query.assert_done_once_read();
    }

    let disconnect = Unread::start(&site, &info_of(&["disconnect", "--instance", ALICE]));
    wait_until("it disconnects", || attached() == 0 && site.mount_directories().is_empty());
    assert_share_is_free(&site, &disconnect);
    disconnect.assert_done_once_read();

    let attach = Unread::start(&site, &info_of(&["attach", guest.name(), "--target", "vdb"]));
    wait_until("it attaches", || guest.xml(&["--inactive"]).contains("vdb"));
    assert_share_is_free(&site, &attach);
    attach.assert_done_once_read();

    site.crash_clients();
    let reconcile = Unread::start(&site, &["reconcile"]);
    wait_until("it mounts again", || site.share_state() == "healthy");
    assert_share_is_free(&site, &reconcile);
    reconcile.assert_done_once_read();

    let detach = Unread::start(&site, &["detach", guest.name(), "vdb"]);
    wait_until("it detaches", || attached() == 0 && site.mount_directories().is_empty());
    assert_share_is_free(&site, &detach);
    detach.assert_done_once_read();
    site.assert_nothing_is_left();
}

#[test]
fn log_is_kept_for_pipe_that_never_waits() {
    let site = Site::with_images(&[("one", "raw"), ("two", "raw")]);
    let errors = FullPipe::new();
    errors.refuse_to_wait();
    let connect = site.command(&["-v", "-v", "connect", "--instance", ALICE, "--connection-info", "-"]);
    let connect = connect.input(site.info("one").to_string()).errors(errors.writer()).start();
    wait_until("it connects", || site.attachments().len() == 1);
    site.connect(BOB, &site.info("two")).answer();
    site.disconnect(BOB, &site.info("two")).answer();
    let log = errors.drain();
    let finished = connect.finish();
    assert!(finished.status.success(), "{finished:?}");
    let log = log.join().expect("it reads");
    let log = log.trim_start_matches('.');
    assert!(log.contains(" INFO mounting "), "{log}");
    site.disconnect(ALICE, &site.info("one")).answer();
    site.assert_nothing_is_left();
}

#[test]
fn answer_is_kept_for_pipe_that_never_waits() {
    let site = Site::with_images(&[("one", "raw"), ("two", "raw")]);
    let output = FullPipe::new();
    output.refuse_to_wait();
    let connect = site.command(&info_of(&["connect", "--instance", ALICE]));
    let connect = connect.input(site.info("one").to_string()).output(output.writer()).start();
    wait_until("it connects", || site.attachments().len() == 1);
    // Once others have the share, all that is left to do is to print.
    site.connect(BOB, &site.info("two")).answer();
    site.disconnect(BOB, &site.info("two")).answer();
    let answer = output.drain();
    let finished = connect.finish();
    assert!(finished.status.success(), "{finished:?}");
    let answer = answer.join().expect("it reads");
    let answer: Value = serde_json::from_str(answer.trim_start_matches('.')).expect("one JSON value");
    assert!(answer["device_path"].as_str().is_some_and(|path| path.ends_with("/one")), "{answer}");
    site.disconnect(ALICE, &site.info("one")).answer();
}

#[test]
fn error_is_kept_for_pipe_that_never_waits() {
    let site = Site::new(&[]);
    for (is_json, stream) in [(true, "stdout"), (false, "stderr")] {
        let pipe = FullPipe::new();
        pipe.refuse_to_wait();
        let program = Program::as_nova("nova-quobyte");
        let program = if is_json { site.with_options(program) } else { site.with_text_options(program) };
        let program =
            program.args(info_of(&["connect", "--instance", ALICE])).input(site.info("none").to_string());
        let program = if is_json { program.output(pipe.writer()) } else { program.errors(pipe.writer()) };
        let connect = program.start();
        wait_until("it is rolled back", || site.state().join("locks").exists() && site.records().is_empty());
        let error = pipe.drain();
        assert_eq!(connect.finish().status.code(), Some(6), "{stream}");
        let error = error.join().expect("it reads");
        assert!(error.contains("image_missing"), "{stream}: {error}");
    }
}

#[test]
fn pipe_that_nobody_reads_is_given_up() {
    let site = Site::with_images(&[("one", "raw")]);
    for command in ["connect", "disconnect"] {
        let output = FullPipe::new();
        output.refuse_to_wait();
        let command = site.command(&info_of(&[command, "--instance", ALICE]));
        let finished = command.input(site.info("one").to_string()).output(output.writer()).run();
        assert_eq!(finished.status.code(), Some(0), "{finished:?}");
        assert!(finished.stderr.contains("the answer cannot be written"), "{finished:?}");
        drop(output);
    }
    let output = FullPipe::new();
    output.refuse_to_wait();
    let finished = site.command(&["status"]).output(output.writer()).run();
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    drop(output);
    site.assert_nothing_is_left();
}
