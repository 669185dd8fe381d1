//! What must hold of everything that reads a peer's words, whatever they are.
//!
//! Each function takes any bytes and panics when a promise is broken. libFuzzer calls them with bytes it makes up
//! (`make fuzz`), a test with those in `corpus/`. The promises are worded anew here and not by what they are about.

mod connection;
mod domain;
mod encoding;
mod helper;
mod image;
mod mount_table;
mod oslo_config;
mod record;
pub mod seeds;

pub use connection::{connection_info, export};
pub use domain::domain;
pub use helper::{helper_replies, helper_requests};
pub use image::{chain, header};
pub use mount_table::mount_table;
pub use oslo_config::oslo_config;
pub use record::record;

/// A promise, by the name of its corpus.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 10] = [
    ("chain", chain),
    ("connection_info", connection_info),
    ("domain", domain),
    ("export", export),
    ("header", header),
    ("helper_replies", helper_replies),
    ("helper_requests", helper_requests),
    ("mount_table", mount_table),
    ("oslo_config", oslo_config),
    ("record", record),
];
