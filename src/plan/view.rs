//! The facts that a decision is made from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;

use super::memory::{Inputs, Memory, Verdict};
use super::snapshot::Snapshot;
use crate::api::{
    AppliedSecret, Attempt, CREATE_ATTEMPT, Capabilities, ConnectionKind, DeletionPolicy, Desired, Endpoint, FINALIZER, Failure, HeaderValue, InstanceId,
    Owner, REQUESTED_AT, RESOLVE, Reason, RemoteWebhook, State, Webhook, WebhookStatus, parse_duration,
};

/// Time since the machine booted, suspend included: it neither jumps nor stands still.
pub type Boot = Duration;

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

/// The connection that the Webhook uses.
#[derive(Clone, Debug)]
pub enum Connection {
    /// There is none of that name.
    Missing {
        /// What to do.
        message: String,
    },
    /// It is not Ready.
    NotReady {
        /// Its reason and message.
        message: String,
    },
    /// It does not serve this Webhook.
    NotAllowed {
        /// Why, and what to do.
        message: String,
    },
    /// It can be used.
    Usable(Box<ConnectionFacts>),
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

impl Others {
    /// More than 20 %, and at least 5, of the connection's ids are gone (design section 4, `MassDrift`).
    #[must_use]
    pub fn is_mass_drift(&self) -> bool {
        let gone = self.gone_in_all.max(self.gone);
        gone >= 5 && (self.gone_in_all * 5 > self.stored || self.gone * 5 > self.looked_at)
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
    /// A POST was refused with 401 and the credentials were read again.
    pub logged_in_again: bool,
    /// The change at Orion.
    pub call: Option<Call>,
}

/// Everything a decision may depend on.
pub struct View<'a> {
    /// The Webhook as last read or written.
    pub webhook: &'a Webhook,
    /// It was read from the apiserver in this reconcile and not from a cache.
    pub fresh: bool,
    /// Now.
    pub now: Boot,
    /// Now, for people: condition times and the attempt's text.
    pub clock: Timestamp,
    /// Random in `[0, 1)`, one for each reconcile.
    pub jitter: f64,
    /// A random token, one for each reconcile, for an attempt if one is begun.
    pub token: &'a str,
    /// Settings of the operator.
    pub settings: &'a Settings,
    /// The connection.
    pub connection: &'a Connection,
    /// resourceVersions in the Secret cache, by name; `None` where there is no such Secret.
    pub secret_versions: &'a BTreeMap<String, Option<String>>,
    /// The other Webhook (namespace/name) that holds an id of this connection.
    pub held_by: &'a dyn Fn(&str) -> Option<String>,
    /// What this process remembers.
    pub memory: &'a Memory,
    /// This reconcile so far.
    pub round: &'a Round,
}

/// How the Webhook is tied to Orion, by what is stored in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Identity<'a> {
    /// An id is stored.
    Stored { id: &'a str },
    /// An attempt that this process began and has not sent yet.
    Carried { token: &'a str },
    /// An attempt whose result is not known.
    Open { attempt: Attempt },
    /// A finalizer with neither attempt nor id.
    Bare,
    /// Nothing was ever created, or the last attempt is known to have created nothing.
    Free,
}

impl View<'_> {
    pub(super) fn status(&self) -> WebhookStatus {
        self.webhook.status.clone().unwrap_or_default()
    }

    pub(super) fn stored_id(&self) -> Option<&str> {
        self.webhook.status.as_ref()?.webhook_id.as_deref().filter(|id| !id.is_empty())
    }

    pub(super) fn is_deleting(&self) -> bool {
        self.webhook.metadata.deletion_timestamp.is_some()
    }

    pub(super) fn has_finalizer(&self) -> bool {
        self.webhook.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
    }

    pub(super) fn annotation(&self, key: &str) -> Option<&str> {
        self.webhook.annotations().get(key).map(String::as_str)
    }

    /// The recorded attempt, if its result is not known.
    pub(super) fn open_attempt(&self) -> Option<Attempt> {
        let attempt = Attempt::parse(self.annotation(CREATE_ATTEMPT)?);
        let settled = self.webhook.status.as_ref().and_then(|status| status.settled_attempt.as_deref());
        (settled != Some(attempt.token.as_str())).then_some(attempt)
    }

    pub(super) fn identity(&self) -> Identity<'_> {
        let open = self.open_attempt();
        if let Some(carrying) = &self.memory.carrying
            && !carrying.sent
            && open.as_ref().is_some_and(|attempt| attempt.token == carrying.token)
        {
            return Identity::Carried { token: &carrying.token };
        }
        match (self.stored_id(), open) {
            (Some(id), _) => Identity::Stored { id },
            (None, Some(attempt)) => Identity::Open { attempt },
            (None, None) if self.has_finalizer() && self.annotation(CREATE_ATTEMPT).is_none() && !self.memory.held => Identity::Bare,
            (None, None) => Identity::Free,
        }
    }

