//! A state of the world.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use secrecy::SecretString;

use crate::api::{Endpoint, OWNER_HEADER, Owner, RemoteHeader, RemoteWebhook, Webhook, WebhookSpec, WebhookStatus};
use crate::config::{Config, Faults};
use crate::plan::{Boot, Memory, Round, Settings, Snapshot};

/// Now, always: time passes by moving everything that is remembered into the past.
pub(crate) const NOW: Boot = Duration::from_secs(100);
/// What one tick moves. Longer than what the plan calls 2 s, shorter than half of the settle time's rest.
pub(crate) const TICK: Duration = Duration::from_millis(2100);
/// Nothing that is remembered is older: what is this old is as good as older.
pub(crate) const FLOOR: Boot = Duration::from_millis(100_000 - 4 * 2100);
/// Between drift checks.
pub(crate) const INTERVAL: Duration = Duration::from_secs(6);
/// Ticks within which a change takes effect and shows in lists (B1, B2): the settle time of 3 s ends with the second.
pub(crate) const SETTLING: u8 = 1;
const NAMESPACE: &str = "team-a";

/// One Webhook at the apiserver.
#[derive(Clone)]
pub(crate) struct Object {
    /// As it is; `None` once it is gone.
    pub now: Option<Arc<Webhook>>,
    /// Older versions that a cache may still show.
    pub old: Vec<Arc<Webhook>>,
    /// Attempts that were ever recorded in it.
    pub tokens: u8,
    /// It was removed by force, and this comes in its place.
    pub comes_back: Option<Arc<Webhook>>,
}

/// One webhook at Orion.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Remote {
    pub id: String,
    /// The Webhook whose POST made it.
    pub cause: Option<usize>,
    /// It carries the marker of this Webhook.
    pub marker: Option<usize>,
    pub url: String,
    pub token: String,
    /// Ticks since it was created, at most `SETTLING + 1`.
    pub age: u8,
}

/// A change at Orion.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Change {
    Create { by: usize, url: String, token: String },
    Update { by: usize, id: String, url: String },
    Delete { by: usize, id: String },
}

/// A change whose answer was lost and that may still take effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flight {
    pub change: Change,
    /// Ticks since it was sent, at most `SETTLING + 1`.
    pub age: u8,
}

/// One reconcile on its way.
#[derive(Clone)]
pub(crate) struct Running {
    pub webhook: Arc<Webhook>,
    pub round: Round,
    pub fresh: bool,
    /// Waits until then for a list that may not begin earlier.
    pub asleep: Option<Boot>,
}

/// What one process has of one Webhook.
#[derive(Clone, Default)]
pub(crate) struct Work {
    pub uid: String,
    pub memory: Memory,
    pub latest: Option<Arc<Webhook>>,
    pub running: Option<Box<Running>>,
    pub wake: Option<Boot>,
    /// Our finalizer is off: nothing is left to do.
    pub released: bool,
    /// The newest version that the cache has shown: it does not go back.
    pub cached: u64,
    /// The version that the last reconcile ended with.
    pub seen: Option<u64>,
    /// Only for mutants: what was read from Orion in the last reconcile.
    pub leftover: Option<Box<Round>>,
}

/// One process of the operator.
#[derive(Clone, Default)]
pub(crate) struct Process {
    /// Milliseconds within this tick, so that what is later has a later time.
    pub later: u64,
    pub last_list: Option<Arc<Snapshot>>,
    pub last_missing: BTreeSet<String>,
    pub markers_survive: bool,
    pub work: Vec<Work>,
}

impl Process {
    pub(crate) fn new(config: &Config) -> Self {
        Self { work: vec![Work::default(); config.webhooks], ..Self::default() }
    }

    pub(crate) fn now(&self) -> Boot {
        NOW + Duration::from_millis(self.later)
    }
}

/// A state of the world.
#[derive(Clone)]
pub struct State {
    pub(crate) objects: Vec<Object>,
    pub(crate) remotes: Vec<Remote>,
    pub(crate) flights: Vec<Flight>,
    pub(crate) processes: Vec<Arc<Process>>,
    pub(crate) left: Faults,
    pub(crate) ids: u8,
    pub(crate) versions: u64,
    /// The property that was just broken.
    pub(crate) broken: Option<&'static str>,
    pub(crate) key: u64,
}

impl State {
    pub(crate) fn initial(config: &Config) -> Self {
        let objects: Vec<Object> = (0..config.webhooks)
            .map(|number| Object { now: Some(Arc::new(webhook(number))), old: Vec::new(), tokens: 0, comes_back: None })
            .collect();
        let foreign = Remote {
            id: "wh_foreign".into(),
            cause: None,
            marker: None,
            url: url(1),
            token: String::new(),
            age: SETTLING + 1,
        };
        let state = Self {
            objects,
            remotes: config.foreign.then_some(foreign).into_iter().collect(),
            flights: Vec::new(),
            processes: (0..config.processes).map(|_| Arc::new(Process::new(config))).collect(),
            left: config.faults,
            ids: 0,
            versions: 1,
            broken: None,
            key: 0,
        };
        state.sealed()
    }

