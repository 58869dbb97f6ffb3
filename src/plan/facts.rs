//! What a decision is made from, apart from the Webhook itself and what is remembered of it.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use super::snapshot::{Boot, Snapshot};
use crate::api::{
    AppliedSecret, Capabilities, Desired, Endpoint, Failure, HeaderValue, InstanceId, Owner, Reason, RemoteWebhook,
    WebhookSpec,
};

/// The operator's settings that decisions depend on.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This installation.
    pub instance: InstanceId,
    /// Time between drift checks where the spec names none.
    pub interval: Duration,
    /// The least time between drift checks.
    pub min_interval: Duration,
    /// How long a create may take to show in lists (`--create-settle`).
    pub create_settle: Duration,
    /// Nothing is changed at Orion.
    pub dry_run: bool,
}

/// Times are added up: one that is absurdly long must not overflow.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

impl Settings {
    /// The time between drift checks, where `declared` or nothing is asked for: never less than `--min-interval`.
    #[must_use]
    pub fn interval(&self, declared: Option<Duration>) -> Duration {
        declared.unwrap_or(self.interval).max(self.min_interval).min(LONGEST)
    }

    /// `--create-settle`, never less than the connection's time-out and 3 s.
    #[must_use]
    pub fn settle_time(&self, timeout: Duration) -> Duration {
        self.create_settle.max(timeout + Duration::from_secs(3))
    }
}

/// The connection that the Webhook uses.
#[derive(Clone, Debug)]
pub enum Connection {
    /// There is none of that name.
    Missing {
        /// What to do.
        message: String,
        /// It is gone from the Webhook's own namespace: if that is terminating, it cannot come back.
        lost: bool,
    },
    /// It is not Ready.
    NotReady {
        /// Its reason and message.
        message: String,
        /// Its Secret is gone from the Webhook's own namespace: if that is terminating, it cannot come back.
        lost: bool,
    },
    /// It does not serve this Webhook.
    NotAllowed {
        /// Why, and what to do.
        message: String,
    },
    /// It can be used.
    Usable(Box<ConnectionFacts>),
}

/// Where a POST was sent: what a list says of it counts only if it is of the same account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Account {
    /// The API base.
    pub endpoint: String,
    /// [`ConnectionFacts::credentials`] at that time.
    pub credentials: u64,
}

/// What is known of a connection.
#[derive(Clone, Debug)]
pub struct ConnectionFacts {
    /// The API base.
    pub endpoint: Endpoint,
    /// What Orion can do.
    pub capabilities: Capabilities,
    /// Our webhooks carry the owner marker.
    pub ownership: bool,
    /// Webhooks may adopt by id.
    pub adoption: bool,
    /// Time-out of one call.
    pub timeout: Duration,
    /// Trouble of the whole connection: Webhooks wait for it without attempts.
    pub trouble: Option<Trouble>,
    /// A listed webhook showed a readable marker: they survive here.
    pub markers_survive: bool,
    /// A stored id has been seen since the endpoint or the credentials changed.
    pub proven: bool,
    /// Grows whenever the credentials change.
    pub credentials: u64,
    /// Grows whenever the connection comes back from trouble.
    pub recoveries: u64,
    /// The newest list read.
    pub last_list: Option<Arc<Snapshot>>,
    /// When this process began with it: what its Webhooks do together at intervals is counted from here.
    pub begun: Boot,
}

impl ConnectionFacts {
    /// The account that is reached now.
    #[must_use]
    pub fn account(&self) -> Account {
        Account { endpoint: self.endpoint.as_str().to_owned(), credentials: self.credentials }
    }
}

/// Trouble of a whole connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Its reason.
    pub reason: Reason,
    /// Stable message.
    pub message: String,
}

/// Header values read from Secrets, in the order of the spec.
#[derive(Clone, Debug)]
pub struct SecretValues {
    /// Name and value of each header of the spec, literal ones too.
    pub headers: Vec<(String, HeaderValue)>,
    /// The Secrets they came from, by name.
    pub versions: Vec<AppliedSecret>,
}

/// Header values cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretProblem {
    /// `SecretNotFound` or `SecretInvalid`.
    pub reason: Reason,
    /// What to do. Never holds a value.
    pub message: String,
}

