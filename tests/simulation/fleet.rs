//! Many Webhooks, and an Orion that is down for a while and comes back.

use std::num::NonZeroU32;
use std::time::Duration;

use orion_operator::orion::RateLimit;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::person::{Act, Deed};
use super::scenario::{setting, simulate};
use super::world::World;

const PER_SECOND: u32 = 100;
const BURST: u32 = 100;

/// How many: `FLEET` in the environment.
fn fleet() -> usize {
    std::env::var("FLEET").map_or(500, |number| number.parse().unwrap())
}

/// The longest that so many calls may take, and a minute.
fn bound(count: usize) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap() / u64::from(PER_SECOND) + 60)
}

impl World {
    fn not_resting(&self) -> Vec<Value> {
        let store = self.api.store();
        let rests = |object: &&Value| {
            let status = &object["status"];
            let ready = status["conditions"].as_array().and_then(|all| all.iter().find(|it| it["type"] == "Ready"));
            ready.is_some_and(|ready| ready["status"] == "True")
                && status["observedGeneration"] == object["metadata"]["generation"]
        };
        store.list("webhooks", None).filter(|object| !rests(object)).cloned().collect()
    }

    async fn until_all_rest(&self, bound: Duration) -> Duration {
        let begun = Instant::now();
        loop {
            let left = self.not_resting();
            if left.is_empty() {
                return begun.elapsed();
            }
            assert!(
                begun.elapsed() < bound,
                "{} are not Ready after {bound:?}, such as {:?}",
                left.len(),
                left.first()
            );
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Orion never hears more of us than the limit allows: in any ten seconds ten times as many as in one, and the burst.
    /// A second more is for what is on its way.
    fn check_rate(&self) {
        let calls = &self.orion().calls;
        let window = Duration::from_secs(10);
        let allowed = usize::try_from(PER_SECOND * 11 + BURST).unwrap();
        for (first, begun) in calls.iter().enumerate() {
            if let Some(later) = calls.get(first + allowed) {
                assert!(*later - *begun > window, "more than {allowed} calls within {window:?}");
            }
        }
    }

    fn writes(&self) -> usize {
        self.api.store().log.iter().filter(|change| change.key.0 == "webhooks").count()
    }
}

#[test]
fn an_outage_is_made_good_at_the_pace_that_orion_allows() {
    simulate(async {
        let number = |n| NonZeroU32::new(n).unwrap();
        let limit = RateLimit { requests_per_second: number(PER_SECOND), burst: number(BURST) };
        let world = World::new(super::world::Setting { limit: Some(limit), ..setting(7, None) });
        let count = fleet();
        // A create is three calls, the edit in an outage three more, and one to say that Orion is away.
        world.plan().more_calls = 10 * count;
        for n in 0..count {
            world.act(&Act(n, Deed::Create));
        }
        world.operate();
        let cold = world.until_all_rest(bound(count)).await;
        let calls = world.orion().calls.len();
        assert_eq!(world.orion().webhooks.len(), count);
        // Created by the person, prepared, recorded.
        assert_eq!(world.writes(), 3 * count);

        world.orion().is_down = true;
        for n in 0..count {
            world.act(&Act(n, Deed::Edit(1)));
        }
        sleep(Duration::from_secs(600)).await;
        let written = world.writes() - 4 * count;
        let asked = world.orion().calls.len() - calls;
        // Each is told once that Orion is away, and Orion is asked now and then whether it is back: not for each Webhook.
        assert!(written <= count, "{written} writes");
        assert!(asked < 200, "{asked} calls at an Orion that is down");
        assert_eq!(world.not_resting().len(), count);

        world.orion().is_down = false;
        let warm = world.until_all_rest(bound(count)).await;
        world.check_rate();
        let state = world.orion();
        assert_eq!(state.webhooks.len(), count);
        assert_eq!(state.created, count);
        assert!(state.webhooks.values().all(|kept| kept.url.ends_with("/1")));
        drop(state);
        world.check_end().unwrap();
        println!(
            "{count} Webhooks: Ready after {cold:?}; {asked} calls in an outage of 600 s, all Ready {warm:?} after it"
        );
    });
}

/// After a partition the apiserver no longer knows what has happened since: all is listed anew, and nothing is missed.
#[test]
fn what_changed_while_no_watch_ran_is_seen_with_the_next_list() {
    simulate(async {
        let world = World::new(setting(3, None));
        world.operate();
        for number in 0..60 {
            world.act(&Act(number, Deed::Create));
        }
        world.until_all_rest(Duration::from_secs(60)).await;
        for number in 0..20 {
            world.act(&Act(number, Deed::Edit(1)));
            world.act(&Act(20 + number, Deed::Delete));
            world.act(&Act(60 + number, Deed::Create));
        }
        world.api.compact();
        // Much less than the time between drift checks, which would find out in the end.
        world.until_all_rest(Duration::from_secs(60)).await;
        assert_eq!(world.api.store().list("webhooks", None).count(), 60, "those that were deleted are gone");
        assert_eq!(world.violations(), Vec::<String>::new());
    });
}
