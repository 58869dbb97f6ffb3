use std::sync::{Arc, Mutex};

use futures::channel::mpsc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, sleep_until};

use super::*;
use crate::metrics::{Format, Metrics};

const SECOND: Duration = Duration::from_secs(1);

/// Work on a number takes a second. Those from 100 on have a share of their own; 0 goes away in line, 7 is not there, and 13
/// panics.
struct Seconds {
    again: fn(u32) -> Again,
    start: Instant,
    places: [usize; 2],
    shares: [Arc<Semaphore>; 2],
    all: Arc<Semaphore>,
    /// Who began when, in seconds.
    begun: Arc<Mutex<Vec<(u32, u64)>>>,
    ended: Arc<Mutex<usize>>,
    gone: Arc<Mutex<Vec<u32>>>,
}

impl Work<u32> for Seconds {
    type Share = usize;
    type Place = [OwnedSemaphorePermit; 2];

    fn share(&self, key: &u32) -> Option<usize> {
        (*key != 7).then_some(usize::from(*key >= 100))
    }

    fn places(&self, share: &usize) -> usize {
        self.places[*share]
    }

    fn place(&self, share: &usize) -> impl Future<Output = Self::Place> + Send + 'static {
        let (share, all) = (Arc::clone(&self.shares[*share]), Arc::clone(&self.all));
        async move { [share.acquire_owned().await.unwrap(), all.acquire_owned().await.unwrap()] }
    }

    fn begin(&self, key: &u32) -> Option<impl Future<Output = Again> + Send + 'static> {
        let (key, again, ended) = (*key, self.again, Arc::clone(&self.ended));
        if key == 0 {
            return None;
        }
        self.begun.lock().unwrap().push((key, self.start.elapsed().as_secs()));
        Some(async move {
            sleep(SECOND).await;
            assert!(key != 13, "of the test");
            *ended.lock().unwrap() += 1;
            again(key)
        })
    }

    fn gone(&self, key: &u32) {
        self.gone.lock().unwrap().push(*key);
    }
}

/// What came of a loop.
struct Served {
    begun: Vec<(u32, u64)>,
    ended: usize,
    gone: Vec<u32>,
    /// How many were in line after half a second.
    in_line: usize,
}

/// Serves `keys`, each sent at its second, with so many places for those below 100, for the others and for all, `until` then.
async fn served(keys: &[(u64, u32)], places: [usize; 3], again: fn(u32) -> Again, until: Duration) -> Served {
    let (sender, receiver) = mpsc::unbounded();
    let (begun, ended, gone, start) = (Arc::default(), Arc::default(), Arc::default(), Instant::now());
    let [few, many, all] = places.map(|places| Arc::new(Semaphore::new(places)));
    let work = Seconds {
        again,
        start,
        places: [places[0], places[1]],
        shares: [few, many],
        all,
        begun: Arc::clone(&begun),
        ended: Arc::clone(&ended),
        gone: Arc::clone(&gone),
    };
    let (stop, metrics) = (CancellationToken::new(), Arc::new(Metrics::default()));
    let (stopped, counted) = (stop.clone(), Arc::clone(&metrics));
    let looping = tokio::spawn(async move { serve(receiver, stopped, &counted.line, work).await });
    let depth = tokio::spawn(async move {
        sleep(SECOND / 2).await;
        let page = metrics.page(Format::Text);
        let line = page.lines().find(|line| line.starts_with("workqueue_depth{name=\"webhook\"")).unwrap();
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    });
    for (at, key) in keys {
        sleep_until(start + SECOND * u32::try_from(*at).unwrap()).await;
        sender.unbounded_send(*key).unwrap();
    }
    sleep_until(start + until).await;
    stop.cancel();
    looping.await.unwrap();
    let in_line = depth.await.unwrap();
    let (begun, ended, gone) = (begun.lock().unwrap().clone(), *ended.lock().unwrap(), gone.lock().unwrap().clone());
    Served { begun, ended, gone, in_line }
}

