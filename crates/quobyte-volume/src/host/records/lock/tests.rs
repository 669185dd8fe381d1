use super::*;
use crate::error::Code;
use crate::host::records::tests::{StateFixture, at, record, soon, state_fixture};

#[test]
fn share_lock_is_exclusive_per_share() {
    let StateFixture { state, directory: _kept } = state_fixture();
    let held = state.lock(&at("reg/vol"), soon()).unwrap();
    let refused = state.lock(&at("reg/vol"), soon()).unwrap_err();
    assert_eq!(refused.code(), Code::LockTimeout);
    state.lock(&at("reg/other"), soon()).unwrap();
    drop(held);
    state.lock(&at("reg/vol"), soon()).unwrap();
}

#[test]
fn waiter_takes_the_lock_that_others_find() {
    let StateFixture { state, directory } = state_fixture();
    let path = directory.path().join("state/locks").join(format!("{}.lock", at("reg/vol").key()));
    let removed = state.lock(&at("reg/vol"), soon()).unwrap();
    let waits = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| state.lock(&at("reg/vol"), Deadline::after(Duration::from_secs(30))));
        // It waits once it has opened the file.
        let opened = || std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        let is_lock = |entry: std::fs::DirEntry| entry.path().read_link().is_ok_and(|link| link == path);
        while opened().filter_map(|entry| is_lock(entry).then_some(())).count() < 2 {}
        let other = directory.path().join("other");
        #[expect(clippy::disallowed_methods, reason = "the test is who replaces the lock file")]
        std::fs::rename(&path, other).unwrap();
        drop(removed);
        waiter.join().unwrap()
    });
    let waited = waits.unwrap();
    assert!(path.exists());
    assert!(matches!(state.lock(&at("reg/vol"), soon()), Err(StateError::Locked { .. })));
    drop(waited);
}

#[test]
fn holder_of_removed_lock_stores_nothing() {
    let StateFixture { state, directory } = state_fixture();
    let held = state.lock(&at("reg/vol"), soon()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the test is who removes the state directory")]
    std::fs::remove_dir_all(directory.path().join("state")).unwrap();
    let other = state.lock(&at("reg/vol"), soon()).unwrap();
    assert_eq!(held.store(&record()).unwrap_err().code(), Code::StateUnavailable);
    other.store(&record()).unwrap();
    assert_eq!(other.load().unwrap(), Some(record()));
}

/// Has the state directory removed while `lock` is waited for, and makes sure that the waiter excludes others then.
#[expect(clippy::disallowed_methods, reason = "the test is who removes the state directory")]
fn assert_excludes_in_new_directory<L: Send>(
    path: &Path,
    lock: impl Fn(Deadline) -> Result<L, StateError> + Sync,
) {
    let removed = lock(soon()).unwrap();
    let late = Deadline::after(Duration::from_secs(30));
    let held = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| lock(late));
        wait_for_waiter(&path.join("locks"));
        std::fs::remove_dir_all(path).unwrap();
        drop(removed);
        waiter.join().unwrap()
    });
    let held = held.unwrap();
    assert!(matches!(lock(soon()), Err(StateError::Locked { .. })));
    drop(held);
}

#[test]
fn every_lock_excludes_after_state_dir_is_remade() {
    let StateFixture { state, directory } = state_fixture();
    let path = directory.path().join("state");
    let (instance, target) = (InstanceId::from(uuid::Uuid::from_u128(1)), TargetDev::parse("vdb").unwrap());
    let (export, at) = (record().export, at("reg/vol"));
    assert_excludes_in_new_directory(&path, |deadline| state.lock(&at, deadline));
    assert_excludes_in_new_directory(&path, |deadline| state.lock_grants(&export, &at, deadline));
    assert_excludes_in_new_directory(&path, |deadline| state.lock_disk(instance, &target, deadline));
}

/// Waits until this process has a file of that directory open twice.
fn wait_for_waiter(locks: &Path) {
    let count = || {
        let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        open.filter(|entry| entry.path().read_link().is_ok_and(|file| file.starts_with(locks))).count()
    };
    while count() < 2 {}
}

#[test]
fn disk_lock_leaves_no_file() {
    let StateFixture { state, directory } = state_fixture();
    let locks = directory.path().join("state/locks");
    let (instance, target) = (InstanceId::from(uuid::Uuid::from_u128(1)), TargetDev::parse("vdb").unwrap());
    let held = state.lock_disk(instance, &target, soon()).unwrap();
    assert_eq!(locks.read_dir().unwrap().count(), 1);
    let late = Deadline::after(Duration::from_secs(30));
    let waited = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| state.lock_disk(instance, &target, late));
        wait_for_waiter(&locks);
        drop(held);
        waiter.join().unwrap()
    });
    assert!(state.lock_disk(instance, &target, soon()).is_err());
    drop(waited);
    assert_eq!(locks.read_dir().unwrap().count(), 0);
}
