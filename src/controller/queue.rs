//! The loop over Webhooks: whatever changed or is due is reconciled, each by one reconcile at a time, all side by side.
//! kube's own Controller does that too, but looks at all that are under way whenever anything happens, so that thousands
//! which wait for their turn slow each other down.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, Stream, StreamExt};
use kube::runtime::controller::Action;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::time::{DelayQueue, delay_queue};
use tracing::error;

/// After a panic that nobody caught before.
const AFTER_PANIC: Duration = Duration::from_secs(30);
/// The timer knows no longer times. To look once more does no harm.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// When an object is looked at again, if nothing changes meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again(Option<Duration>);

impl Again {
    /// Only when something changes.
    #[must_use]
    pub const fn on_change() -> Self {
        Self(None)
    }

    /// After this time at the latest.
    #[must_use]
    pub const fn after(wait: Duration) -> Self {
        Self(Some(wait))
    }
}

impl From<Again> for Action {
    fn from(again: Again) -> Self {
        again.0.map_or_else(Self::await_change, Self::requeue)
    }
}

/// Where an object is that is not at rest for good.
enum Place {
    UnderWay { again: bool },
    Due(delay_queue::Key),
}

struct Queue<K, B> {
    places: HashMap<Arc<K>, Place>,
    due: DelayQueue<Arc<K>>,
    under_way: JoinSet<(Arc<K>, Again)>,
    begin: B,
}

/// Works on each of `keys`, from when `is_ready` ends until `stop`; what is under way then ends. `begin` gives the work on an
/// object, or nothing if there is no such object.
pub(super) async fn serve<K, W>(
    keys: impl Stream<Item = K>,
    is_ready: impl Future,
    stop: CancellationToken,
    begin: impl Fn(&K) -> Option<W>,
) where
    K: Eq + Hash + Send + Sync + 'static,
    W: Future<Output = Again> + Send + 'static,
{
    let mut queue = Queue { places: HashMap::new(), due: DelayQueue::new(), under_way: JoinSet::new(), begin };
    tokio::pin!(keys, is_ready);
    let mut early = Some(Vec::new());
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            key = keys.next() => match (key, &mut early) {
                (Some(key), Some(early)) => early.push(key),
                (Some(key), None) => queue.wake(key),
                (None, _) => break,
            },
            _ = &mut is_ready, if early.is_some() => {
                for key in early.take().into_iter().flatten() {
                    queue.wake(key);
                }
            }
            Some(expired) = queue.due.next(), if !queue.due.is_empty() => queue.start(expired.into_inner()),
            Some(ended) = queue.under_way.join_next(), if !queue.under_way.is_empty() => match ended {
                Ok((key, again)) => queue.ended(key, again),
                Err(error) => error!(%error, "a reconcile was lost, which is a bug"),
            },
        }
    }
    while queue.under_way.join_next().await.is_some() {}
}

impl<K, B, W> Queue<K, B>
where
    K: Eq + Hash + Send + Sync + 'static,
    B: Fn(&K) -> Option<W>,
    W: Future<Output = Again> + Send + 'static,
{
    fn wake(&mut self, key: K) {
        match self.places.get_mut(&key) {
            Some(Place::UnderWay { again }) => *again = true,
            Some(Place::Due(slot)) => {
                let known = self.due.try_remove(slot).map(delay_queue::Expired::into_inner);
                self.start(known.unwrap_or_else(|| Arc::new(key)));
            }
            None => self.start(Arc::new(key)),
        }
    }

    fn start(&mut self, key: Arc<K>) {
        let Some(work) = (self.begin)(&key) else {
            self.places.remove(&key);
            return;
        };
        self.places.insert(Arc::clone(&key), Place::UnderWay { again: false });
        self.under_way.spawn(async move {
            let again = AssertUnwindSafe(work).catch_unwind().await;
            (key, again.unwrap_or(Again::after(AFTER_PANIC)))
        });
    }

    fn ended(&mut self, key: Arc<K>, again: Again) {
        match (self.places.get(&key), again) {
            (Some(Place::UnderWay { again: true }), _) => self.start(key),
            (_, Again(Some(wait))) => {
                let slot = self.due.insert(Arc::clone(&key), wait.min(LONGEST));
                self.places.insert(key, Place::Due(slot));
            }
            (_, Again(None)) => {
                self.places.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::channel::mpsc;
    use tokio::time::{Instant, sleep};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Serves `keys` with work that takes a second; gives when each began, in seconds.
    async fn served(keys: &[(u64, u32)], again: fn(u32) -> Again, until: u64) -> Vec<(u32, u64)> {
        let (sender, receiver) = mpsc::unbounded();
        let (begun, start) = (Arc::new(Mutex::new(Vec::new())), Instant::now());
        let log = Arc::clone(&begun);
        let begin = move |key: &u32| {
            let key = *key;
            log.lock().unwrap().push((key, start.elapsed().as_secs()));
            (key != 0).then(|| async move {
                sleep(SECOND).await;
                assert!(key != 13, "of the test");
                again(key)
            })
        };
        let stop = CancellationToken::new();
        let loops = tokio::spawn(serve(receiver, sleep(10 * SECOND), stop.clone(), begin));
        for (at, key) in keys {
            tokio::time::sleep_until(start + SECOND * u32::try_from(*at).unwrap()).await;
            sender.unbounded_send(*key).unwrap();
        }
        tokio::time::sleep_until(start + SECOND * u32::try_from(until).unwrap()).await;
        stop.cancel();
        loops.await.unwrap();
        let begun = begun.lock().unwrap();
        begun.clone()
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_begins_before_all_is_known_and_then_each_once() {
        let begun = served(&[(0, 1), (1, 2), (2, 1), (20, 0)], |_| Again::on_change(), 30).await;
        assert_eq!(begun, [(1, 10), (2, 10), (1, 11), (0, 20)], "1 was named twice: once more, after the first");
    }

    #[tokio::test(start_paused = true)]
    async fn it_comes_again_when_due_or_when_it_changes() {
        let begun = served(&[(0, 1), (14, 1)], |_| Again::after(10 * SECOND), 27).await;
        // 10 and 11 s are over at 21 s: that it changed at 14 s puts the next time off.
        assert_eq!(begun, [(1, 10), (1, 14), (1, 25)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_stops_nobody() {
        let begun = served(&[(0, 13), (0, 1)], |_| Again::on_change(), 50).await;
        assert_eq!(begun, [(13, 10), (1, 10), (13, 41)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_beyond_all_times_is_none() {
        assert_eq!(served(&[(11, 1)], |_| Again::after(Duration::MAX), 20).await, [(1, 11)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_under_way_ends() {
        let (sender, receiver) = mpsc::unbounded();
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let end = ended.clone();
        let begin = move |_: &u32| {
            let end = end.clone();
            Some(async move {
                sleep(SECOND).await;
                end.cancel();
                Again::on_change()
            })
        };
        let loops = tokio::spawn(serve(receiver, async {}, stop.clone(), begin));
        sender.unbounded_send(1).unwrap();
        sleep(SECOND / 2).await;
        stop.cancel();
        sender.unbounded_send(2).unwrap();
        loops.await.unwrap();
        assert!(ended.is_cancelled());
    }
}
