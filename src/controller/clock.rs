//! Time and chance as decisions are given them. The simulation gives its own.

use jiff::Timestamp;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::orion::boot_time;
use crate::plan::Boot;

/// Source of time, and of chance.
pub trait Clock: Send + Sync {
    /// Time since the machine booted, suspend included: it neither jumps nor stands still.
    fn boot(&self) -> Boot;
    /// Wall-clock time, for people only.
    fn wall(&self) -> Timestamp;
    /// A random number: back-offs, tokens and samples come from here, so that a simulation can be replayed.
    fn random(&self) -> u64 {
        rand::random()
    }
}

/// A generator of random numbers for one decision.
pub(super) fn chance(clock: &dyn Clock) -> StdRng {
    StdRng::seed_from_u64(clock.random())
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn boot(&self) -> Boot {
        boot_time()
    }

    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }
}
