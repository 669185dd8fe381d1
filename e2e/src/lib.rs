//! What the end-to-end tests are written with: a directory, programs run as an ordinary user, volumes, guests.
//!
//! It knows the product only from outside, by its commands and by what the kernel, libvirt and a guest report, and
//! asks libvirt through `virsh`: a mistake in the product's code must not be repeated here. Whatever does not work
//! panics with the whole story, since in a test there is nobody to handle it.
#![expect(
    clippy::disallowed_methods,
    reason = "preparing files, mounts and guests is what this library is for"
)]

mod bystander;
mod canary;
pub mod edges;
pub mod faults;
mod guest;
mod lab;
mod libvirtd;
mod limited_user;
mod mountinfo;
mod other_host;
mod paused_program;
mod pool;
mod process;
mod program;
mod rng;
mod scratch;
mod site;
mod standin;
mod volume;
mod wait;

pub use bystander::Bystander;
pub use canary::Canary;
pub use guest::{Answer, DiskXml, Guest};
pub use lab::Lab;
pub use libvirtd::{SessionLibvirtd, restart_libvirtd};
pub use limited_user::LimitedUser;
pub use mountinfo::{MountEntry, mount_at, wait_until_mounted};
pub use other_host::OtherHost;
pub use paused_program::PausedProgram;
pub use pool::Pool;
pub use program::{Finished, Program, Running};
pub use rng::{Rng, env_number};
pub use scratch::Scratch;
pub use site::{Reconciled, Reply, Site};
pub use standin::{BackgroundProcess, Daemon, Files, make_pipe};
pub use volume::{Mount, Volume};
