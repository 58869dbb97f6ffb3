//! The clocks that decisions are given. The simulation gives others.

use std::time::Duration;

use jiff::Timestamp;

use crate::plan::Boot;

/// Source of time.
pub trait Clock: Send + Sync {
    /// Time since the machine booted, suspend included: it neither jumps nor stands still.
    fn boot(&self) -> Boot;
    /// Wall-clock time, for people only.
    fn wall(&self) -> Timestamp;
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
