//! Images that must reach their guests.

mod bytes;
mod recipes;

pub use bytes::{all as of_bytes, deep};
pub use recipes::{Recipe, all as of_commands};
