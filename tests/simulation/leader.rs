//! Contenders for one Lease that crash, stand still and lose answers: never two of them may change anything at once.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use jiff::Timestamp;
use orion_operator::controller::Clock;
use orion_operator::fence::Fence;
use orion_operator::leader::{Elector, Terms};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::apiserver::{ApiServer, Refusal, failed};
use super::scenario::simulate;

const TERMS: Terms = Terms {
    lease_duration: Duration::from_secs(15),
    renew_deadline: Duration::from_secs(10),
    retry_period: Duration::from_secs(2),
};
const LEASE: &str = "orion-operator";
const OWN: &str = "orion-system";

type Chance = Arc<Mutex<StdRng>>;

struct SimClock {
    start: Instant,
    chance: Chance,
}

impl Clock for SimClock {
    fn boot(&self) -> Duration {
        Duration::from_secs(1000) + self.start.elapsed()
    }

    fn wall(&self) -> Timestamp {
        // Of no use to anybody: it goes backwards.
        Timestamp::from_second(1_800_000_000 - i64::try_from(self.start.elapsed().as_secs()).unwrap()).unwrap()
    }

    fn random(&self) -> u64 {
        self.chance.lock().unwrap().random()
    }
}

struct Race {
    api: ApiServer,
    clock: Arc<SimClock>,
    chance: Chance,
    /// Of every process there has been.
    fences: Mutex<Vec<Fence>>,
    /// How often a call goes wrong.
    trouble: f64,
}

impl Race {
    fn new(seed: u64, trouble: f64) -> Arc<Self> {
        let chance: Chance = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
        let clock = Arc::new(SimClock { start: Instant::now(), chance: Arc::clone(&chance) });
        Arc::new(Self { api: ApiServer::new(), clock, chance, fences: Mutex::default(), trouble })
    }

    fn happens(&self, probability: f64) -> bool {
        self.chance.lock().unwrap().random_bool(probability)
    }

    fn up_to(&self, milliseconds: u64) -> Duration {
        Duration::from_millis(self.chance.lock().unwrap().random_range(1..=milliseconds))
    }

    /// A client whose calls may fail before they act, act and lose their answer, or act late.
    fn client(self: &Arc<Self>) -> kube::Client {
        let race = Arc::clone(self);
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let race = Arc::clone(&race);
            async move { Ok::<_, Infallible>(race.call(request).await) }
        });
        kube::Client::new(service, "default")
    }

    async fn call(self: Arc<Self>, request: Request<kube::client::Body>) -> Response<Body> {
        let refused = || failed(&Refusal { code: 503, reason: "ServiceUnavailable", message: "of the race".into() });
        sleep(self.up_to(300)).await;
        if self.happens(self.trouble) {
            return refused();
        }
        if self.happens(self.trouble) {
            let (api, wait) = (self.api.clone(), self.up_to(20_000));
            tokio::spawn(async move {
                sleep(wait).await;
                api.serve(request).await;
            });
            return std::future::pending().await;
        }
        let answer = self.api.serve(request).await;
        sleep(self.up_to(300)).await;
        if self.happens(self.trouble) { refused() } else { answer }
    }

    fn contender(self: &Arc<Self>) -> (Elector, Fence) {
        let fence = Fence::closed();
        self.fences.lock().unwrap().push(fence.clone());
        let identity = format!("process-{}", self.fences.lock().unwrap().len());
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        (Elector::new(self.client(), OWN, LEASE.into(), identity, TERMS, clock, fence.clone(), Arc::default()), fence)
    }

    /// A process, and those that follow it in its pod: it ends, or is ended, or stands still for a while.
    async fn pod(self: Arc<Self>) {
        loop {
            let (mut elector, _) = self.contender();
            let work = async {
                elector.acquire().await;
                elector.hold().await;
            };
            let mut work = Box::pin(work);
            let is_asked = loop {
                let step = self.up_to(60_000);
                if tokio::time::timeout(step, &mut work).await.is_ok() {
                    break false;
                }
                match self.chance.lock().unwrap().random_range(0..3) {
                    // It stands still: nothing that it waits for goes on.
                    0 => (),
                    // kill -9.
                    1 => break false,
                    _ => break true,
                }
                sleep(self.up_to(40_000)).await;
            };
            drop(work);
            if is_asked {
                elector.release().await;
            }
            sleep(self.up_to(5_000)).await;
        }
    }

    fn may_change(&self) -> usize {
        let now = self.clock.boot();
        self.fences.lock().unwrap().iter().filter(|fence| fence.allows(now)).count()
    }

    fn lease(&self) -> Value {
        let key = ("leases".to_owned(), OWN.to_owned(), LEASE.to_owned());
        self.api.store().get(&key).cloned().unwrap_or_default()
    }
}

#[test]
fn never_two_at_once_and_soon_one_again() {
    for seed in 0..40 {
        simulate(async {
            let race = Race::new(seed, 0.05);
            let pods: Vec<_> = (0..3).map(|_| tokio::spawn(Arc::clone(&race).pod())).collect();
            let (mut led, mut vacant) = (0_u32, Duration::ZERO);
            let step = Duration::from_millis(50);
            for _ in 0..(1_200_000 / 50) {
                sleep(step).await;
                match race.may_change() {
                    0 => vacant += step,
                    1 => (led, vacant) = (led + 1, Duration::ZERO),
                    number => panic!("seed {seed}: {number} at once: {}", race.lease()),
                }
                assert!(vacant < Duration::from_secs(240), "seed {seed}: nobody leads: {}", race.lease());
            }
            assert!(led > 5_000, "seed {seed}: {led}");
            for pod in pods {
                pod.abort();
            }
        });
    }
}

#[test]
fn a_dead_leader_is_replaced_within_its_lease_and_a_little() {
    for seed in 0..50 {
        simulate(async {
            let race = Race::new(seed, 0.0);
            let (mut first, fence) = race.contender();
            first.acquire().await;
            let (mut second, successor) = race.contender();
            let waiting = tokio::spawn(async move { second.acquire().await });
            // It dies at some moment of its term.
            let _ = tokio::time::timeout(race.up_to(30_000), first.hold()).await;
            drop(first);
            let died = Instant::now();
            waiting.await.unwrap();
            let passed = died.elapsed();
            assert!(passed < TERMS.lease_duration + Duration::from_secs(3), "seed {seed}: {passed:?}");
            assert!(!fence.allows(race.clock.boot()) && successor.allows(race.clock.boot()), "seed {seed}");
        });
    }
}

#[test]
fn who_lets_go_is_replaced_at_once() {
    simulate(async {
        let race = Race::new(1, 0.0);
        let (mut first, _) = race.contender();
        first.acquire().await;
        let (mut second, _) = race.contender();
        let waiting = tokio::spawn(async move { second.acquire().await });
        let _ = tokio::time::timeout(Duration::from_secs(5), first.hold()).await;
        first.release().await;
        let asked = Instant::now();
        waiting.await.unwrap();
        assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
        assert_eq!(race.lease()["spec"]["leaseTransitions"], 1, "{}", race.lease());
    });
}
