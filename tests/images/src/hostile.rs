//! Images that must never reach a guest, each wrong in one way.

mod backing;
mod chain;
mod extensions;
mod features;
mod foreign;
mod header;
mod tables;

use crate::Specimen;

/// All of them.
#[must_use]
pub fn all() -> Vec<Specimen> {
    [
        header::all(),
        features::all(),
        extensions::all(),
        tables::all(),
        crate::costly::hostile(),
        backing::all(),
        chain::all(),
        foreign::all(),
    ]
    .concat()
}
