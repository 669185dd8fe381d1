//! The driver against a model: whatever is called, dies, hangs or is killed in whatever order, the records are the set
//! of attachments that a caller would expect, and no mount is taken from somebody who needs it.
//!
//! The world is the fake's, the record files are real. A caller that is killed is a panic in the middle of an
//! operation, after which another driver goes on with the same files and the same world.

mod events;
mod interrupted;
mod machine;
mod steps;
mod verdict;

use proptest::collection::vec;
use proptest::prelude::*;

use self::machine::Machine;
use self::steps::step;

proptest! {
    #[test]
    fn driver_matches_model(
        steps in vec(step(), 1..40),
    ) {
        let mut machine = Machine::new();
        for step in &steps {
            machine.run_step(step);
        }
        machine.disconnect_all();
    }
}
