//! The world of one run: an apiserver, an Orion, people, and the processes of the operator.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http::Request;
use jiff::Timestamp;
use orion_operator::api::{Access, InstanceId};
use orion_operator::controller::{
    self, Clock, ConnectionHandle, ConnectionKey, ConnectionSettings, ContextConfig, Terms, Watching,
};
use orion_operator::fence::Fence;
use orion_operator::metrics::Metrics;
use orion_operator::orion::RateLimit;
use orion_operator::plan::Settings;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::apiserver::{ApiServer, Key};
use super::mutant::Mutant;
use super::orion::{Features, OrionClient, OrionState, TIMEOUT};
use super::person::{secret, secret_key};
use super::plan::{Call, Plan, Turn};
use super::process::Process;

pub const NAMESPACE: &str = "team-a";
pub const SETTLE: Duration = Duration::from_secs(60);
pub const INTERVAL: Duration = Duration::from_secs(300);

/// What a world is made of.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub seed: u64,
    pub features: Features,
    pub mutant: Option<Mutant>,
    /// Longest latency of the apiserver and of Orion, one way.
    pub latency: (Duration, Duration),
    /// Longest lag of a process' watches.
    pub lag: Duration,
    /// How often each process may call Orion.
    pub limit: Option<RateLimit>,
    /// Prints what happens.
    pub is_told: bool,
    /// Keeps what happens.
    pub is_recorded: bool,
}

pub struct World {
    pub api: ApiServer,
    pub mutant: Option<Mutant>,
    /// A person lets objects go by force: then two webhooks of one name may be there for a while.
    pub is_forced: Mutex<bool>,
    setting: Setting,
    orion: Mutex<OrionState>,
    plan: Mutex<Plan>,
    violations: Mutex<Vec<String>>,
    processes: Mutex<Vec<CancellationToken>>,
    started: AtomicUsize,
    trace: Mutex<Vec<String>>,
    start: Instant,
}

impl World {
    pub fn new(setting: Setting) -> Arc<Self> {
        let api = ApiServer::new();
        api.change(|store| {
            store.create(secret_key(), secret(0)).unwrap();
        });
        Arc::new(Self {
            api,
            mutant: setting.mutant,
            is_forced: Mutex::new(false),
            setting,
            orion: Mutex::new(OrionState::new(setting.features)),
            plan: Mutex::default(),
            violations: Mutex::default(),
            processes: Mutex::default(),
            started: AtomicUsize::new(0),
            trace: Mutex::default(),
            start: Instant::now(),
        })
    }

