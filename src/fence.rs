//! Until when this process may change anything. A leader that stood still finds on waking that its time is over, whatever
//! was about to be sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A time on the boot-time clock after which nothing is changed any more, at the apiserver or at Orion. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Fence(Arc<AtomicU64>);

/// A time in the past that is not the beginning.
const OVER: Duration = Duration::from_nanos(1);

impl Default for Fence {
    /// Open.
    fn default() -> Self {
        Self::open()
    }
}

impl Fence {
    /// One that never closes: without leader election.
    #[must_use]
    pub fn open() -> Self {
        Self(Arc::new(AtomicU64::new(u64::MAX)))
    }

    /// One that is closed until it is moved.
    #[must_use]
    pub fn closed() -> Self {
        Self(Arc::new(AtomicU64::new(0)))
    }

    /// Changes are allowed until then, on the boot-time clock.
    pub(crate) fn move_to(&self, until: Duration) {
        self.0.store(u64::try_from(until.as_nanos()).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Nothing is changed from now on.
    pub(crate) fn close(&self) {
        self.move_to(OVER);
    }

    /// It was open once, and is so no more.
    #[must_use]
    pub fn is_over(&self, now: Duration) -> bool {
        let until = self.until();
        !until.is_zero() && now >= until
    }

    /// When it closes, on the boot-time clock.
    #[must_use]
    pub fn until(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Acquire))
    }

    /// Whether something may be changed at this time of the boot-time clock.
    #[must_use]
    pub fn allows(&self, now: Duration) -> bool {
        now < self.until()
    }
}
