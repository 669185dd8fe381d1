//! Who uses which share: durable records, and the lock that goes with each.
//!
//! ```text
//! <state_dir>/shares/<key>.json             one share: its export, its mount, its attachments
//! <state_dir>/released/<key>.json           what guests have released of a share that has no record
//! <state_dir>/locks/<key>.lock              held while anything about that share changes
//! <state_dir>/locks/<key>.probe             held while that share's client is being asked
//! <state_dir>/locks/<export>.export         held while a file of that export is granted, whatever the mount path
//! <state_dir>/locks/<guest>-<target>.disk   held while that disk is detached, and removed then
//! <state_dir>/locks/<guest>.metadata        held while the metadata of that guest's domain is changed, and removed then
//! <state_dir>/locks/<key>.failed            when that share could not be connected as a guest started
//! <state_dir>/locks/reconcile.*             held while somebody reconciles for the hook, and whether that is asked for again
//! <state_dir>/launch/                       what is asked of the units that clients run in
//! ```
//!
//! Mounts do not outlive a reboot, so records need not either: the directory belongs on a tmpfs, and nothing is
//! synced. A record is replaced whole (written beside, then renamed), so a process killed at any point leaves the old
//! one or the new one. A share's record is in place before its mount is made and goes after its mount is gone.

mod error;
mod lock;
mod ownership;
mod recent;
mod record_file;
mod state_dir;

pub use self::error::StateError;
pub use self::lock::LockedShare;
pub(crate) use self::lock::RemovedLock;
pub use self::state_dir::StateDir;
pub(crate) use self::state_dir::{make_directory, usable_records};

#[cfg(test)]
mod tests;
