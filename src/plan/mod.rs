//! Decisions: facts and the time in, one step out.
//!
//! [`plan`] is called again after every step, with what the step brought to light, until it settles. It is pure: no
//! I/O, no clock, no randomness. The operator, the model checker and the simulation drive the same function.
//!
//! | room | decides about |
//! |---|---|
//! | `view`, `snapshot` | the facts |
//! | `memory` | what one process remembers of one Webhook |
//! | `create` | first attempt, POST, its result |
//! | `resolve` | a create whose result is not known, and a person's decision |
//! | `adopt` | taking over by id |
//! | `sync` | drift, update, copies, endpoint, suspend |
//! | `gone` | an id that Orion no longer has |
//! | `remove` | deletion |
//! | `settle` | the new status and when to look again |

mod adopt;
mod create;
mod gone;
mod memory;
mod remove;
mod resolve;
mod settle;
mod snapshot;
mod sync;
#[cfg(test)]
mod tests;
mod view;

pub use memory::{Carrying, Created, Doubt, Inputs, Memory, Verdict, digest};
pub use create::{attempt_text, is_confirmed};
pub use settle::{Guard, Settlement, backoff, explain, progressing};
pub use snapshot::Snapshot;
pub use view::{
    Boot, Call, CallKind, Connection, ConnectionFacts, Others, Round, SecretProblem, SecretValues, Settings, Trouble,
    View, desired,
};

use crate::api::Reason;

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
    },
    /// Write the status if it changed, remember the verdict, and rest.
    Settle(Box<Settlement>),
}

impl Step {
    /// Its name, for the log.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Step::Refresh => "Refresh",
            Step::ReadSecrets => "ReadSecrets",
            Step::Get { .. } => "Get",
            Step::List { .. } => "List",
            Step::LookAtOthers => "LookAtOthers",
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

/// The next step for the Webhook in `view`.
#[must_use]
pub fn plan(view: &View<'_>) -> Step {
    let step = decide(view);
    match written_by(&step).filter(|_| view.settings.dry_run) {
        Some(what) => settle::dry_run(view, what),
        None => step,
    }
}

/// What a step writes besides the status, for `--dry-run`: there it is only said.
fn written_by(step: &Step) -> Option<&'static str> {
    match step {
        Step::BeginAttempt { .. } | Step::Post { .. } => Some("create"),
        Step::Hold => Some("take over"),
        Step::ClearResolve => Some("clear the annotation of"),
        Step::Update { .. } | Step::Unmark { .. } => Some("update"),
        Step::Delete { .. } => Some("delete"),
        Step::Release { .. } => Some("let go of"),
        Step::Refresh
        | Step::ReadSecrets
        | Step::Get { .. }
        | Step::List { .. }
        | Step::LookAtOthers
        | Step::Prepare
        | Step::Settle(_) => None,
    }
}

fn decide(view: &View<'_>) -> Step {
    if view.is_deleting() {
        return remove::plan(view);
    }
    if let Some((token, id)) = view.unrecorded_id() {
        return create::record(view, &token, &id);
    }
    if let Some(verdict) = view.standing_verdict() {
        return settle::keep(view, verdict);
    }
    if let Some(problem) = view.spec_problem() {
        return settle::report(view, Reason::InvalidSpec, problem);
    }
    if view.webhook.spec.is_suspended() && view.round.call.is_none() {
        return sync::suspended(view);
    }
    let connection = match view.connection {
        Connection::Missing { message } => return settle::retry(view, Reason::ConnectionNotFound, message.clone()),
        Connection::NotReady { message } => return settle::retry(view, Reason::ConnectionNotReady, message.clone()),
        Connection::NotAllowed { message } => return settle::report(view, Reason::NotAllowed, message.clone()),
        Connection::Usable(connection) => connection,
    };
    if let Some(call) = &view.round.call {
        return match &call.kind {
            CallKind::Post { token } => create::after_post(view, connection, token, &call.result),
            CallKind::Update { id } => sync::after_update(view, connection, id, &call.result),
            CallKind::Delete { id } => sync::after_copy_deleted(view, connection, id, &call.result),
            CallKind::Unmark { .. } => settle::retry(view, Reason::Progressing, "Looking at Orion again"),
        };
    }
    if let Some(step) = resolve::by_a_person(view, connection) {
        return step;
    }
    view.identity_plan(connection)
}

impl View<'_> {
    fn identity_plan(&self, connection: &ConnectionFacts) -> Step {
        match self.identity() {
            view::Identity::Stored { id } => sync::stored(self, connection, id),
            view::Identity::Carried { token } => create::post(self, connection, token),
            view::Identity::Open { attempt } => resolve::uncertain(self, connection, Some(&attempt)),
            view::Identity::Bare => resolve::uncertain(self, connection, None),
            view::Identity::Free => create::first(self, connection),
        }
    }
}
