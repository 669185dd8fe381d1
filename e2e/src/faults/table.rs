//! The matrix for people.

use strum::VariantArray as _;

use super::{MATRIX, Operation};

/// The matrix as `docs/SEMANTICS.md` shows it.
#[must_use]
pub fn table() -> String {
    let line = |cells: &[&str]| format!("| {} |\n", cells.join(" | "));
    let operations = Operation::VARIANTS.iter().map(|operation| operation.label());
    let head =
        line(&["what is wrong"].into_iter().chain(operations).collect::<Vec<_>>()) + &line(&["---"; 6]);
    let rows = MATRIX.iter().map(|(fault, outcomes)| line(&[&[fault.label()], &outcomes[..]].concat()));
    rows.fold(head, |table, row| table + &row)
}
