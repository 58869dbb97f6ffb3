//! The create protocol's straight way: attempt, one POST, record (design section 4, "Create").

use std::time::Duration;

use super::settle::{self, failed, readiness, settlement, synced};
use super::view::{Boot, ConnectionFacts, View};
use super::{Step, adopt, memory, resolve};
use crate::api::{Attempt, Failure, FailureClass, Reason, State};

/// The POST follows the apiserver's word that the attempt is ours within this time, on the boot-time clock.
pub(super) const CONFIRMED_FOR: Duration = Duration::from_secs(2);

/// Nothing of ours is at Orion, as far as is known.
pub(super) fn first(view: &View<'_>, connection: &ConnectionFacts) -> Step {
    if view.doubtful().is_some() {
        // Our marker is in the last list already: an object of the same name was here before.
        return resolve::uncertain(view, connection, None);
    }
    if let Some(adopt) = &view.webhook.spec.adopt {
        return adopt::plan(view, connection, adopt, None);
    }
    attempt(view, connection, false)
}

/// Begins an attempt, with everything at hand that the POST will need.
pub(super) fn attempt(view: &View<'_>, connection: &ConnectionFacts, resolved: bool) -> Step {
    if view.settings.dry_run {
        return settle::dry_run(view, "create");
    }
    if let Some(step) = prepared(view, connection) {
        return step;
    }
    Step::BeginAttempt { token: view.token.to_owned(), resolved }
}

/// What is still missing for a POST: the connection, header values, a permit with credentials.
fn prepared(view: &View<'_>, connection: &ConnectionFacts) -> Option<Step> {
    if let Some(trouble) = &connection.trouble {
        return Some(settle::wait_for_connection(view, trouble));
    }
    match &view.round.secrets {
        None => return Some(Step::ReadSecrets),
        Some(Err(problem)) => return Some(settle::secret_problem(view, problem)),
        Some(Ok(_)) => {}
    }
    match &view.round.prepared {
        None => Some(Step::Prepare),
        Some(Err(failure)) => Some(settle::failure(view, failure).step()),
        Some(Ok(())) => None,
    }
}

/// The attempt `token` is ours and has not been sent.
pub(super) fn post(view: &View<'_>, connection: &ConnectionFacts, token: &str) -> Step {
    if let (Some(adopt), None) = (&view.webhook.spec.adopt, view.stored_id()) {
        // It came into the spec while the attempt waited.
        return adopt::plan(view, connection, adopt, view.open_attempt().as_ref());
    }
    if let Some(step) = prepared(view, connection) {
        return step;
    }
    if view.memory.carrying.as_ref().is_some_and(|carrying| is_confirmed(carrying, view.now)) {
        Step::Post { token: token.to_owned() }
    } else {
        Step::Refresh
    }
}

/// The apiserver's word that the attempt is ours is young enough to POST on. Asked again right before sending.
#[must_use]
pub fn is_confirmed(carrying: &memory::Carrying, now: Boot) -> bool {
    now.saturating_sub(carrying.confirmed) < CONFIRMED_FOR
}

/// Orion gave an id: it is recorded while the attempt is still ours.
pub(super) fn record(view: &View<'_>, token: &str, id: &str) -> Step {
    let (super::Connection::Usable(connection), Some(created)) = (view.connection, &view.memory.created) else {
        // The connection went away between the answer and its record: keep the id until it is back.
        return settle::retry(view, Reason::ConnectionNotFound, "The connection went away while the webhook was created");
    };
    let mut settlement = synced(view, connection, id, &created.versions);
    if memory::digest(&view.webhook.spec, &created.versions) != created.digest {
        settlement = changed_meanwhile(view, settlement);
    }
    settlement.synced = Some(Some(created.digest));
    settlement.settling(Some(token)).step()
}

fn changed_meanwhile(view: &View<'_>, settlement: settle::Settlement) -> settle::Settlement {
    let readiness = readiness(view, Reason::Progressing, "The webhook was created; the spec has changed since and will be sent");
    let again = self::settlement(view, readiness, Some(view.now));
    let status = settlement.status;
    again.change(|new| {
        new.webhook_id = status.webhook_id;
        new.endpoint = status.endpoint;
        new.applied_secrets = status.applied_secrets;
    })
}

/// The POST gave no id.
pub(super) fn after_post(view: &View<'_>, connection: &ConnectionFacts, token: &str, result: &Result<String, Failure>) -> Step {
    let failure = match result {
        // The id could not be recorded: the attempt is no longer ours. What it made is found by its marker.
        Ok(_) => return settle::retry(view, Reason::Progressing, "The webhook was created while this object changed; looking again"),
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
        (None, Some(_)) if connection.capabilities.list != crate::api::Support::Absent => {
            Step::List { begun_after: view.now }
        }
        (Some(Ok(snapshot)), Some(owner)) if !snapshot.ids_of(&owner).is_empty() => {
            resolve::found(view, connection, snapshot, snapshot.ids_of(&owner), Some(token))
        }
        (Some(Err(list)), _) if settle::is_passing(list) => failed(view, readiness(view, list.reason(), settle::explain(list))).step(),
        (_, _) => settle::failure(view, failure).settling(Some(token)).step(),
    }
}

/// The text of the annotation that records an attempt.
#[must_use]
pub fn attempt_text(view: &View<'_>, token: &str) -> String {
    Attempt {
        token: token.to_owned(),
        begun: view.clock.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        instance: view.settings.instance.prefix().to_owned(),
    }
    .to_string()
}
