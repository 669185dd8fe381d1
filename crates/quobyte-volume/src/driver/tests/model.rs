//! The driver against a model: whatever is called, dies, hangs or is killed, and whatever guests do, in whatever order: no
//! guest is put on record or dropped without reason, no volume is given to two guests, no mount is taken from somebody who
//! needs it, and guests are told what they have lost.
//!
//! The world is the fake's, the record files are real. A caller that is killed is a panic in the middle of an
//! operation, after which another driver goes on with the same files and the same world.

mod events;
mod guests;
mod interrupted;
mod lost;
mod machine;
mod records;
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
