use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;
use crate::error::Code;
use crate::error::with_causes;
use crate::host::process;
use crate::pure::connection::{Export, ImageFormat, ImageName};

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
        echo "{\"answer\":[$n,{\"failed\":$n}]}"
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
    assert!(!pool.helpers.has_unreaped(), "none is started for an answer that may not be waited for");
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
    let other = pool.state.open_probe_lock(&at).unwrap();
    other.lock().unwrap();
    let answered = Deadline::after(pool.timeout);
    let reply = pool.query(&at, None);
    assert!(!answered.has_passed());
    drop(other);
    assert_eq!(errno(reply), Some(2));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test is who removes a part of the state directory")]
fn removed_locks_directory_is_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let (pool, at) = (helper_pool(directory.path(), COUNTING_HELPER), mount_path(directory.path()));
    let remove = || fs::remove_dir_all(directory.path().join("state/locks")).unwrap();
    remove();
    assert_eq!(errno(pool.query(&at, None)), Some(1));
    remove();
    assert!(pool.exclude_questions(&at, Deadline::after(Duration::ZERO)).is_some());
}

/// A helper that answers the first request with that line and no other.
fn answering(line: &str) -> String {
    format!("read -r _\necho '{line}'\nread -r _\n")
}

#[test]
fn upgraded_helper_asks_for_restart() {
    let directory = tempfile::tempdir().unwrap();
    let pool = helper_pool(directory.path(), &answering(r#"{"other_version":"99"}"#));
    let at = mount_path(directory.path());

    let error = pool.query(&at, None)().unwrap_err();
    assert_eq!(error.code(), Code::Internal);
    let text = with_causes(&error);
    assert!(text.contains("version 99") && text.ends_with("restart the service"), "{text}");

    install(&pool.program, &answering(r#"{"answer":[1,{"failed":2}]}"#));
    assert!(matches!(pool.query(&at, None)().unwrap_err(), ShareError::Missing { .. }));
}

#[test]
fn answer_to_another_request_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let at = mount_path(directory.path());
    let name = ImageName::parse("disk").unwrap();
    let disk = DeclaredImage { name: &name, format: ImageFormat::Raw };
    let root = r#"{"size":0,"device":{"major":0,"minor":1}}"#;
    let of_chain = |chain: &str| format!(r#"{{"answer":[1,{{"look":[{root},{{"Ok":{chain}}}]}}]}}"#);
    let layer = |path| {
        let identity = r#"{"device":{"major":0,"minor":1},"inode":7}"#;
        format!(r#"[{{"path":"{path}","format":"raw","identity":{identity},"virtual_size":1}}]"#)
    };
    let pool = helper_pool(directory.path(), &answering(&of_chain(&layer("disk"))));
    assert_eq!(pool.query(&at, Some(disk))().unwrap().chain.unwrap().len(), 1);
    for (name, line) in [
        ("an empty chain", of_chain("[]")),
        ("another image", of_chain(&layer("other"))),
        ("another number", r#"{"answer":[2,{"failed":2}]}"#.to_owned()),
        ("no number", r#"{"failed":2}"#.to_owned()),
        ("two answers", "{\"answer\":[1,{\"failed\":2}]}\n{\"answer\":[2,{\"failed\":2}]}".to_owned()),
        ("no JSON", "segmentation fault".to_owned()),
    ] {
        let pool = helper_pool(directory.path(), &answering(&line));
        let error = pool.query(&at, Some(disk))().unwrap_err();
        assert!(matches!(error, ShareError::Helper { .. }), "{name}: {error}");
        assert!(!pool.helpers.has(&at), "{name}: the helper is asked no more");
    }
}

#[test]
fn endless_answer_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let pool = helper_pool(directory.path(), "read -r _\nexec tr '\\0' x </dev/zero\n");
    let error = pool.query(&mount_path(directory.path()), None)().unwrap_err();
    assert!(matches!(error, ShareError::Helper { .. }), "{error}");
}

/// What a fork of this process makes of `child`: whether it has returned true. Only what can run in the fork of a process
/// with threads may be called there.
#[expect(unsafe_code, reason = "no crate forks")]
fn in_fork(child: impl FnOnce() -> bool) -> bool {
    // SAFETY: the fork goes on with this thread alone and ends in `_exit`. The allocator can be used there, since glibc
    // readies it for a fork; nothing that `child` uses is locked by a thread that is gone.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "{}", io::Error::last_os_error());
    if pid == 0 {
        let holds = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or_default();
        // SAFETY: nothing of the parent's is flushed or torn down.
        unsafe { libc::_exit(i32::from(!holds)) };
    }
    let mut status = 0;
    // SAFETY: `status` lives across the call.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    status == 0
}

#[test]
fn fork_shares_no_helper() {
    let directory = tempfile::tempdir().unwrap();
    let (pool, at) = (helper_pool(directory.path(), COUNTING_HELPER), mount_path(directory.path()));
    assert_eq!(errno(pool.query(&at, None)), Some(1));
    let owners = helper_file(&pool, "pid");
    let fork_asks_its_own = |first, second| {
        errno(pool.query(&at, None)) == Some(first) && errno(pool.query(&at, None)) == Some(second)
    };
    assert!(in_fork(|| {
        // And a fork of a fork.
        fork_asks_its_own(1, 2)
            && helper_file(&pool, "pid") != owners
            && in_fork(|| fork_asks_its_own(1, 2))
            && fork_asks_its_own(3, 4)
    }));
    assert_eq!(errno(pool.query(&at, None)), Some(2), "the owner's helper goes on");
}

#[test]
fn fork_that_drops_the_pool_ends_no_helper() {
    let directory = tempfile::tempdir().unwrap();
    let (pool, at) = (helper_pool(directory.path(), COUNTING_HELPER), mount_path(directory.path()));
    assert_eq!(errno(pool.query(&at, None)), Some(1));
    let mut pool = Some(pool);
    assert!(in_fork(|| pool.take().is_some()));
    assert_eq!(errno(pool.unwrap().query(&at, None)), Some(2));
}

#[test]
fn fork_amid_questions_asks_its_own_helper() {
    const FORKS: i32 = 50;
    let directory = tempfile::tempdir().unwrap();
    let (pool, at) = (helper_pool(directory.path(), COUNTING_HELPER), mount_path(directory.path()));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for other in ["reg/one", "reg/two"] {
            let (pool, is_over) = (&pool, &is_over);
            let other = MountPath::new(directory.path(), &Export::parse(other).unwrap());
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    assert!(!matches!(pool.query(&other, None)(), Err(ShareError::Helper { .. })));
                }
            });
        }
        for fork in 1..=FORKS {
            assert_eq!(errno(pool.query(&at, None)), Some(fork));
            assert!(in_fork(|| {
                errno(pool.query(&at, None)) == Some(1) && errno(pool.query(&at, None)) == Some(2)
            }));
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn unmounting_waits_for_killed_helpers() {
    let directory = tempfile::tempdir().unwrap();
    let (pool, at) = (helper_pool(directory.path(), "read -r _"), mount_path(directory.path()));
    let other = MountPath::new(directory.path(), &Export::parse("reg/other").unwrap());
    // Stands for one that was killed and is slow to end.
    let mut helper = process::command(&pool.program).unwrap().stdin(Stdio::piped()).spawn().unwrap();
    let input = helper.stdin.take();
    pool.helpers.keep_killed(&at, helper);

    let soon = Deadline::after(Duration::from_millis(50));
    assert!(pool.exclude_questions(&at, soon).is_some());
    assert!(soon.has_passed(), "it may have files on the share open");
    let late = || Deadline::after(Duration::from_secs(1000));
    assert!(pool.exclude_questions(&other, late()).is_some());
    drop(input);
    assert!(pool.exclude_questions(&at, late()).is_some());
    pool.helpers.reap();
    assert!(!pool.helpers.has_unreaped(), "it has ended");
}
