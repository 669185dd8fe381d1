//! What is remembered from one start of a guest to the next: a share that could not be connected, and whether somebody is
//! reconciling.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::error::StateError;
use super::state_dir::StateDir;
use crate::host::deadline::Deadline;
use crate::host::own_file;
use crate::pure::mount_path::MountPath;

impl StateDir {
    /// Remembers that the share at `at` could not be connected just now.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note_failure(&self, at: &MountPath) -> Result<(), StateError> {
        let path = self.lock_path(&failure_name(at));
        let write = || {
            let mut file =
                own_file::make(&path, OpenOptions::new().write(true).create(true).truncate(false))?;
            file.set_len(0)?;
            write!(file, "{}", since_boot().as_secs())
        };
        write().map_err(|source| StateError::Io { path: path.clone(), source })
    }

    /// How long ago the share at `at` could not be connected, if it could not at its last attempt.
    #[must_use]
    pub fn last_failure(&self, at: &MountPath) -> Option<Duration> {
        let file = own_file::open(&self.lock_path(&failure_name(at)), OpenOptions::new().read(true)).ok()?;
        let mut text = String::new();
        file.take(32).read_to_string(&mut text).ok()?;
        since_boot().checked_sub(Duration::from_secs(text.parse().ok()?))
    }

    /// Forgets that the share at `at` could not be connected.
    #[expect(clippy::disallowed_methods, reason = "the file is made and removed here alone")]
    pub fn forget_failure(&self, at: &MountPath) {
        // One that stays counts for a minute.
        let _ = std::fs::remove_file(self.lock_path(&failure_name(at)));
    }

    /// Does `work` unless another process is doing so; then that one does it once more. However many ask meanwhile, it is done
    /// once after the last of them has asked.
    ///
    /// # Errors
    /// When the files that tell cannot be used.
    #[expect(clippy::disallowed_methods, reason = "the file is made and removed here alone")]
    pub fn do_in_turn<E: From<StateError>>(&self, mut work: impl FnMut() -> Result<(), E>) -> Result<(), E> {
        let asked = self.lock_path("reconcile.asked");
        let io = |source| StateError::Io { path: asked.clone(), source };
        own_file::make(&asked, OpenOptions::new().write(true).create(true).truncate(false)).map_err(io)?;
        // Looked at again once the lock is free: whoever asked before could not have it.
        while asked.exists() {
            let lock = self.lock_path("reconcile.lock");
            let Some(_turn) = self.acquire_at(&lock, Deadline::after(Duration::ZERO))? else { break };
            if std::fs::remove_file(&asked).is_ok() {
                work()?;
            }
        }
        Ok(())
    }
}

fn failure_name(at: &MountPath) -> String {
    format!("{}.failed", at.key())
}

fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or_default(), 0)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::pure::connection::Export;

    fn state(directory: &tempfile::TempDir) -> StateDir {
        StateDir::open(&directory.path().join("state")).unwrap()
    }

    #[test]
    fn failure_is_remembered_by_share() {
        let directory = tempfile::tempdir().unwrap();
        let state = state(&directory);
        let at = |export| MountPath::new(Path::new("/mnt"), &Export::parse(export).unwrap());
        let (one, two) = (at("reg/one"), at("reg/two"));
        assert_eq!(state.last_failure(&one), None);
        state.note_failure(&one).unwrap();
        assert!(state.last_failure(&one).is_some_and(|ago| ago < Duration::from_secs(60)));
        assert_eq!(state.last_failure(&two), None);
        state.forget_failure(&one);
        assert_eq!(state.last_failure(&one), None);
    }

    #[test]
    fn work_asked_for_meanwhile_is_done_once_more() {
        let directory = tempfile::tempdir().unwrap();
        let (state, mut done) = (state(&directory), 0);
        state
            .do_in_turn::<StateError>(|| {
                done += 1;
                // Others who ask meanwhile leave the work to this one.
                if done == 1 {
                    for _ in 0..3 {
                        state.do_in_turn::<StateError>(|| panic!("two at once"))?;
                    }
                }
                Ok(())
            })
            .unwrap();
        assert_eq!(done, 2);
        state
            .do_in_turn::<StateError>(|| {
                done += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(done, 3);
    }
}
