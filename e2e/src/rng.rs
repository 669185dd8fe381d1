//! Random choices that can be made again.

use std::{env, str::FromStr};

use rustix::time::{ClockId, clock_gettime};

/// A sequence of choices that follows from a seed: SplitMix64.
#[derive(Debug)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// From the seed in `NOVA_QUOBYTE_SEED`, else one that no other run has. Prints it.
    #[expect(clippy::print_stdout, reason = "the test runner shows it where the test fails")]
    pub fn from_env() -> Self {
        let seed = env_number("NOVA_QUOBYTE_SEED", clock_gettime(ClockId::Realtime).tv_nsec.unsigned_abs());
        println!("NOVA_QUOBYTE_SEED={seed}");
        Self::seeded(seed)
    }

    /// From the seed given.
    pub fn seeded(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A number from 0 to below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// The number in an environment variable, else `otherwise`. Panics where there is something else in it.
pub fn env_number<T: FromStr>(variable: &str, otherwise: T) -> T {
    match env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")),
        Err(_) => otherwise,
    }
}
