//! The loop over Webhooks: whatever changed or is due is reconciled, each by one reconcile at a time, as many side by side
//! as there are places. Who waits is only a name in a line: thousands do at the start. kube's own Controller does this too,
//! but looks at all that are under way whenever anything happens, and knows no shares.

use std::collections::{HashMap, VecDeque};
use std::fmt::Display;
use std::future::Future;
use std::hash::Hash;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, Stream, StreamExt};
use kube::runtime::controller::Action;
use tokio::task::{self, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::time::{DelayQueue, delay_queue};
use tracing::error;

use crate::metrics::{InLine, Line};

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

/// What is to be done for each object, and how many may have it done at once.
pub(super) trait Work<K> {
    /// Who shares places: those of one share wait in one line.
    type Share: Clone + Eq + Hash + Send + 'static;
    /// A place, taken until it is dropped.
    type Place: Send + 'static;

    /// Of which share an object takes a place, as it is when it comes into the line; `None` if there is no such object.
    fn share(&self, key: &K) -> Option<Self::Share>;

    /// How many places a share can have. So many may wait for one: who has few must not keep up with who has many.
    fn places(&self, share: &Self::Share) -> usize;

    /// Waits for a place of a share.
    fn place(&self, share: &Self::Share) -> impl Future<Output = Self::Place> + Send + 'static;

    /// The work on an object; `None` if there is no such object any more.
    fn begin(&self, key: &K) -> Option<impl Future<Output = Again> + Send + 'static>;

    /// An object is gone.
    fn gone(&self, key: &K);
}

/// Where an object is that is not at rest for good.
enum Whereabouts {
    InLine,
    UnderWay { again: bool },
    Due(delay_queue::Key),
}

/// Who waits for a place of one share.
struct Waiting<'a, K> {
    names: VecDeque<(K, InLine<'a>)>,
    /// For how many of them a place is waited for.
    asked: usize,
}

struct Queue<'a, K, W: Work<K>> {
    whereabouts: HashMap<K, Whereabouts>,
    lines: HashMap<W::Share, Waiting<'a, K>>,
    places: FuturesUnordered<BoxFuture<'static, (W::Share, W::Place)>>,
    due: DelayQueue<K>,
    under_way: JoinSet<Again>,
    whose: HashMap<task::Id, K>,
    line: &'a Line,
    work: W,
}

/// Works on each of `keys`, until `stop` or the end of the keys; what is under way then ends. `line` counts who waits.
pub(super) async fn serve<K, W>(keys: impl Stream<Item = K>, stop: CancellationToken, line: &Line, work: W)
where
    K: Clone + Eq + Hash + Display,
    W: Work<K>,
{
    let mut queue = Queue {
        whereabouts: HashMap::new(),
        lines: HashMap::new(),
        places: FuturesUnordered::new(),
        due: DelayQueue::new(),
        under_way: JoinSet::new(),
        whose: HashMap::new(),
        line,
        work,
    };
    tokio::pin!(keys);
    loop {
        tokio::select! {
            // Nothing begins after the stop, and what came back from a reconcile goes before what comes new.
            biased;
            () = stop.cancelled() => break,
            Some(ended) = queue.under_way.join_next_with_id() => queue.ended(ended),
            Some((share, place)) = queue.places.next() => queue.begin(&share, place),
            Some(expired) = queue.due.next() => queue.enter(expired.into_inner()),
            key = keys.next() => match key {
                Some(key) => queue.wake(key),
                None => break,
            },
        }
    }
    queue.places.clear();
    queue.lines.clear();
    while queue.under_way.join_next().await.is_some() {}
}

impl<K: Clone + Eq + Hash + Display, W: Work<K>> Queue<'_, K, W> {
    fn wake(&mut self, key: K) {
        match self.whereabouts.get_mut(&key) {
            Some(Whereabouts::InLine) => {}
            Some(Whereabouts::UnderWay { again }) => *again = true,
            Some(Whereabouts::Due(slot)) => {
                let key = self.due.remove(slot).into_inner();
                self.enter(key);
            }
            None => self.enter(key),
        }
    }

    fn enter(&mut self, key: K) {
        let Some(share) = self.work.share(&key) else { return self.leave(&key) };
        self.whereabouts.insert(key.clone(), Whereabouts::InLine);
        let line = self.lines.entry(share.clone()).or_insert_with(|| Waiting { names: VecDeque::new(), asked: 0 });
        line.names.push_back((key, self.line.enter()));
        self.ask(&share);
    }

    /// Asks for a place, if one more of the line can have one.
    fn ask(&mut self, share: &W::Share) {
        let Some(line) = self.lines.get_mut(share) else { return };
        if line.asked < line.names.len().min(self.work.places(share)) {
            line.asked += 1;
            let (place, share) = (self.work.place(share), share.clone());
            self.places.push(place.map(|place| (share, place)).boxed());
        } else if line.asked == 0 && line.names.is_empty() {
            self.lines.remove(share);
        }
    }

    /// The first in line that is there still gets the place.
    fn begin(&mut self, share: &W::Share, place: W::Place) {
        if let Some(line) = self.lines.get_mut(share) {
            line.asked = line.asked.saturating_sub(1);
        }
        while let Some((key, in_line)) = self.lines.get_mut(share).and_then(|line| line.names.pop_front()) {
            drop(in_line);
            let Some(work) = self.work.begin(&key) else {
                self.leave(&key);
                continue;
            };
            let in_its_place = async move {
                let _until_the_end = place;
                work.await
            };
            let task = self.under_way.spawn(in_its_place).id();
            self.whereabouts.insert(key.clone(), Whereabouts::UnderWay { again: false });
            self.whose.insert(task, key);
            break;
        }
        self.ask(share);
    }

    fn leave(&mut self, key: &K) {
        self.whereabouts.remove(key);
        self.work.gone(key);
    }

    fn ended(&mut self, ended: Result<(task::Id, Again), JoinError>) {
        let task = ended.as_ref().map_or_else(JoinError::id, |(task, _)| *task);
        let Some(key) = self.whose.remove(&task) else { return };
        let again = ended.map_or_else(
            |lost| {
                error!(object = %key, "a reconcile was lost, which is a bug; the next one is in 30 s: {lost}");
                Again::after(AFTER_LOSS)
            },
            |(_, again)| again,
        );
        match (self.whereabouts.get(&key), again) {
            (Some(Whereabouts::UnderWay { again: true }), _) => self.enter(key),
            (_, Again(Some(wait))) => {
                let slot = self.due.insert(key.clone(), wait.min(LONGEST));
                self.whereabouts.insert(key, Whereabouts::Due(slot));
            }
            (_, Again(None)) => {
                self.whereabouts.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
