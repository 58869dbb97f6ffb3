//! The loop over Webhooks: whatever changed or is due is reconciled, each by one reconcile at a time, all side by side.
//! kube's own Controller does that too, but looks at all that are under way whenever anything happens, so that thousands
//! which wait for their turn slow each other down.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::runtime::controller::Action;
use tokio::task::{self, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::time::{DelayQueue, delay_queue};
use tracing::error;

/// After a panic that nobody caught before.
const AFTER_LOSS: Duration = Duration::from_secs(30);
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
    under_way: JoinSet<Again>,
    whose: HashMap<task::Id, Arc<K>>,
    begin: B,
}

/// Works on each of `keys`, until `stop` or the end of the keys; what is under way then ends. `begin` gives the work on an
/// object, or nothing if there is no such object.
pub(super) async fn serve<K, W>(keys: impl Stream<Item = K>, stop: CancellationToken, begin: impl Fn(&K) -> Option<W>)
where
    K: Eq + Hash + Debug + Send + Sync,
    W: Future<Output = Again> + Send + 'static,
{
    let mut queue = Queue {
        places: HashMap::new(),
        due: DelayQueue::new(),
        under_way: JoinSet::new(),
        whose: HashMap::new(),
        begin,
    };
    tokio::pin!(keys);
    loop {
        tokio::select! {
            // Nothing begins after the stop, and what came back from a reconcile goes before what comes new.
            biased;
            () = stop.cancelled() => break,
            Some(ended) = queue.under_way.join_next_with_id() => queue.ended(ended),
            Some(expired) = queue.due.next() => queue.start(expired.into_inner()),
            key = keys.next() => match key {
                Some(key) => queue.wake(key),
                None => break,
            },
        }
    }
    while queue.under_way.join_next().await.is_some() {}
}

impl<K, B, W> Queue<K, B>
where
    K: Eq + Hash + Debug + Send + Sync,
    B: Fn(&K) -> Option<W>,
    W: Future<Output = Again> + Send + 'static,
{
    fn wake(&mut self, key: K) {
        match self.places.get_mut(&key) {
            Some(Place::UnderWay { again }) => *again = true,
            Some(Place::Due(slot)) => {
                let key = self.due.remove(slot).into_inner();
                self.start(key);
            }
            None => self.start(Arc::new(key)),
        }
    }

    fn start(&mut self, key: Arc<K>) {
        let Some(work) = (self.begin)(&key) else {
            self.places.remove(&key);
            return;
        };
        let task = self.under_way.spawn(work).id();
        self.places.insert(Arc::clone(&key), Place::UnderWay { again: false });
        self.whose.insert(task, key);
    }

    fn ended(&mut self, ended: Result<(task::Id, Again), JoinError>) {
        let task = ended.as_ref().map_or_else(JoinError::id, |(task, _)| *task);
        let Some(key) = self.whose.remove(&task) else { return };
        let again = ended.map_or_else(
            |lost| {
                error!(object = ?key, "a reconcile was lost, which is a bug; the next one is in 30 s: {lost}");
                Again::after(AFTER_LOSS)
            },
            |(_, again)| again,
        );
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
            (key != 0).then_some(async move {
                sleep(SECOND).await;
                assert!(key != 13, "of the test");
                again(key)
            })
        };
        let stop = CancellationToken::new();
        let loops = tokio::spawn(serve(receiver, stop.clone(), begin));
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
    async fn each_by_one_at_a_time_and_once_more_if_it_changed_meanwhile() {
        let begun = served(&[(0, 1), (0, 2), (0, 1), (0, 1), (20, 0)], |_| Again::on_change(), 30).await;
        assert_eq!(begun, [(1, 0), (2, 0), (1, 1), (0, 20)]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_comes_again_when_due_or_when_it_changes() {
        let begun = served(&[(0, 1), (14, 1)], |_| Again::after(10 * SECOND), 27).await;
        // It is due at 11 s and at 22 s: that it changed at 14 s puts the next time off.
        assert_eq!(begun, [(1, 0), (1, 11), (1, 14), (1, 25)]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_gone_is_forgotten() {
        // 0 stands for one that is not there: `begin` gives no work for it.
        assert_eq!(served(&[(0, 0), (1, 0)], |_| Again::after(SECOND), 9).await, [(0, 0), (0, 1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_stops_nobody_and_is_tried_again() {
        let begun = served(&[(0, 13), (0, 1), (5, 13)], |_| Again::on_change(), 40).await;
        assert_eq!(begun, [(13, 0), (1, 0), (13, 5), (13, 36)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_timer_takes_any_time() {
        assert_eq!(served(&[(1, 1)], |_| Again::after(Duration::MAX), 20).await, [(1, 1)]);
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
        let loops = tokio::spawn(serve(receiver, stop.clone(), begin));
        sender.unbounded_send(1).unwrap();
        sleep(SECOND / 2).await;
        stop.cancel();
        sender.unbounded_send(2).unwrap();
        loops.await.unwrap();
        assert!(ended.is_cancelled());
    }
}
