//! Time and chance as decisions are given them. The simulation gives its own.

use std::time::Duration;

use jiff::Timestamp;
use rand::SeedableRng;
use rand::rngs::StdRng;

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
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
    }

    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }
}
