//! A Webhook of which nothing is at Orion, and what its POST came to.

use super::facts::ConnectionFacts;
use super::settle::{self, failed, readiness};
use super::step::Step;
use super::view::View;
use super::{adopt, attempt, resolve};
use crate::api::{Failure, FailureClass, Reason, State, Support};

/// Nothing of ours is at Orion, as far as is known.
pub(super) fn first(view: &View<'_>, connection: &ConnectionFacts) -> Step {
    if view.doubtful().is_some() {
        // Our marker is in the last list already: an object of the same name was here before.
        return resolve::uncertain(view, connection, None);
    }
    if let Some(adopt) = &view.webhook.spec.adopt {
        return adopt::plan(view, connection, adopt, None);
    }
    attempt::begin(view, connection, false)
}

/// The POST gave no id.
pub(super) fn after_post(
    view: &View<'_>,
    connection: &ConnectionFacts,
    token: &str,
    result: &Result<String, Failure>,
) -> Step {
    let failure = match result {
        // The id could not be recorded: the attempt is no longer ours. What it made is found by its marker.
        Ok(_) => {
            return settle::retry(
                view,
                Reason::Progressing,
                "The webhook was created while this object changed; looking again",
            );
        }
        Err(failure) => failure,
    };
    if failure.class == FailureClass::Unauthorized && !view.round.logged_in_again {
        return Step::Refresh;
    }
    if failure.class == FailureClass::Conflict {
        return in_the_way(view, connection, token, failure);
    }
    if failure.is_known_refusal() {
        let settlement = settle::failure(view, failure);
        // What will be tried again by itself is tried under the same attempt: no write for a retry.
        let token = (settlement.readiness.state() == State::Stalled).then_some(token);
        return settlement.settling(token).step();
    }
    let until = view.now + view.settle_time(connection);
    resolve::uncertain_until(view, until)
}

/// 409: something is at Orion already. Ours, if it carries our marker.
fn in_the_way(view: &View<'_>, connection: &ConnectionFacts, token: &str, failure: &Failure) -> Step {
    let owner = view.owner(connection);
    match (&view.round.list, owner) {
        (None, Some(_)) if connection.capabilities.list != Support::Absent => Step::List { begun_after: view.now },
        (Some(Ok(snapshot)), Some(owner)) if !snapshot.ids_of(&owner).is_empty() => {
            resolve::found(view, connection, snapshot, snapshot.ids_of(&owner), Some(token))
        }
        (Some(Err(list)), _) if settle::is_passing(list) => {
            failed(view, readiness(view, list.reason(), settle::explain(list))).step()
        }
        (_, _) => settle::failure(view, failure).settling(Some(token)).step(),
    }
}
