//! A pipe that is full and that nobody reads keeps a command waiting when it is done, and not before.

use std::time::{Duration, Instant};

use e2e::{
    Guest, Running, Site,
    edges::FullPipe,
    faults::{ALICE, BOB},
};

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
