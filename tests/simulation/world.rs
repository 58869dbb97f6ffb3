//! The world of one run: an apiserver, an Orion, people, and the processes of the operator.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http::Request;
use jiff::Timestamp;
use orion_operator::api::InstanceId;
use orion_operator::controller::{self, Clock, ConnectionHandle, ConnectionSettings, ContextConfig, Watching};
use orion_operator::metrics::Metrics;
use orion_operator::plan::Settings;
use rand::rngs::StdRng;
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
pub const INTERVAL: Duration = Duration::from_secs(600);

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
    /// Prints what happens.
    pub is_told: bool,
}

pub struct World {
    pub api: ApiServer,
    pub mutant: Option<Mutant>,
    /// Two of a Webhook may be there for a while: a person has made it so.
    pub may_double: Mutex<bool>,
    setting: Setting,
    orion: Mutex<OrionState>,
    plan: Mutex<Plan>,
    chance: Mutex<StdRng>,
    violations: Mutex<Vec<String>>,
    processes: Mutex<Vec<CancellationToken>>,
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
            may_double: Mutex::new(false),
            setting,
            orion: Mutex::new(OrionState::new(setting.features)),
            plan: Mutex::default(),
            chance: Mutex::new(StdRng::seed_from_u64(setting.seed)),
            violations: Mutex::default(),
            processes: Mutex::default(),
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

    /// A random number below a bound.
    pub fn below(&self, bound: u64) -> u64 {
        self.chance.lock().unwrap().random_range(0..bound.max(1))
    }

    fn up_to(&self, longest: Duration) -> Duration {
        Duration::from_millis(self.below(u64::try_from(longest.as_millis()).unwrap() + 1))
    }

    pub fn latency(&self, of_orion: bool) -> Duration {
        self.up_to(if of_orion { self.setting.latency.1 } else { self.setting.latency.0 })
    }

    pub fn lag(&self) -> Duration {
        self.up_to(self.setting.lag)
    }

    pub fn new_id(&self) -> String {
        format!("wh_{:08x}", self.below(1 << 32))
    }

    pub fn trace(&self, text: impl FnOnce() -> String) {
        if self.setting.is_told {
            let line = format!("{:>10.3} {}", self.start.elapsed().as_secs_f64(), text());
            println!("{line}");
            self.trace.lock().unwrap().push(line);
        }
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
        let turn = self.plan().turn(call, &mut self.chance.lock().unwrap());
        self.trace(|| format!("{}{turn}", call.text));
        if let Some(weather) = self.plan().weather.clone().filter(|weather| Instant::now() < weather.until) {
            match self.below(2000) {
                chance if chance < u64::from(weather.watches) => self.api.compact(),
                chance if chance < 2 * u64::from(weather.watches) => self.api.close_watches(),
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
                let process = Process::new(&world);
                world.processes.lock().unwrap().push(process.dead.clone());
                let stop = CancellationToken::new();
                let work = tokio::spawn(run(process.clone(), stop.clone()));
                process.dead.cancelled().await;
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
    let clock = Arc::new(SimClock(Arc::clone(&process.world)));
    let is_hasty = process.world.mutant == Some(Mutant::NoSettling);
    let timeout = if is_hasty { Duration::ZERO } else { TIMEOUT };
    let settings = ConnectionSettings { ownership: true, adoption: false, namespaces: None, timeout };
    let orion = Arc::new(OrionClient::new(process.clone()));
    let connection = Arc::new(ConnectionHandle::new(orion, settings, clock.clone()));
    let config = ContextConfig {
        client: process.client(),
        settings: Settings {
            instance: instance(),
            interval: INTERVAL,
            min_interval: Duration::from_secs(30),
            create_settle: if is_hasty { Duration::ZERO } else { SETTLE },
            dry_run: false,
        },
        default_connection: Some(connection),
        clock,
        apiserver_timeout: Duration::from_secs(10),
        concurrency: 16,
    };
    let watching = Watching { namespaces: None, label_selector: None };
    controller::run(config, watching, Arc::new(Metrics::default()), watch::Sender::new(false), stop).await;
}

pub fn instance() -> InstanceId {
    InstanceId::new("simulation")
}

/// Simulated time, and chance from the seed.
struct SimClock(Arc<World>);

impl Clock for SimClock {
    fn boot(&self) -> Duration {
        Duration::from_secs(1000) + self.0.start.elapsed()
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + i64::try_from(self.0.start.elapsed().as_secs()).unwrap()).unwrap()
    }

    fn random(&self) -> u64 {
        self.0.chance.lock().unwrap().random()
    }
}
