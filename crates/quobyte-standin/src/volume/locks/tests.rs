use std::sync::mpsc::{Receiver, channel};

use super::*;

const INODE: INodeNo = INodeNo(7);

fn lock(owner: u64, start: u64, end: u64, mode: Mode) -> Lock {
    let range = Range { start, end };
    Lock { owner: LockOwner(owner), file: FileHandle(owner * 10), process: 1, range, mode }
}

fn acquire(locks: &Locks, lock: Lock, wait: bool) -> Receiver<Result<()>> {
    let (sender, receiver) = channel();
    locks.acquire(INODE, lock, wait, Box::new(move |outcome| sender.send(outcome).unwrap()));
    receiver
}

fn try_acquire(locks: &Locks, lock: Lock) -> Result<()> {
    acquire(locks, lock, false).try_recv().unwrap()
}

#[test]
fn readers_share_and_a_writer_excludes() {
    let locks = Locks::default();
    assert_eq!(try_acquire(&locks, lock(1, 0, 9, Mode::Shared)), Ok(()));
    assert_eq!(try_acquire(&locks, lock(2, 5, 5, Mode::Shared)), Ok(()));
    assert_eq!(try_acquire(&locks, lock(3, 9, 20, Mode::Exclusive)), Err(Errno::AGAIN));
    assert_eq!(try_acquire(&locks, lock(3, 10, 20, Mode::Exclusive)), Ok(()));
    assert_eq!(try_acquire(&locks, lock(1, 0, 10, Mode::Shared)), Err(Errno::AGAIN));
}

#[test]
fn locks_of_same_owner_do_not_conflict() {
    let locks = Locks::default();
    assert_eq!(try_acquire(&locks, lock(1, 0, 9, Mode::Shared)), Ok(()));
    assert_eq!(try_acquire(&locks, lock(1, 0, 9, Mode::Exclusive)), Ok(()));
    assert_eq!(try_acquire(&locks, lock(2, 0, 0, Mode::Shared)), Err(Errno::AGAIN));
}

#[test]
fn releasing_lock_middle_keeps_both_ends() {
    let locks = Locks::default();
    assert_eq!(try_acquire(&locks, lock(1, 0, u64::MAX, Mode::Exclusive)), Ok(()));
    locks.release(INODE, LockOwner(1), Range { start: 10, end: 19 });
    for (start, end, free) in [(9, 9, false), (10, 19, true), (20, 20, false), (0, 0, false)] {
        let wanted = lock(2, start, end, Mode::Exclusive);
        assert_eq!(locks.conflict(INODE, &wanted).is_none(), free, "{start}..={end}");
    }
}

#[test]
fn conflict_returns_blocking_lock() {
    let locks = Locks::default();
    let held = lock(1, 100, 199, Mode::Shared);
    assert_eq!(try_acquire(&locks, held.clone()), Ok(()));
    assert_eq!(locks.conflict(INODE, &lock(2, 0, 150, Mode::Exclusive)), Some(held));
    assert_eq!(locks.conflict(INODE, &lock(2, 0, 150, Mode::Shared)), None);
    assert_eq!(locks.conflict(INodeNo(8), &lock(2, 0, 150, Mode::Exclusive)), None);
}

#[test]
fn waiting_lock_is_granted_on_release() {
    let locks = Locks::default();
    assert_eq!(try_acquire(&locks, lock(1, 0, 0, Mode::Exclusive)), Ok(()));
    let second = acquire(&locks, lock(2, 0, 0, Mode::Exclusive), true);
    let third = acquire(&locks, lock(3, 0, 0, Mode::Exclusive), true);
    assert!(second.try_recv().is_err());
    locks.release(INODE, LockOwner(1), Range { start: 0, end: 0 });
    assert_eq!(second.try_recv(), Ok(Ok(())));
    assert!(third.try_recv().is_err());
    locks.release_owner(INODE, LockOwner(2));
    assert_eq!(third.try_recv(), Ok(Ok(())));
}

#[test]
fn lock_downgrade_grants_waiting_reader() {
    let locks = Locks::default();
    assert_eq!(try_acquire(&locks, lock(1, 0, 0, Mode::Exclusive)), Ok(()));
    let reader = acquire(&locks, lock(2, 0, 0, Mode::Shared), true);
    assert_eq!(try_acquire(&locks, lock(1, 0, 0, Mode::Shared)), Ok(()));
    assert_eq!(reader.try_recv(), Ok(Ok(())));
}

#[test]
fn file_close_drops_locks_of_handle() {
    let locks = Locks::default();
    assert_eq!(try_acquire(&locks, lock(1, 0, 0, Mode::Exclusive)), Ok(()));
    locks.release_file(INODE, FileHandle(99));
    assert_eq!(try_acquire(&locks, lock(2, 0, 0, Mode::Exclusive)), Err(Errno::AGAIN));
    locks.release_file(INODE, FileHandle(10));
    assert_eq!(try_acquire(&locks, lock(2, 0, 0, Mode::Exclusive)), Ok(()));
}
