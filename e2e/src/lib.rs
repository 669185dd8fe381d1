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
mod dice;
pub mod faults;
mod guest;
mod hold;
mod lab;
mod mountinfo;
mod other_host;
mod process;
mod program;
mod scratch;
mod site;
mod standin;
mod volume;
mod wait;

pub use bystander::Bystander;
pub use canary::Canary;
pub use dice::{Dice, number};
pub use guest::{Answer, Guest};
pub use hold::Held;
pub use lab::Lab;
pub use mountinfo::{MountEntry, mount_at};
pub use other_host::OtherHost;
pub use program::{Finished, Program, Running};
pub use scratch::Scratch;
pub use site::{Reply, Site};
pub use standin::{Asker, Daemon, Files, make_pipe};
pub use volume::{Mount, Volume};
