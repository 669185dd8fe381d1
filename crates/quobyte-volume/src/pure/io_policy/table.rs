//! The rules, row by row: in each table the first row that applies decides. docs/IO_POLICY.md shows the same rows.

mod cache;
mod io;
mod rule;

pub(super) use self::cache::CACHE_RULES;
pub(super) use self::io::IO_RULES;
pub use self::rule::{Cost, Row};
pub(super) use self::rule::{IoModeInput, PolicyInput, first_match};

/// The rows that decide the cache mode, in the order they are tried.
pub fn cache_rows() -> impl Iterator<Item = &'static Row> {
    CACHE_RULES.iter().map(|rule| &rule.row)
}

/// The rows that decide the I/O mode once the cache mode is known, in the order they are tried.
pub fn io_rows() -> impl Iterator<Item = &'static Row> {
    IO_RULES.iter().map(|rule| &rule.row)
}
