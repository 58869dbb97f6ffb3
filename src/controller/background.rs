//! What goes on in the background, and is missed if it ends.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::health::Health;

/// Runs `work` until it is stopped. Should it panic, the process goes on without it and says so to who asks for its health:
/// it is better started anew.
pub(super) fn keep(
    health: &Arc<Health>,
    stop: CancellationToken,
    name: &'static str,
    work: impl Future<Output = ()> + Send + 'static,
) {
    let health = Arc::clone(health);
    tokio::spawn(async move {
        let work = AssertUnwindSafe(stop.run_until_cancelled(work)).catch_unwind();
        if work.await.is_err() {
            error!(name, "a loop of the operator broke, which is a bug: /healthz fails from now on");
            health.ended(name);
        }
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn only_what_broke_is_missed() {
        let health = Arc::<Health>::default();
        keep(&health, CancellationToken::new(), "done", async {});
        let stopped = CancellationToken::new();
        stopped.cancel();
        keep(&health, stopped, "stopped", std::future::pending());
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(health.alive(), Ok(()));
        keep(&health, CancellationToken::new(), "broken", async { panic!("of the test") });
        let broken = async {
            while health.alive().is_ok() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), broken).await.unwrap();
        assert_eq!(health.alive(), Err("broken"));
    }
}
