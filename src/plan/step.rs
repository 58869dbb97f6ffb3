//! What a decision comes to: one step, or the end of a reconcile.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::facts::Account;
use super::snapshot::Boot;
use crate::api::{Readiness, WebhookStatus};

/// The next thing to do for one Webhook.
#[derive(Debug, Clone)]
pub enum Step {
    /// Read the Webhook from the apiserver (a quorum read), because a cache may be stale.
    Refresh,
    /// Read the Secrets that the headers refer to.
    ReadSecrets,
    /// Read one webhook from Orion.
    Get {
        /// Its id.
        id: String,
    },
    /// Read all webhooks from Orion, or take a list that was begun no earlier than this.
    List {
        /// The oldest acceptable beginning.
        begun_after: Boot,
    },
    /// Look at ten other webhooks of the connection, to tell one loss from the loss of many.
    LookAtOthers,
    /// Read the Webhook's namespace from the apiserver: is it terminating?
    LookAtNamespace,
    /// Get a permit and credentials, so that a POST can follow at once.
    Prepare,
    /// Apiserver write 1 of a create: finalizer and attempt in one patch, tested on the resourceVersion.
    BeginAttempt {
        /// The new attempt's token.
        token: String,
        /// Take the annotation `orion-operator.dev/resolve` off in the same patch.
        resolved: bool,
    },
    /// Put the finalizer on without an attempt, before an adoption.
    Hold,
    /// Take the annotation `orion-operator.dev/resolve` off: it has been acted on.
    ClearResolve,
    /// The one POST of an attempt.
    Post {
        /// The attempt's token.
        token: String,
    },
    /// Bring the webhook to what is declared.
    Update {
        /// Its id.
        id: String,
    },
    /// Take our marker off and leave the webhook.
    Unmark {
        /// Its id.
        id: String,
    },
    /// Delete a webhook.
    Delete {
        /// Its id.
        id: String,
    },
    /// Take the finalizer off: nothing of ours is left at Orion, or a person said to let go.
    Release {
        /// Why, for the log.
        why: &'static str,
        /// What may be left at Orion although it was to be deleted, in words for the log and an Event.
        left_behind: Option<String>,
    },
    /// Write the status if it changed, remember the verdict, and rest.
    Settle(Box<Settlement>),
}

impl Step {
    /// Lets go of the Webhook, with nothing left at Orion that was to be deleted.
    pub(super) fn release(why: &'static str) -> Self {
        Self::Release { why, left_behind: None }
    }

    /// Its name, for the log.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Step::Refresh => "Refresh",
            Step::ReadSecrets => "ReadSecrets",
            Step::Get { .. } => "Get",
            Step::List { .. } => "List",
            Step::LookAtOthers => "LookAtOthers",
            Step::LookAtNamespace => "LookAtNamespace",
            Step::Prepare => "Prepare",
            Step::BeginAttempt { .. } => "BeginAttempt",
            Step::Hold => "Hold",
            Step::ClearResolve => "ClearResolve",
            Step::Post { .. } => "Post",
            Step::Update { .. } => "Update",
            Step::Unmark { .. } => "Unmark",
            Step::Delete { .. } => "Delete",
            Step::Release { .. } => "Release",
            Step::Settle(_) => "Settle",
        }
    }
}

/// What must still hold when the status is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The Webhook is the one that was read.
    ResourceVersion,
    /// It is the same object and this attempt is still the recorded one: an id is recorded only then.
    Attempt(String),
}

/// The end of a reconcile.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The status as it shall be; written only if it differs.
    pub status: WebhookStatus,
    /// Tests of the write.
    pub guard: Guard,
    /// What its conditions say.
    pub readiness: Readiness,
    /// What it was decided from.
    pub inputs: Inputs,
    /// When to look again; `None`: when something changes.
    pub wake: Option<Boot>,
    /// This was a failure: the next back-off is longer.
    pub failed: bool,
    /// Failures in a row, where this was none.
    pub failures: u32,
    /// What Orion is now known to have: `Some(None)` for no longer known.
    pub synced: Option<Option<u64>>,
    /// When drift is to be looked for next.
    pub next_check: Option<Boot>,
    /// This id was deleted, or found to be gone, while the Webhook is going.
    pub gone: Option<String>,
}

impl Settlement {
    pub(super) fn step(self) -> Step {
        Step::Settle(Box::new(self))
    }

    pub(super) fn settling(mut self, token: Option<&str>) -> Self {
        if let Some(token) = token {
            self.status.settled_attempt = Some(token.to_owned());
            self.guard = Guard::Attempt(token.to_owned());
        }
        self
    }
}

/// What a verdict depends on besides time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct Inputs {
    pub generation: i64,
    pub deleting: bool,
    pub finalizer: bool,
    pub requested_at: Option<String>,
    pub resolve: Option<String>,
    pub attempt: Option<String>,
    pub webhook_id: Option<String>,
    pub endpoint: Option<String>,
    pub settled: Option<String>,
    pub secrets: BTreeMap<String, Option<String>>,
    pub connection: Result<Account, String>,
    pub lost: bool,
    pub adoption: bool,
    pub recoveries: u64,
}

/// [`Inputs`] as they are remembered: thousands of them stay in memory, and only whether they differ is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Known {
    /// Of what ends a back-off when it changes.
    pub(super) news: u64,
    /// Of all but the connection's recoveries.
    pub(super) all: u64,
    pub(super) recoveries: u64,
}

impl Inputs {
    pub(super) fn known(&self) -> Known {
        let news = (self.generation, &self.secrets, &self.requested_at, &self.resolve);
        let all = Self { recoveries: 0, ..self.clone() };
        Known { news: number(&news), all: number(&all), recoveries: self.recoveries }
    }
}

pub(super) fn number(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The result of an earlier reconcile. It stands until its inputs change or its time comes.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What it depends on.
    pub known: Known,
    /// What the conditions say.
    pub readiness: Readiness,
    /// When to look again; `None`: when something changes.
    pub wake: Option<Boot>,
}
