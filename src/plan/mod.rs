//! Decisions: facts and the time in, one step out.
//!
//! [`plan`] is called again after every step, with what the step brought to light, until it settles. It is pure: no
//! I/O, no clock, no randomness. The operator, the model checker and the simulation drive the same function.
//!
//! | room | decides about |
//! |---|---|
//! | `facts`, `snapshot` | what a decision is made from |
//! | `memory` | what one process remembers of one Webhook |
//! | `view` | the Webhook in the light of both |
//! | `step` | what a decision comes to |
//! | `settle` | the new status, and when to look again |
//! | `decision` | what a person has decided by annotation |
//! | `create`, `attempt` | first attempt, POST, its result |
//! | `resolve` | a create whose result is not known |
//! | `adopt` | taking over by id |
//! | `sync`, `gone` | drift, update, copies, endpoint, suspend; an id that Orion no longer has |
//! | `remove` | deletion |
//! | `orphans` | webhooks at Orion that nobody has |

mod adopt;
mod attempt;
mod create;
mod decision;
mod facts;
mod gone;
mod memory;
mod orphans;
mod remove;
mod resolve;
mod settle;
mod snapshot;
mod step;
mod sync;
#[cfg(test)]
mod tests;
mod view;

pub use attempt::attempt_text;
pub(crate) use decision::{ADOPT, Decision, NO_TOKEN, decision};
pub use facts::{
    Account, Call, CallKind, Connection, ConnectionFacts, Others, Round, SecretProblem, SecretValues, Settings,
    Trouble, desired, digest,
};
pub use memory::{Carrying, Created, Doubt, Memory};
pub use orphans::{Sightings, ownerless};
pub use settle::{backoff, explain, progressing, url_host};
pub use snapshot::{Boot, Snapshot};
pub use step::{Guard, Inputs, Settlement, Step, Verdict};
pub use view::View;

use crate::api::Reason;

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
        | Step::LookAtNamespace
        | Step::Prepare
        | Step::Settle(_) => None,
    }
}

fn decide(view: &View<'_>) -> Step {
    if view.is_deleting() {
        return remove::plan(view);
    }
    if let Some(created) = view.unrecorded() {
        return attempt::record(view, created);
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
    let connection = match view.connection.usable() {
        Ok(connection) => connection,
        Err((reason, message)) => return settle::unusable(view, reason, message).step(),
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
            view::Identity::Carried { carrying } => attempt::post(self, connection, carrying),
            view::Identity::Open { attempt } => resolve::uncertain(self, connection, Some(&attempt)),
            view::Identity::Bare => resolve::uncertain(self, connection, None),
            view::Identity::Free => create::first(self, connection),
        }
    }
}