/// What a look at other webhooks of the connection found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Others {
    /// How many were looked at.
    pub looked_at: usize,
    /// How many of them are gone.
    pub gone: usize,
    /// How many ids of the connection are known to be gone within an interval, this one included.
    pub gone_in_all: usize,
    /// How many ids the connection has.
    pub stored: usize,
}

impl Connection {
    /// What is known of it, or why it cannot be used.
    pub(super) fn usable(&self) -> Result<&ConnectionFacts, (Reason, &str)> {
        match self {
            Self::Missing { message, .. } => Err((Reason::ConnectionNotFound, message)),
            Self::NotReady { message, .. } => Err((Reason::ConnectionNotReady, message)),
            Self::NotAllowed { message } => Err((Reason::NotAllowed, message)),
            Self::Usable(connection) => Ok(connection),
        }
    }

    /// What it takes to use it is gone, and in a terminating namespace cannot come back.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        match self {
            Self::Missing { lost, .. } | Self::NotReady { lost, .. } => *lost,
            Self::NotAllowed { .. } | Self::Usable(_) => false,
        }
    }
}

impl Others {
    /// More than 20 %, and at least 5, of the connection's ids are gone (design section 4, `MassDrift`).
    #[must_use]
    pub fn is_mass_drift(&self) -> bool {
        let is_known = self.gone_in_all >= 5 && self.gone_in_all * 5 > self.stored;
        // The share of the sample stands for the share of all.
        let is_likely = self.gone * 5 > self.looked_at && self.gone * self.stored >= 5 * self.looked_at;
        is_known || is_likely
    }
}

/// The one change at Orion of this reconcile.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which.
    pub kind: CallKind,
    /// How it went; a POST gives the id.
    pub result: Result<String, Failure>,
}

/// Kinds of change at Orion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// Create.
    Post {
        /// Under this attempt.
        token: String,
    },
    /// Update.
    Update {
        /// Of this id.
        id: String,
    },
    /// Update that takes the marker off.
    Unmark {
        /// Of this id.
        id: String,
    },
    /// Delete.
    Delete {
        /// Of this id.
        id: String,
    },
}

/// What this reconcile has read and done so far. A change at Orion clears what was read from it before.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// resourceVersions in the Secret cache before `ReadSecrets` read the values: a later one is news.
    pub secret_versions: Option<BTreeMap<String, Option<String>>>,
    /// Read by `ReadSecrets`.
    pub secrets: Option<Result<SecretValues, SecretProblem>>,
    /// Read by `Get`, with the id that was asked for.
    pub remote: Option<(String, Result<RemoteWebhook, Failure>)>,
    /// Read by `List`.
    pub list: Option<Result<Arc<Snapshot>, Failure>>,
    /// Read by `LookAtOthers`.
    pub others: Option<Others>,
    /// Result of `Prepare`.
    pub prepared: Option<Result<(), Failure>>,
    /// Read by `LookAtNamespace`: the Webhook's namespace is terminating. `false` also where it could not be read.
    pub namespace_is_terminating: Option<bool>,
    /// A POST was refused with 401 and the credentials were read again.
    pub logged_in_again: bool,
    /// The change at Orion.
    pub call: Option<Call>,
}

/// The body that `spec` declares, with its header values at hand.
#[must_use]
pub fn desired(spec: &WebhookSpec, values: &SecretValues, owner: Option<Owner>) -> Desired {
    Desired {
        url: spec.url.clone(),
        user_id: spec.user_id.clone(),
        presence_name: spec.presence_name.clone(),
        headers: values.headers.clone(),
        owner,
    }
}

/// A number for what `spec` declares with the given Secrets, to tell whether Orion already has it. Stays in memory.
#[must_use]
pub fn digest(spec: &WebhookSpec, versions: &[AppliedSecret]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&spec.url, &spec.user_id, &spec.presence_name).hash(&mut hasher);
    for header in &spec.headers {
        (&header.name, &header.value).hash(&mut hasher);
        if let Some(from) = &header.value_from {
            let reference = &from.secret_key_ref;
            let version = versions.iter().find(|version| version.name == reference.name);
            (&reference.name, &reference.key, version.map(|version| &version.resource_version)).hash(&mut hasher);
        }
    }
    hasher.finish()
}
