use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::error::Code;
use crate::error::with_causes;
use crate::host::flock;
use crate::pure::connection::Export;

fn mount_path(base: &Path) -> MountPath {
    MountPath::new(base, &Export::parse("reg/vol").unwrap())
}

#[expect(clippy::disallowed_methods, reason = "the test is who installs programs")]
fn install(program: &Path, script: &str) {
    fs::write(program, format!("#!/bin/sh\n{script}")).unwrap();
    fs::set_permissions(program, Permissions::from_mode(0o755)).unwrap();
}

/// A pool whose helpers are this shell script.
fn helper_pool(directory: &Path, script: &str) -> HelperPool {
    let program = directory.join("helper");
    install(&program, script);
    let state = StateDir::open(&directory.join("state")).unwrap();
    HelperPool::new(program, state, Duration::from_secs(30))
}

/// Counts what it is asked, in the error number that it answers and in a file beside it, and says who it is in another.
const COUNTING_HELPER: &str = r#"
    echo $$ >"$0.pid"
    n=0
    while read -r _; do
        n=$((n + 1))
        echo $n >"$0.asked"
        echo "{\"failed\":$n}"
    done
"#;

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Deadline::after(Duration::from_secs(30));
    while !holds() {
        assert!(!deadline.has_passed(), "{what}");
        thread::yield_now();
    }
}

fn helper_file(pool: &HelperPool, what: &str) -> String {
    fs::read_to_string(pool.program.with_extension(what)).unwrap_or_default().trim().to_owned()
}

fn errno(reply: PendingShareReply<'_>) -> Option<i32> {
    match reply().unwrap_err() {
        ShareError::Failed { source, .. } => source.raw_os_error(),
        ShareError::Missing { .. } => Some(libc::ENOENT),
        other => panic!("{other}"),
    }
}

#[test]
fn idle_helper_works_before_query_is_awaited() {
    let directory = tempfile::tempdir().unwrap();
    let (pool, at) = (helper_pool(directory.path(), COUNTING_HELPER), mount_path(directory.path()));
    drop(pool.query(&at, None));
    assert!(lock(&pool.unreaped).is_empty(), "none is started for an answer that may not be waited for");
    assert_eq!(errno(pool.query(&at, None)), Some(1));
    let second = pool.query(&at, None);
    wait_until("it is at work", || helper_file(&pool, "asked") == "2");
    assert_eq!(errno(second), Some(2));
}

#[test]
fn answer_of_dropped_query_is_discarded() {
    let directory = tempfile::tempdir().unwrap();
    let (pool, at) = (helper_pool(directory.path(), COUNTING_HELPER), mount_path(directory.path()));
    assert_eq!(errno(pool.query(&at, None)), Some(1));
    let process = Path::new("/proc").join(helper_file(&pool, "pid"));
    assert!(process.exists());
    drop(pool.query(&at, None));
    assert_eq!(errno(pool.query(&at, None)), Some(1), "by a helper of its own");
    wait_until("the other is gone, and reaped with the next question", || {
        assert!(errno(pool.query(&at, None)).is_some());
        !process.exists()
    });
}

#[test]
fn query_does_not_block_on_probe_lock() {
    let directory = tempfile::tempdir().unwrap();
    let (pool, at) = (helper_pool(directory.path(), COUNTING_HELPER), mount_path(directory.path()));
    assert_eq!(errno(pool.query(&at, None)), Some(1));
    let other = flock::open(&pool.state.probe_lock(&at)).unwrap();
    other.lock().unwrap();
    let answered = Deadline::after(pool.timeout);
    let reply = pool.query(&at, None);
    assert!(!answered.has_passed());
    drop(other);
    assert_eq!(errno(reply), Some(2));
}

#[test]
fn upgraded_helper_asks_for_restart() {
    let directory = tempfile::tempdir().unwrap();
    let answering = |answer: &str| format!("read -r _\necho '{answer}'\nread -r _\n");
    let pool = helper_pool(directory.path(), &answering(r#"{"other_version":"99.0.0"}"#));
    let at = mount_path(directory.path());

    let error = pool.query(&at, None)().unwrap_err();
    assert_eq!(error.code(), Code::Internal);
    let text = with_causes(&error);
    assert!(text.contains("version 99.0.0") && text.ends_with("restart the service"), "{text}");

    install(&pool.program, &answering(r#"{"failed":2}"#));
    assert!(matches!(pool.query(&at, None)().unwrap_err(), ShareError::Missing { .. }));
}
