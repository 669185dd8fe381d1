//! Every operation under every fault: what it answers and what it leaves, on real mounts.

use e2e::faults::{MATRIX, Operation, outcome, table};

/// Compares every row's promise for `operation` with what happens.
#[expect(clippy::print_stdout, reason = "it tells which row was at work when a test fails")]
fn does_as_promised(operation: Operation) {
    let column = Operation::ALL.iter().position(|one| *one == operation).expect("it is one of them");
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
fn connect_meets_every_fault_as_documented() {
    does_as_promised(Operation::Connect);
}

#[test]
fn disconnect_meets_every_fault_as_documented() {
    does_as_promised(Operation::Disconnect);
}

#[test]
fn forced_disconnect_meets_every_fault_as_documented() {
    does_as_promised(Operation::Force);
}

#[test]
fn status_meets_every_fault_as_documented() {
    does_as_promised(Operation::Status);
}

#[test]
fn reconcile_meets_every_fault_as_documented() {
    does_as_promised(Operation::Reconcile);
}

#[test]
fn the_document_shows_the_matrix_that_is_tested() {
    let document = include_str!("../../docs/SEMANTICS.md");
    assert!(document.contains(&table()), "docs/SEMANTICS.md is to show:\n{}", table());
}