/// When each began, with places for all.
async fn begun(keys: &[(u64, u32)], again: fn(u32) -> Again, until: u32) -> Vec<(u32, u64)> {
    served(keys, [9, 9, 9], again, until * SECOND).await.begun
}

#[tokio::test(start_paused = true)]
async fn each_by_one_at_a_time_and_once_more_if_it_changed_meanwhile() {
    let begun = begun(&[(0, 1), (0, 2), (0, 1), (0, 1), (20, 2)], |_| Again::on_change(), 30).await;
    assert_eq!(begun, [(1, 0), (2, 0), (1, 1), (2, 20)]);
}

#[tokio::test(start_paused = true)]
async fn it_comes_again_when_due_or_when_it_changes() {
    let begun = begun(&[(0, 1), (14, 1)], |_| Again::after(10 * SECOND), 27).await;
    // It is due at 11 s and at 22 s: that it changed at 14 s puts the next time off.
    assert_eq!(begun, [(1, 0), (1, 11), (1, 14), (1, 25)]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_gone_is_forgotten_and_takes_no_turn() {
    let keys = [(0, 1), (0, 0), (0, 0), (0, 2), (0, 7), (2, 0), (2, 7)];
    let served = served(&keys, [1, 1, 1], |_| Again::on_change(), 9 * SECOND).await;
    assert_eq!((served.begun, served.gone), (vec![(1, 0), (2, 1)], vec![7, 0, 0, 7]));
}

#[tokio::test(start_paused = true)]
async fn a_panic_stops_nobody_keeps_no_place_and_is_tried_again() {
    let served = served(&[(0, 13), (0, 1), (5, 13)], [1, 1, 1], |_| Again::on_change(), 40 * SECOND).await;
    assert_eq!(served.begun, [(13, 0), (1, 1), (13, 5), (13, 36)]);
}

#[tokio::test(start_paused = true)]
async fn the_timer_takes_any_time() {
    assert_eq!(begun(&[(1, 1)], |_| Again::after(Duration::MAX), 20).await, [(1, 1)]);
}

#[tokio::test(start_paused = true)]
async fn no_more_at_once_than_there_are_places_in_order_and_no_share_waits_for_another() {
    let keys = [(0, 1), (0, 2), (0, 3), (0, 4), (0, 101), (0, 102), (0, 1)];
    let served = served(&keys, [2, 1, 3], |_| Again::on_change(), 9 * SECOND).await;
    assert_eq!(served.in_line, 3);
    let mut begun = served.begun;
    begun.sort_by_key(|(key, at)| (*at, *key));
    // 1 came once more while it was under way: it goes to the end of its line.
    assert_eq!(begun, [(1, 0), (2, 0), (101, 0), (3, 1), (4, 1), (102, 1), (1, 2)]);
}

#[tokio::test(start_paused = true)]
async fn who_may_have_more_places_waits_for_more() {
    let keys = [(0, 1), (0, 2), (0, 3), (0, 4), (0, 101), (0, 102)];
    let begun = served(&keys, [3, 1, 1], |_| Again::on_change(), 9 * SECOND).await.begun;
    assert_eq!(begun, [(1, 0), (2, 1), (3, 2), (101, 3), (4, 4), (102, 5)]);
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_in_line_does_not_wait_twice() {
    let begun = served(&[(0, 1), (0, 2), (0, 2), (0, 2)], [1, 1, 1], |_| Again::on_change(), 9 * SECOND).await.begun;
    assert_eq!(begun, [(1, 0), (2, 1)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_ends_at_the_stop_and_nothing_begins() {
    let served = served(&[(0, 1), (0, 2)], [1, 1, 1], |_| Again::after(SECOND), SECOND * 3 / 4).await;
    assert_eq!((served.begun, served.ended, served.in_line), (vec![(1, 0)], 1, 1));
}