    pub fn orion(&self) -> MutexGuard<'_, OrionState> {
        self.orion.lock().unwrap()
    }

    pub fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap()
    }

    /// Chance for something at this moment. It depends on nothing but the seed, the moment and the text, so that it is
    /// the same in whatever order things happen at one moment: the queue of kube-runtime has an order by chance.
    pub fn chance(&self, text: &str) -> SmallRng {
        let mut hasher = DefaultHasher::new();
        (self.setting.seed, self.start.elapsed(), text).hash(&mut hasher);
        SmallRng::seed_from_u64(hasher.finish())
    }

    fn up_to(&self, longest: Duration, text: &str) -> Duration {
        let longest = u64::try_from(longest.as_millis()).unwrap();
        Duration::from_millis(self.chance(text).random_range(1..=longest.max(1)))
    }

    pub fn latency(&self, call: &Call) -> Duration {
        let (api, orion) = self.setting.latency;
        self.up_to(if call.of_orion { orion } else { api }, &call.text)
    }

    pub fn limit(&self) -> Option<RateLimit> {
        self.setting.limit
    }

    pub fn lag(&self, process: usize) -> Duration {
        self.up_to(self.setting.lag, &format!("lag of {process}"))
    }

    pub fn new_id(&self, owner: &str) -> String {
        format!("wh_{:08x}", self.chance(owner).random::<u32>())
    }

    pub fn trace(&self, text: impl FnOnce() -> String) {
        if !self.setting.is_told && !self.setting.is_recorded {
            return;
        }
        let line = format!("{:>10.3} {}", self.start.elapsed().as_secs_f64(), text());
        if self.setting.is_told {
            println!("{line}");
        }
        self.trace.lock().unwrap().push(line);
    }

    /// What has happened.
    pub fn told(&self) -> Vec<String> {
        self.trace.lock().unwrap().clone()
    }

    /// Something happened that must not.
    pub fn violation(&self, text: String) {
        self.trace(|| format!("VIOLATION: {text}"));
        self.violations.lock().unwrap().push(text);
    }

    pub fn violations(&self) -> Vec<String> {
        self.violations.lock().unwrap().clone()
    }

    /// What happens at a call.
    pub fn turn(&self, call: &Call) -> Turn {
        let mut chance = self.chance(&call.text);
        let turn = self.plan().turn(call, &mut chance);
        self.trace(|| format!("{}{turn}", call.text));
        if let Some(weather) = self.plan().weather.clone().filter(|weather| Instant::now() < weather.until) {
            match chance.random_range(0..2000) {
                chance if chance < weather.watches => self.api.compact(),
                chance if chance < 2 * weather.watches => self.api.close_watches(),
                _ => {}
            }
        }
        turn
    }

    /// A call has done what it does.
    pub fn acted(&self, turn: &Turn) {
        let act = turn.effect.and_then(|effect| self.plan().acts.remove(&effect));
        if let Some(act) = act {
            self.act(&act);
        }
    }

    /// Looks at what the operator sends to the apiserver, and spoils it where a mistake is switched on.
    pub async fn seen(&self, request: Request<kube::client::Body>) -> Request<axum::body::Body> {
        let (parts, body) = request.into_parts();
        let mut body = axum::body::to_bytes(axum::body::Body::new(body), usize::MAX).await.unwrap();
        self.no_secret_in(parts.uri.path(), &body);
        if let Some(mutant) = self.mutant
            && let Ok(Value::Array(mut operations)) = serde_json::from_slice(&body)
        {
            mutant.spoil(parts.uri.path(), &mut operations);
            body = Value::Array(operations).to_string().into();
        }
        Request::from_parts(parts, body.into())
    }

    /// Runs an operator, and starts it again whenever it crashes.
    pub fn operate(self: &Arc<Self>) {
        let world = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                let process = Process::new(&world, world.started.fetch_add(1, Ordering::Relaxed));
                world.processes.lock().unwrap().push(process.dead.clone());
                let stop = CancellationToken::new();
                let mut work = tokio::spawn(run(process.clone(), stop.clone()));
                tokio::select! {
                    () = process.dead.cancelled() => {}
                    end = &mut work => world.violation(format!("the controller ended by itself: {end:?}")),
                }
                world.trace(|| "the process is dead".into());
                work.abort();
                stop.cancel();
                sleep(Duration::from_secs(1)).await;
            }
        });
    }

    /// Kills all processes; they are started again.
    pub fn kill(&self) {
        for process in self.processes.lock().unwrap().drain(..) {
            process.cancel();
        }
    }

    /// Takes the finalizer off the Webhook that has stored an id: a mistake that is switched on.
    pub fn release(&self, id: &str) {
        let key =
            self.webhooks().into_iter().find(|(_, object)| object["status"]["webhookId"] == id).map(|(key, _)| key);
        if let Some(key) = key {
            let number = key.2.trim_start_matches("hook-").parse().unwrap();
            self.act(&super::person::Act(number, super::person::Deed::TakeFinalizerOff));
        }
    }

    /// All Webhooks.
    pub fn webhooks(&self) -> Vec<(Key, Value)> {
        let store = self.api.store();
        let key =
            |object: &Value| ("webhooks".into(), NAMESPACE.into(), object["metadata"]["name"].as_str().unwrap().into());
        store.list("webhooks", None).map(|object| (key(object), object.clone())).collect()
    }
}

/// The shipped controller.
async fn run(process: Process, stop: CancellationToken) {
    let clock = Arc::new(SimClock(process.clone()));
    let is_hasty = process.world.mutant == Some(Mutant::NoSettling);
    let timeout = if is_hasty { Duration::ZERO } else { TIMEOUT };
    let settings = ConnectionSettings { ownership: true, timeout };
    let orion = Arc::new(OrionClient::new(process.clone()));
    let connection = Arc::new(ConnectionHandle::new(ConnectionKey::Default, orion, settings, clock.clone()));
    let terms = Terms { access: Access::All, adoption: false };
    let config = ContextConfig {
        client: process.client(),
        aside: process.client(),
        settings: Settings {
            instance: instance(),
            interval: INTERVAL,
            min_interval: Duration::from_secs(30),
            create_settle: if is_hasty { Duration::ZERO } else { SETTLE },
            dry_run: false,
        },
        default_connection: Some((connection, terms)),
        operator_namespace: "orion-system".into(),
        allow_insecure_connections: false,
        clock,
        apiserver_timeout: Duration::from_secs(10),
        concurrency: 16,
        fence: Fence::open(),
        speaks: watch::channel(true).1,
        health: Arc::default(),
    };
    let watching = Watching { namespaces: None, label_selector: None };
    controller::run(config, watching, Arc::new(Metrics::default()), stop).await;
}

pub fn instance() -> InstanceId {
    InstanceId::new("simulation")
}

/// Simulated time, and chance from the seed.
struct SimClock(Process);

impl Clock for SimClock {
    fn boot(&self) -> Duration {
        Duration::from_secs(1000) + self.0.world.start.elapsed()
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + i64::try_from(self.0.world.start.elapsed().as_secs()).unwrap()).unwrap()
    }

    fn random(&self) -> u64 {
        self.0.world.chance(&format!("process {}", self.0.number)).random()
    }
}
