//! Signals that must wait while there is something to clean up.

use std::future::poll_fn;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a shell makes of a signal that ended a program: this and its number.
const BY_SIGNAL: i32 = 128;

/// Those that are caught, until the process ends: what was caught once is never given back to the system.
pub(super) struct Interrupts(Vec<(SignalKind, Signal)>);

impl Interrupts {
    /// Catches these, where that can be done.
    pub(super) fn of(kinds: &[SignalKind]) -> Self {
        Self(kinds.iter().filter_map(|kind| Some((*kind, signal(*kind).ok()?))).collect())
    }

    /// Waits for one of them.
    pub(super) async fn first(&mut self) {
        self.next().await;
    }

    /// From here on they do what they would do if nobody had caught them.
    pub(super) fn end_the_process(mut self) {
        tokio::spawn(async move {
            let kind = self.next().await;
            std::process::exit(BY_SIGNAL + kind.as_raw_value());
        });
    }

    async fn next(&mut self) -> SignalKind {
        poll_fn(|context| {
            let caught = self.0.iter_mut().find_map(|(kind, signal)| match signal.poll_recv(context) {
                Poll::Ready(Some(())) => Some(*kind),
                Poll::Ready(None) | Poll::Pending => None,
            });
            caught.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}
