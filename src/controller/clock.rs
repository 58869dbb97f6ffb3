//! Time and chance as decisions are given them. The simulation gives its own.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::utils::{Backoff, ResetTimerBackoff};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::boot::boot_time;
use crate::plan::{Boot, backoff};

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

/// The waits of a watch that fails: up to 16 s, with full jitter, and short again after two quiet minutes. Chance
/// comes from the clock, or a simulation with several watches could not be replayed.
pub(super) fn watch_backoff(clock: &Arc<dyn Clock>) -> impl Backoff + use<> {
    ResetTimerBackoff::new(WatchBackoff { clock: Arc::clone(clock), failures: 0 }, Duration::from_secs(120))
}

struct WatchBackoff {
    clock: Arc<dyn Clock>,
    failures: u32,
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = backoff(self.failures, chance(&*self.clock).random());
        self.failures = self.failures.saturating_add(1).min(3);
        Some(wait)
    }
}

impl Backoff for WatchBackoff {
    fn reset(&mut self) {
        self.failures = 0;
    }
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
