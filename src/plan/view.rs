//! The Webhook as a decision sees it: what is stored in it, what is remembered of it, and the facts around it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;

use super::facts::{Connection, ConnectionFacts, Round, SecretValues, Settings, desired, digest};
use super::memory::{Carrying, Created, Memory};
use super::settle;
use super::snapshot::Boot;
use super::step::{Inputs, Step, Verdict};
use crate::api::{
    AppliedSecret, Attempt, CREATE_ATTEMPT, ConnectionKind, DeletionPolicy, Desired, FINALIZER, Owner, REQUESTED_AT,
    RESOLVE, State, Support, Webhook, WebhookStatus, parse_duration, ready_condition,
};

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
    /// A random token that was never used, for an attempt if one is begun.
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
    Carried { carrying: &'a Carrying },
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
            return Identity::Carried { carrying };
        }
        match (self.stored_id(), open) {
            (Some(id), _) => Identity::Stored { id },
            (None, Some(attempt)) => Identity::Open { attempt },
            (None, None) if self.has_finalizer() && self.annotation(CREATE_ATTEMPT).is_none() && !self.memory.held => {
                Identity::Bare
            }
            (None, None) => Identity::Free,
        }
    }

    /// The token (or nothing) of a create whose result this process does not know.
    #[must_use]
    pub fn doubtful(&self) -> Option<String> {
        let marker_listed = || match self.connection {
            Connection::Usable(facts) => {
                let owner = self.owner(facts);
                let list = facts.last_list.as_ref();
                owner.is_some_and(|owner| list.is_some_and(|list| !list.ids_of(&owner).is_empty()))
            }
            Connection::Missing { .. } | Connection::NotReady { .. } | Connection::NotAllowed { .. } => false,
        };
        // An id that came and is not recorded yet is a known result.
        let created = self.memory.created.as_ref().map(|created| created.token.as_str());
        let unknown = |attempt: Attempt| (created != Some(attempt.token.as_str())).then_some(attempt.token);
        match self.identity() {
            Identity::Open { attempt } => unknown(attempt),
            Identity::Bare => Some(String::new()),
            // Once in doubt, until a whole look has ended it: one list without the marker does not.
            Identity::Free => {
                let already = self.memory.doubt.as_ref().is_some_and(|doubt| doubt.token.is_empty());
                (already || marker_listed()).then(String::new)
            }
            // A stored id that is gone may be followed by an attempt whose result is not known either.
            Identity::Stored { .. } => self.open_attempt().and_then(unknown),
            Identity::Carried { .. } => None,
        }
    }

    /// An id that Orion gave to our attempt and that is not in the status yet.
    pub(super) fn unrecorded(&self) -> Option<&Created> {
        let created = self.memory.created.as_ref()?;
        (self.open_attempt()?.token == created.token).then_some(created)
    }

    /// The other Webhook that holds an id, as far as a message may name it: what is in other namespaces is not for the
    /// people of this one to know.
    pub(super) fn holder(&self, id: &str) -> String {
        let namespace = self.webhook.metadata.namespace.as_deref();
        let holder = (self.held_by)(id).unwrap_or_default();
        match holder.split_once('/') {
            Some((theirs, _)) if Some(theirs) == namespace => format!("The Webhook {holder}"),
            Some(_) | None => "A Webhook of another namespace".to_owned(),
        }
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
                Connection::Missing { message, .. }
                | Connection::NotReady { message, .. }
                | Connection::NotAllowed { message } => Err(message.clone()),
                Connection::Usable(facts) => Ok(facts.account()),
            },
            lost: self.connection.is_lost(),
            adoption: match self.connection {
                Connection::Missing { .. } | Connection::NotReady { .. } | Connection::NotAllowed { .. } => false,
                Connection::Usable(facts) => facts.adoption,
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
        let mut known = self.inputs().known();
        if verdict.readiness.state() == State::Stalled {
            // A refusal is not the connection's trouble, and does not end with it.
            known.recoveries = verdict.known.recoveries;
        }
        (!time_has_come && verdict.known == known).then_some(verdict)
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
        self.settings.interval(declared)
    }

    /// How long an effect of ours may take to show.
    pub fn settle_time(&self, connection: &ConnectionFacts) -> Duration {
        self.settings.settle_time(connection.timeout)
    }

    /// When a missing id may be looked at again. GET says what is there; a list may not show yet what was created up to a
    /// settle time ago, perhaps by a process before this one, so that two of them must be that far apart.
    pub(super) fn second_look(&self, connection: &ConnectionFacts) -> Option<Boot> {
        let by_get = connection.capabilities.get == Support::Proven;
        let apart = if by_get { LOOKS_APART.min(self.settings.create_settle) } else { self.settle_time(connection) };
        self.memory.second_look(apart)
    }

    /// The Secrets' versions: as read in this round, else as last pushed.
    pub(super) fn versions(&self) -> Vec<AppliedSecret> {
        match &self.round.secrets {
            Some(Ok(values)) => values.versions.clone(),
            Some(Err(_)) | None => self.status().applied_secrets,
        }
    }

    /// The status says Ready, of whatever generation.
    pub(super) fn was_ready(&self) -> bool {
        ready_condition(&self.status().conditions).is_some_and(|ready| ready.status == "True")
    }

    /// The status says that this generation is in sync.
    pub(super) fn is_synced(&self) -> bool {
        let known = self.memory.synced;
        self.was_ready()
            && self.status().observed_generation == Some(self.generation())
            && known.is_none_or(|known| known == digest(&self.webhook.spec, &self.versions()))
    }

    /// A check was asked for by annotation and not answered yet.
    pub(super) fn is_requested(&self) -> bool {
        let handled = self.webhook.status.as_ref().and_then(|status| status.last_handled_reconcile_at.as_deref());
        self.annotation(REQUESTED_AT).is_some_and(|requested| handled != Some(requested))
    }

    /// What Orion shall have, with these header values.
    pub(super) fn desired(&self, connection: &ConnectionFacts, values: &SecretValues) -> Desired {
        desired(&self.webhook.spec, values, self.owner(connection))
    }

    /// The header values of this round, or what comes first.
    pub(super) fn values(&self) -> Result<&SecretValues, Step> {
        match &self.round.secrets {
            None => Err(Step::ReadSecrets),
            Some(Err(problem)) => Err(settle::secret_problem(self, problem)),
            Some(Ok(values)) => Ok(values),
        }
    }

    /// What keeps the spec from being carried out, where the CRD's own rules were not there to refuse it.
    pub(super) fn spec_problem(&self) -> Option<String> {
        let spec = &self.webhook.spec;
        if spec.deletion_policy() == DeletionPolicy::Unknown {
            return Some(UNKNOWN_POLICY.to_owned());
        }
        if spec.connection_ref.as_ref().is_some_and(|reference| reference.kind == Some(ConnectionKind::Unknown)) {
            return Some(
                "spec.connectionRef.kind: this version knows OrionConnection and ClusterOrionConnection".to_owned(),
            );
        }
        spec.interval.as_deref().and_then(|text| parse_duration(text).err()).map(|why| format!("spec.interval: {why}"))
    }
}

/// Time between two looks by GET that it takes to say that a webhook is gone.
const LOOKS_APART: Duration = Duration::from_secs(2);

pub(super) const UNKNOWN_POLICY: &str = "spec.deletionPolicy: this version knows Delete and Orphan";
