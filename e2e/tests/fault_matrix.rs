//! Every operation under every fault: what it answers and what it leaves, on real mounts.

use e2e::faults::{MATRIX, Operation, outcome, table};
use strum::VariantArray as _;

/// Compares every row's promise for `operation` with what happens.
#[expect(clippy::print_stdout, reason = "it tells which row was at work when a test fails")]
fn assert_matches_matrix(operation: Operation) {
    let column = Operation::VARIANTS.iter().position(|one| *one == operation).expect("it is one of them");
    let mut broken = String::new();
    for (fault, promised) in MATRIX {
        println!("{}", fault.label());
        let seen = outcome(*fault, operation);
        if seen != promised[column] {
            broken += &format!("{fault:?}\n  promised {:?}\n  seen     {seen:?}\n", promised[column]);
        }
    }
    assert!(broken.is_empty(), "{}:\n{broken}", operation.label());
}

#[test]
fn connect_matches_fault_matrix() {
    assert_matches_matrix(Operation::Connect);
}

#[test]
fn disconnect_matches_fault_matrix() {
    assert_matches_matrix(Operation::Disconnect);
}

#[test]
fn forced_disconnect_matches_fault_matrix() {
    assert_matches_matrix(Operation::Force);
}

#[test]
fn status_matches_fault_matrix() {
    assert_matches_matrix(Operation::Status);
}

#[test]
fn reconcile_matches_fault_matrix() {
    assert_matches_matrix(Operation::Reconcile);
}

#[test]
fn semantics_doc_matches_fault_matrix() {
    let document = include_str!("../../docs/SEMANTICS.md");
    assert!(document.contains(&table()), "docs/SEMANTICS.md is to show:\n{}", table());
}