    /// Ids at Orion that exist because of this Webhook.
    pub(crate) fn owned(&self, number: usize) -> impl Iterator<Item = &Remote> {
        self.remotes.iter().filter(move |remote| remote.cause == Some(number))
    }

    /// Somebody changes an object, as the apiserver carries it out.
    pub(crate) fn edit(&mut self, number: usize, change: impl FnOnce(&mut Webhook)) {
        let object = &mut self.objects[number];
        let Some(before) = object.now.take() else { return };
        let mut after = Webhook::clone(&before);
        change(&mut after);
        if after.spec != before.spec {
            after.metadata.generation = after.metadata.generation.map(|generation| generation + 1);
        }
        self.versions += 1;
        after.metadata.resource_version = Some(self.versions.to_string());
        if self.left.stale > 0 {
            object.old.insert(0, before);
            object.old.truncate(2);
        }
        let is_gone = after.metadata.deletion_timestamp.is_some() && after.finalizers().is_empty();
        object.now = (!is_gone).then(|| Arc::new(after));
    }

    pub(crate) fn next_id(&mut self, config: &Config) -> String {
        self.ids += 1;
        let number = if config.descending { 100 - self.ids } else { self.ids + 10 };
        format!("wh_{number}")
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.key.hash(hasher);
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for object in &self.objects {
            match &object.now {
                None => write!(f, "[gone] ")?,
                Some(webhook) => {
                    let status = webhook.status.clone().unwrap_or_default();
                    let ready = crate::api::ready_condition(&status.conditions).map(|ready| ready.reason.clone());
                    write!(
                        f,
                        "[{} v{} {:?} id {:?} settled {:?} {:?}] ",
                        webhook.uid().unwrap_or_default(),
                        webhook.resource_version().unwrap_or_default(),
                        webhook.metadata.annotations,
                        status.webhook_id,
                        status.settled_attempt,
                        ready
                    )?;
                }
            }
        }
        let remotes: Vec<_> = self.remotes.iter().map(|remote| (&remote.id, remote.cause, &remote.token)).collect();
        write!(f, "{remotes:?} flying {:?}", self.flights)?;
        self.broken.map_or(Ok(()), |broken| write!(f, " BROKEN {broken}"))
    }
}

pub(crate) fn version(webhook: &Webhook) -> u64 {
    webhook.resource_version().and_then(|version| version.parse().ok()).unwrap_or_default()
}

pub(crate) fn url(number: u8) -> String {
    format!("https://hooks.example.com/{number}")
}

pub(crate) fn settings() -> Settings {
    Settings {
        instance: crate::api::InstanceId::new("this installation"),
        interval: INTERVAL,
        min_interval: INTERVAL,
        create_settle: Duration::from_secs(2),
        dry_run: false,
    }
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new("https://acme.example.com", "/v1alpha").expect("a valid endpoint")
}

pub(crate) fn wall() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

fn name(number: usize) -> String {
    format!("hook-{number}")
}

pub(crate) fn owner(number: usize) -> Owner {
    settings().instance.owner(NAMESPACE, &name(number))
}

pub(crate) fn webhook(number: usize) -> Webhook {
    let spec = WebhookSpec {
        url: url(1),
        user_id: "user-42".into(),
        presence_name: "job-notifications".into(),
        headers: Vec::new(),
        connection_ref: None,
        deletion_policy: None,
        suspend: None,
        interval: None,
        adopt: None,
    };
    let mut webhook = Webhook::new(&name(number), spec);
    webhook.metadata.namespace = Some(NAMESPACE.into());
    webhook.metadata.uid = Some(format!("uid-{number}-1"));
    webhook.metadata.generation = Some(1);
    webhook.metadata.resource_version = Some("1".into());
    webhook.status = Some(WebhookStatus { observed_generation: Some(-1), ..WebhookStatus::default() });
    webhook
}

/// A webhook as Orion shows it.
pub(crate) fn shown(remote: &Remote, owners: &[Owner]) -> RemoteWebhook {
    let header = |number: usize| RemoteHeader {
        name: OWNER_HEADER.into(),
        value: owners.get(number).map(|owner| SecretString::from(owner.as_str())),
    };
    RemoteWebhook {
        id: remote.id.clone(),
        url: Some(remote.url.clone()),
        user_id: Some("user-42".into()),
        presence_name: Some("job-notifications".into()),
        headers: Some(remote.marker.map(header).into_iter().collect()),
    }
}
