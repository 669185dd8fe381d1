//! The processes that ask a share's client on the command's behalf.

use std::{fs, os::fd::OwnedFd, path::Path, time::Instant};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::{
    mount_at,
    process::{self, LIMIT},
    wait,
};

/// A process of the command's that has asked the client of a share and waits for its answer.
#[derive(Debug)]
pub struct Helper {
    pid: Pid,
    exit: OwnedFd,
}

impl Helper {
    /// Those that run for the share at `mount_point`.
    #[must_use]
    pub fn all_at(mount_point: &Path) -> Vec<Self> {
        process::with_argument_below(mount_point)
            .into_iter()
            .filter_map(|(pid, arguments)| {
                let (program, arguments) = arguments.split_once('\0')?;
                let (argument, _) = arguments.split_once('\0')?;
                let is_helper =
                    program.ends_with("quobyte-share-helper") && argument == mount_point.to_string_lossy();
                let exit = is_helper.then(|| pidfd_open(pid, PidfdFlags::empty()).ok());
                Some(Self { pid, exit: exit.flatten()? })
            })
            .collect()
    }

    /// The only one for the share at `mount_point`. Panics where there are none or more.
    #[must_use]
    pub fn only_at(mount_point: &Path) -> Self {
        let mut helpers = Self::all_at(mount_point);
        assert_eq!(helpers.len(), 1, "{helpers:?}");
        helpers.remove(0)
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.pid.as_raw_pid()
    }

    /// Is it in the state in which the kernel lets no signal end it?
    #[must_use]
    pub fn is_uninterruptible(&self) -> bool {
        process::state(format!("/proc/{}", self.id()).as_ref()) == Some('D')
    }

    /// Waits until it has ended. Panics when it does not.
    pub fn wait_for_end(&self) {
        assert!(wait::readable(&self.exit, LIMIT), "the helper {:?} does not end", self.pid);
    }
}

/// Waits until somebody waits for the client of the mount at `mount_point`, of which the kernel sends no event.
pub fn wait_for_request(mount_point: &Path) {
    wait_for_requests(mount_point, true);
}

/// Waits until nobody waits for the client of the mount at `mount_point`, and nothing else is under way.
pub(super) fn wait_until_idle(mount_point: &Path) {
    wait_for_requests(mount_point, false);
}

fn wait_for_requests(mount_point: &Path, some: bool) {
    let waiting = mount_at(mount_point).expect("the share is mounted").control("waiting");
    let deadline = Instant::now() + LIMIT;
    while (fs::read_to_string(&waiting).expect("ask the kernel") != "0\n") != some {
        assert!(Instant::now() < deadline, "requests under way: {}", !some);
        std::thread::yield_now();
    }
}
