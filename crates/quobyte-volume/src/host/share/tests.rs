use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::error::with_causes;
use crate::host::flock;
use crate::pure::connection::Export;

fn place(base: &Path) -> MountPath {
    MountPath::new(base, &Export::parse("reg/vol").unwrap())
}

#[expect(clippy::disallowed_methods, reason = "the test is who installs programs")]
fn install(program: &Path, script: &str) {
    fs::write(program, format!("#!/bin/sh\n{script}")).unwrap();
    fs::set_permissions(program, Permissions::from_mode(0o755)).unwrap();
}

/// Shares whose helpers are this shell script.
fn shares(directory: &Path, script: &str) -> Shares {
    let program = directory.join("helper");
    install(&program, script);
    let state = StateDir::open(&directory.join("state")).unwrap();
    Shares::new(program, state, Duration::from_secs(30))
}

/// Counts what it is asked, in the error number that it answers and in a file beside it, and says who it is in another.
const COUNTS: &str = r#"
    echo $$ >"$0.pid"
    n=0
    while read -r _; do
        n=$((n + 1))
        echo $n >"$0.asked"
        echo "{\"failed\":$n}"
    done
"#;

fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let limit = Deadline::after(Duration::from_secs(30));
    while !holds() {
        assert!(!limit.has_passed(), "{what}");
        thread::yield_now();
    }
}

fn left_by(shares: &Shares, what: &str) -> String {
    fs::read_to_string(shares.program.with_extension(what)).unwrap_or_default().trim().to_owned()
}

fn counted(look: PendingLook<'_>) -> Option<i32> {
    match look().unwrap_err() {
        ShareError::Failed { source, .. } => source.raw_os_error(),
        ShareError::Missing { .. } => Some(libc::ENOENT),
        other => panic!("{other}"),
    }
}

#[test]
fn idle_helper_works_before_look_is_awaited() {
    let directory = tempfile::tempdir().unwrap();
    let (shares, at) = (shares(directory.path(), COUNTS), place(directory.path()));
    drop(shares.look(&at, None));
    assert!(lock(&shares.given_up).is_empty(), "none is started for an answer that may not be waited for");
    assert_eq!(counted(shares.look(&at, None)), Some(1));
    let second = shares.look(&at, None);
    await_that("it is at work", || left_by(&shares, "asked") == "2");
    assert_eq!(counted(second), Some(2));
}

#[test]
fn answer_of_dropped_look_is_discarded() {
    let directory = tempfile::tempdir().unwrap();
    let (shares, at) = (shares(directory.path(), COUNTS), place(directory.path()));
    assert_eq!(counted(shares.look(&at, None)), Some(1));
    let process = Path::new("/proc").join(left_by(&shares, "pid"));
    assert!(process.exists());
    drop(shares.look(&at, None));
    assert_eq!(counted(shares.look(&at, None)), Some(1), "by a helper of its own");
    await_that("the other is gone, and reaped with the next question", || {
        assert!(counted(shares.look(&at, None)).is_some());
        !process.exists()
    });
}

#[test]
fn look_does_not_block_on_probe_lock() {
    let directory = tempfile::tempdir().unwrap();
    let (shares, at) = (shares(directory.path(), COUNTS), place(directory.path()));
    assert_eq!(counted(shares.look(&at, None)), Some(1));
    let other = flock::open(&shares.state.probe_lock(&at)).unwrap();
    other.lock().unwrap();
    let answered = Deadline::after(shares.timeout);
    let look = shares.look(&at, None);
    assert!(!answered.has_passed());
    drop(other);
    assert_eq!(counted(look), Some(2));
}

#[test]
fn upgraded_helper_asks_for_restart() {
    let directory = tempfile::tempdir().unwrap();
    let answering = |answer: &str| format!("read -r _\necho '{answer}'\nread -r _\n");
    let shares = shares(directory.path(), &answering(r#"{"other_version":"99.0.0"}"#));
    let at = place(directory.path());

    let error = shares.look(&at, None)().unwrap_err();
    assert_eq!(error.code(), Code::Internal);
    let text = with_causes(&error);
    assert!(text.contains("version 99.0.0") && text.ends_with("restart the service"), "{text}");

    install(&shares.program, &answering(r#"{"failed":2}"#));
    assert!(matches!(shares.look(&at, None)().unwrap_err(), ShareError::Missing { .. }));
}
