//! What the simulator remembers.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use http::Method;
use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use tokio::sync::watch;

use super::{
    config::{Config, IdFormat},
    fault::{Action, Fault, Operation, Subject},
    tokens::{Tokens, random_hex},
};

/// The request log forgets its oldest entries beyond this, so that a simulator left running stays small.
const MAX_REQUESTS: usize = 200_000;
/// Likewise for deliveries.
const MAX_DELIVERIES: usize = 10_000;

/// One header that is sent with every delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A webhook as the simulated Orion holds it, with nothing masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredWebhook {
    /// Its id; empty when inserted: one is made.
    #[serde(default)]
    pub id: String,
    /// Where events are sent.
    pub url: String,
    /// Sent with every event.
    #[serde(default)]
    pub headers: Vec<Header>,
    /// The user it belongs to.
    pub user_id: String,
    /// What links it to events.
    pub presence_name: String,
    /// When it was created.
    #[serde(default = "now")]
    pub created_at: String,
}

impl StoredWebhook {
    /// A webhook without headers and still without an id.
    #[must_use]
    pub fn new(url: impl Into<String>, user_id: impl Into<String>, presence_name: impl Into<String>) -> Self {
        Self {
            id: String::new(),
            url: url.into(),
            headers: Vec::new(),
            user_id: user_id.into(),
            presence_name: presence_name.into(),
            created_at: now(),
        }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push(Header { name: name.into(), value: value.into() });
        self
    }

    /// The value of a header, its name compared without case.
    #[must_use]
    pub fn header_value(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.as_str())
    }
}

/// One request to the API, in the order in which they came.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RequestRecord {
    /// Counts all requests since the start, from 1.
    pub seq: u64,
    /// When it came.
    pub time: String,
    /// Its method.
    pub method: String,
    /// Its path and query, as sent.
    pub path: String,
    /// What it asked for.
    pub operation: Operation,
    /// The headers worth knowing, names in lower case; of `authorization` only the scheme.
    pub headers: BTreeMap<String, String>,
    /// Its body when it was JSON, or the form of a login without the password.
    pub body: Option<Value>,
    /// How it was answered.
    pub status: Answered,
}

/// How a request was answered; in JSON a number, `"lost"` or `"pending"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// With this status.
    Status(u16),
    /// The connection was closed or reset without an answer.
    Lost,
    /// Not yet.
    Pending,
}

impl Serialize for Answered {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Status(status) => serializer.serialize_u16(*status),
            Self::Lost => serializer.serialize_str("lost"),
            Self::Pending => serializer.serialize_str("pending"),
        }
    }
}

/// One try to deliver an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// Counts all tries since the start, from 1.
    pub seq: u64,
    /// When it ended.
    pub time: String,
    /// The webhook.
    pub webhook_id: String,
    /// Its presence name.
    pub presence_name: String,
    /// Its url.
    pub url: String,
    /// 1 for the first try.
    pub attempt: u32,
    /// The status of the receiver's answer.
    pub status: Option<u16>,
    /// Why there was no answer.
    pub error: Option<String>,
    /// How long it took.
    pub latency_ms: u64,
}

impl Delivery {
    /// Did the receiver answer 2xx?
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }
}

/// The state, and a signal for those who watch it.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Changes with the state; its value means nothing.
    pub(super) changed: watch::Sender<u64>,
    pub(super) http: reqwest::Client,
}

impl Shared {
    pub(super) fn new(config: Config, http: reqwest::Client) -> Self {
        Self { state: Mutex::new(State { config, ..State::default() }), changed: watch::Sender::new(0), http }
    }

