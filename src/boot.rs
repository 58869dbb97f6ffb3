//! The clock that time-outs and deadlines of ours are told by.

use std::time::Duration;

/// Time since the machine booted, suspend included: it neither jumps nor stands still.
pub(crate) fn boot_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
