//! How much one connection may ask of Orion: calls for each second, and calls at once.

use std::num::NonZeroU32;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep};

use super::pause::Pause;
use crate::api::Failure;

/// Calls that may be under way at once: an Orion that is slow to answer does not take more sockets than this.
const AT_ONCE: usize = 16;

/// How often one connection may call Orion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Calls per second in the long run.
    pub requests_per_second: NonZeroU32,
    /// Calls that may be made at once after a quiet time.
    pub burst: NonZeroU32,
}

impl Default for RateLimit {
    /// 20 requests per second, with a burst of 40.
    fn default() -> Self {
        let number = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        Self { requests_per_second: number(20), burst: number(40) }
    }
}

/// tokio's clock, which a simulation can turn.
#[derive(Clone, Copy, Debug, Default)]
struct Ticks;

impl Clock for Ticks {
    type Instant = std::time::Instant;

    fn now(&self) -> Self::Instant {
        Instant::now().into_std()
    }
}

/// Hands out permits, one for each request, in the order they were asked for.
pub struct Limiter {
    limiter: Option<RateLimiter<NotKeyed, InMemoryState, Ticks, NoOpMiddleware<std::time::Instant>>>,
    /// Those who wait stand in a line: among many that wake at once somebody could always be unlucky.
    line: Mutex<()>,
    slots: Semaphore,
    /// Orion has asked to wait.
    pause: Pause,
}

impl Limiter {
    /// A limiter; `None` never makes anybody wait.
    #[must_use]
    pub fn new(limit: Option<RateLimit>) -> Self {
        let quota = |limit: RateLimit| Quota::per_second(limit.requests_per_second).allow_burst(limit.burst);
        Self {
            limiter: limit.map(|limit| RateLimiter::direct_with_clock(quota(limit), Ticks)),
            line: Mutex::default(),
            slots: Semaphore::new(AT_ONCE),
            pause: Pause::default(),
        }
    }

    /// Waits until another call may be under way, and for a permit. The call is under way until the answer of this is
    /// dropped. Neither wait is part of any call's time-out.
    ///
    /// # Errors
    /// Orion has asked to wait, perhaps while this one stood in line.
    pub async fn turn(&self) -> Result<Option<SemaphorePermit<'_>>, Failure> {
        self.pause.check()?;
        // `None` only of a semaphore that is closed, which this one never is.
        let slot = self.slots.acquire().await.ok();
        self.pause.check()?;
        self.permit().await;
        self.pause.check()?;
        Ok(slot)
    }

    /// The same for a call that will be made later: waits as [`Limiter::turn`], and keeps no place.
    ///
    /// # Errors
    /// As [`Limiter::turn`].
    pub async fn permit_for_later(&self) -> Result<(), Failure> {
        self.turn().await.map(drop)
    }

    /// A place for a call that must not wait. Without one it is made all the same.
    ///
    /// # Errors
    /// Orion has asked to wait.
    pub fn slot_if_free(&self) -> Result<Option<SemaphorePermit<'_>>, Failure> {
        self.pause.check()?;
        Ok(self.slots.try_acquire().ok())
    }

    /// Takes note of how a call ended: `Retry-After` stops all that follow.
    pub fn note<T>(&self, outcome: &Result<T, Failure>) {
        self.pause.note(outcome);
    }

    /// Waits for a permit. The wait is not part of any call's time-out.
    async fn permit(&self) {
        if let Some(limiter) = &self.limiter {
            let _turn = self.line.lock().await;
            while let Err(early) = limiter.check() {
                sleep(early.wait_time_from(Ticks.now())).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_then_it_waits() {
        let one = |n| NonZeroU32::new(n).unwrap();
        let limiter = Limiter::new(Some(RateLimit { requests_per_second: one(20), burst: one(2) }));
        let begun = Instant::now();
        for _ in 0..4 {
            limiter.permit().await;
        }
        let passed = begun.elapsed();
        // Timers have a resolution of 1 ms.
        assert!(
            passed.abs_diff(Duration::from_millis(100)) <= Duration::from_millis(2),
            "two at 20 a second: {passed:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn permits_come_in_the_order_they_were_asked_for() {
        let one = |n| NonZeroU32::new(n).unwrap();
        let limiter = Limiter::new(Some(RateLimit { requests_per_second: one(100), burst: one(1) }));
        let served = std::sync::Mutex::new(Vec::new());
        let ask = |number| {
            let (limiter, served) = (&limiter, &served);
            async move {
                limiter.permit().await;
                served.lock().unwrap().push(number);
            }
        };
        futures::future::join_all((0..10).map(ask)).await;
        assert_eq!(*served.lock().unwrap(), (0..10).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_call_that_must_not_wait_takes_a_place_only_if_there_is_one() {
        let limiter = Limiter::new(None);
        let mut under_way: Vec<_> = std::iter::from_fn(|| limiter.slot_if_free().unwrap()).collect();
        assert_eq!(under_way.len(), AT_ONCE);
        let mut next = std::pin::pin!(limiter.turn());
        assert!(futures::poll!(&mut next).is_pending());
        under_way.pop();
        assert!(next.await.unwrap().is_some());
    }

    #[tokio::test]
    async fn no_limit_never_waits() {
        let limiter = Limiter::new(None);
        for _ in 0..10_000 {
            limiter.permit().await;
        }
    }
}