    /// Reads or changes the state, and tells the watchers. Nobody holds the lock across a wait.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let result = work(&mut self.lock());
        self.changed.send_modify(|version| *version = version.wrapping_add(1));
        result
    }

    /// Reads the state without telling anybody.
    pub(super) fn read<T>(&self, work: impl FnOnce(&State) -> T) -> T {
        work(&self.lock())
    }

    /// A panic elsewhere must not take the simulator down with it: the state is sound after every statement.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything that can change.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) config: Config,
    pub(super) webhooks: IndexMap<String, StoredWebhook>,
    pub(super) tokens: Tokens,
    pub(super) faults: Vec<Fault>,
    pub(super) requests: VecDeque<RequestRecord>,
    pub(super) deliveries: VecDeque<Delivery>,
    /// `Idempotency-Key` to the id that it created.
    pub(super) idempotency: HashMap<String, String>,
    last_id: u64,
    last_request: u64,
    last_delivery: u64,
}

impl State {
    /// Stores a webhook, under a new id if it has none; gives the id.
    pub(super) fn insert(&mut self, mut webhook: StoredWebhook) -> String {
        if webhook.id.is_empty() {
            webhook.id = self.new_id();
        }
        let id = webhook.id.clone();
        self.webhooks.insert(id.clone(), webhook);
        id
    }

    fn new_id(&mut self) -> String {
        loop {
            self.last_id += 1;
            let id = match self.config.id_format {
                IdFormat::Padded => format!("wh_{:06}", self.last_id),
                IdFormat::Random => format!("wh_{}", random_hex(8)),
                IdFormat::Number => self.last_id.to_string(),
            };
            // An id inserted by hand may be in the way.
            if !self.webhooks.contains_key(&id) {
                return id;
            }
        }
    }

    /// Writes a request into the log; gives its number.
    pub(super) fn log(&mut self, mut record: RequestRecord) -> u64 {
        self.last_request += 1;
        record.seq = self.last_request;
        if self.requests.len() >= MAX_REQUESTS {
            self.requests.pop_front();
        }
        self.requests.push_back(record);
        self.last_request
    }

    /// Writes how a request was answered.
    pub(super) fn answered(&mut self, seq: u64, answered: Answered) {
        // Numbers only grow along the log. It may have been cleared since.
        if let Ok(index) = self.requests.binary_search_by_key(&seq, |record| record.seq)
            && let Some(record) = self.requests.get_mut(index)
        {
            record.status = answered;
        }
    }

    /// The faults that hit a request: all waits, and the first of the others. Each loses one of its `times`.
    pub(super) fn strike(&mut self, subject: &Subject<'_>) -> Struck {
        let mut struck = Struck::default();
        for fault in self.faults.iter_mut().filter(|fault| fault.fits(subject)) {
            if let Action::LatencyMs(ms) = fault.action {
                struck.before_ms += ms;
            } else if let Action::LatencyAfterEffectMs(ms) = fault.action {
                struck.after_ms += ms;
            } else if struck.action.is_none() {
                struck.action = Some(fault.action.clone());
            } else {
                continue;
            }
            fault.hit();
        }
        self.faults.retain(|fault| fault.times != Some(0));
        struck
    }

    pub(super) fn delivered(&mut self, mut delivery: Delivery) -> Delivery {
        self.last_delivery += 1;
        delivery.seq = self.last_delivery;
        if self.deliveries.len() >= MAX_DELIVERIES {
            self.deliveries.pop_front();
        }
        self.deliveries.push_back(delivery.clone());
        delivery
    }

    /// How often each operation is in the log.
    pub(super) fn counts(&self) -> BTreeMap<Operation, u64> {
        let mut counts = BTreeMap::new();
        for record in &self.requests {
            *counts.entry(record.operation).or_default() += 1;
        }
        counts
    }
}

/// What the faults do to one request.
#[derive(Debug, Default)]
pub(super) struct Struck {
    pub(super) before_ms: u64,
    pub(super) after_ms: u64,
    pub(super) action: Option<Action>,
}

/// A new log entry for a request that came now.
pub(super) fn record(method: &Method, path: &str, operation: Operation) -> RequestRecord {
    RequestRecord {
        seq: 0,
        time: now(),
        method: method.to_string(),
        path: path.to_owned(),
        operation,
        headers: BTreeMap::new(),
        body: None,
        status: Answered::Pending,
    }
}

/// The time now, RFC 3339 with milliseconds.
pub(super) fn now() -> String {
    format!("{:.3}", Timestamp::now())
}