    /// An id that Orion gave to our attempt and that is not in the status yet.
    pub(super) fn unrecorded_id(&self) -> Option<(String, String)> {
        let created = self.memory.created.as_ref()?;
        let open = self.open_attempt()?;
        (open.token == created.token).then(|| (open.token, created.id.clone()))
    }

    /// What the decision depends on besides time: while it stays the same, a verdict stands until its time.
    #[must_use]
    pub fn inputs(&self) -> Inputs {
        let status = self.status();
        Inputs {
            generation: self.generation(),
            deleting: self.is_deleting(),
            finalizer: self.has_finalizer(),
            requested_at: self.annotation(REQUESTED_AT).map(str::to_owned),
            resolve: self.annotation(RESOLVE).map(str::to_owned),
            attempt: self.annotation(CREATE_ATTEMPT).map(str::to_owned),
            webhook_id: status.webhook_id,
            endpoint: status.endpoint,
            settled: status.settled_attempt,
            secrets: self.round.secret_versions.as_ref().unwrap_or(self.secret_versions).clone(),
            connection: match self.connection {
                Connection::Missing { .. } => None,
                Connection::NotReady { .. } => None,
                Connection::NotAllowed { .. } => None,
                Connection::Usable(facts) => Some((facts.endpoint.clone(), facts.credentials)),
            },
            recoveries: match self.connection {
                Connection::Missing { .. } | Connection::NotReady { .. } | Connection::NotAllowed { .. } => 0,
                Connection::Usable(facts) => facts.recoveries,
            },
        }
    }

    /// The verdict of an earlier reconcile, if nothing has changed since and its time has not come.
    pub(super) fn standing_verdict(&self) -> Option<&Verdict> {
        let verdict = self.memory.verdict.as_ref()?;
        let time_has_come = verdict.wake.is_some_and(|wake| wake <= self.now);
        let mut inputs = self.inputs();
        if verdict.readiness.state() == State::Stalled {
            // A refusal is not the connection's trouble, and does not end with it.
            inputs.recoveries = verdict.inputs.recoveries;
        }
        (!time_has_come && verdict.inputs == inputs).then_some(verdict)
    }

    pub(super) fn generation(&self) -> i64 {
        self.webhook.metadata.generation.unwrap_or_default()
    }

    pub(super) fn owner(&self, connection: &ConnectionFacts) -> Option<Owner> {
        let namespace = self.webhook.namespace().unwrap_or_default();
        connection.ownership.then(|| self.settings.instance.owner(&namespace, &self.webhook.name_any()))
    }

    /// The time between drift checks.
    pub(super) fn interval(&self) -> Duration {
        let declared = self.webhook.spec.interval.as_deref().and_then(|text| parse_duration(text).ok());
        declared.unwrap_or(self.settings.interval).max(self.settings.min_interval).min(LONGEST)
    }

    /// `--create-settle`, never less than the connection's time-out and 3 s.
    pub fn settle_time(&self, connection: &ConnectionFacts) -> Duration {
        self.settings.create_settle.max(connection.timeout + Duration::from_secs(3))
    }

    /// A check was asked for by annotation and not answered yet.
    pub(super) fn is_requested(&self) -> bool {
        let handled = self.webhook.status.as_ref().and_then(|status| status.last_handled_reconcile_at.as_deref());
        self.annotation(REQUESTED_AT).is_some_and(|requested| handled != Some(requested))
    }

    /// What Orion shall have. `None` until the Secrets were read.
    pub(super) fn desired(&self, connection: &ConnectionFacts) -> Option<Desired> {
        let Some(Ok(values)) = &self.round.secrets else { return None };
        Some(desired(&self.webhook.spec, values, self.owner(connection)))
    }

    /// What keeps the spec from being carried out, where the CRD's own rules were not there to refuse it.
    pub(super) fn spec_problem(&self) -> Option<String> {
        let spec = &self.webhook.spec;
        if spec.deletion_policy() == DeletionPolicy::Unknown {
            return Some(UNKNOWN_POLICY.to_owned());
        }
        if spec.connection_ref.as_ref().is_some_and(|reference| reference.kind == Some(ConnectionKind::Unknown)) {
            return Some("spec.connectionRef.kind: this version knows OrionConnection and ClusterOrionConnection".to_owned());
        }
        spec.interval.as_deref().and_then(|text| parse_duration(text).err()).map(|why| format!("spec.interval: {why}"))
    }
}

/// Times are added up: one that is absurdly long must not overflow.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

pub(super) const UNKNOWN_POLICY: &str = "spec.deletionPolicy: this version knows Delete and Orphan";

/// The body that `spec` declares, with its header values at hand.
#[must_use]
pub fn desired(spec: &crate::api::WebhookSpec, values: &SecretValues, owner: Option<Owner>) -> Desired {
    Desired {
        url: spec.url.clone(),
        user_id: spec.user_id.clone(),
        presence_name: spec.presence_name.clone(),
        headers: values.headers.clone(),
        owner,
    }
}
