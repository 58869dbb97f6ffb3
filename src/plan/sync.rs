//! A Webhook whose id is stored: kept as declared.

use std::time::Duration;

use super::facts::{Connection, ConnectionFacts, digest};
use super::resolve::{self, Finding};
use super::settle::{self, failed, readiness, stay, synced};
use super::snapshot::{Boot, Snapshot};
use super::step::Step;
use super::view::{Identity, View};
use super::{adopt, attempt, decision, gone};
use crate::api::{AppliedSecret, Failure, FailureClass, Reason, RemoteWebhook, Support};

/// The id `id` is stored.
pub(super) fn stored(view: &View<'_>, connection: &ConnectionFacts, id: &str) -> Step {
    let status = view.status();
    if !view.has_finalizer() {
        // Taken off by hand, or lost in a restore: without it a deletion would leave the webhook behind.
        return Step::Hold;
    }
    if status.endpoint.as_deref().is_some_and(|endpoint| endpoint != connection.endpoint.as_str()) {
        return moved(view, connection, id);
    }
    if let Some(step) = rotated(view, &status.applied_secrets) {
        return step;
    }
    let versions = view.versions();
    let wanted = digest(&view.webhook.spec, &versions);
    // A first miss is followed up, whatever led to it.
    let is_missing = !view.memory.missing.is_empty();
    let is_due = view.is_requested() || is_missing || view.memory.next_check.is_some_and(|check| check <= view.now);
    match view.memory.synced {
        Some(known) if known != wanted => update(view, connection, id),
        Some(_) if !is_due => {
            delete_copy(view, connection, id).unwrap_or_else(|| at_rest(view, connection, id, &versions))
        }
        Some(_) | None => observe(view, connection, id),
    }
}

/// A Secret may have changed: read it. The cache only hints; what is read counts.
fn rotated(view: &View<'_>, applied: &[AppliedSecret]) -> Option<Step> {
    match &view.round.secrets {
        Some(Ok(_)) => None,
        Some(Err(problem)) => Some(settle::secret_problem(view, problem)),
        None => {
            let changed = view.webhook.spec.secret_names().into_iter().any(|name| {
                let cached = view.secret_versions.get(name).and_then(Option::as_deref);
                let applied =
                    applied.iter().find(|secret| secret.name == name).map(|secret| secret.resource_version.as_str());
                cached.is_none() || is_newer(cached, applied)
            });
            changed.then_some(Step::ReadSecrets)
        }
    }
}

/// resourceVersions are compared as numbers where they are numbers (Kubernetes 1.35 made that part of the API): a cache
/// that lags behind a value that was just pushed must not look like a rotation.
fn is_newer(cached: Option<&str>, applied: Option<&str>) -> bool {
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok());
    match (number(cached), number(applied)) {
        (Some(cached), Some(applied)) => cached > applied,
        (_, _) => cached != applied,
    }
}

/// Nothing is due.
fn at_rest(view: &View<'_>, connection: &ConnectionFacts, id: &str, versions: &[AppliedSecret]) -> Step {
    let mut settlement = synced(view, connection, id, versions);
    if let (Some(known), Some(fresh)) = (view.memory.next_check, settlement.next_check) {
        // An interval that was shortened counts from now.
        let next_check = known.min(fresh);
        let copies =
            view.memory.copies.values().map(|first| *first + view.settle_time(connection)).filter(|at| *at > view.now);
        settlement.next_check = Some(next_check);
        settlement.wake = copies.min().map_or(Some(next_check), |copy| Some(copy.min(next_check)));
    }
    settlement.step()
}

/// Looks at Orion's side: a shared list while many are due, one GET when one was asked for.
fn observe(view: &View<'_>, connection: &ConnectionFacts, id: &str) -> Step {
    if let Some(trouble) = &connection.trouble {
        return if view.is_synced() {
            let mut settlement = stay(view, view.now + settle::BACKOFF_CAP);
            settlement.next_check = Some(view.now);
            settlement.step()
        } else {
            settle::wait_for_connection(view, trouble)
        };
    }
    if let Some((read, result)) = &view.round.remote
        && read == id
    {
        return match result {
            Ok(remote) => compare(view, connection, remote),
            Err(failure) if failure.class == FailureClass::NotFound && failure.json => not_found(view, connection, id),
            Err(failure) if failure.class == FailureClass::MethodNotAllowed => blind(view, connection, id),
            Err(failure) => check_failed(view, failure),
        };
    }
    let adopted = view.webhook.spec.adopt.as_ref().map(|adopt| adopt.id.as_str());
    if view.round.remote.as_ref().is_some_and(|(read, _)| Some(read.as_str()) == adopted) {
        // The one to adopt in its place was read, for which the stored one was found to be gone before.
        return gone::plan(view, connection, id);
    }
    let by_list = connection.capabilities.list != Support::Absent;
    let by_get = connection.capabilities.get != Support::Absent;
    match &view.round.list {
        Some(Ok(snapshot)) => match snapshot.get(id) {
            Some(remote) => compare(view, connection, remote),
            None if by_get => Step::Get { id: id.to_owned() },
            None => gone::plan(view, connection, id),
        },
        Some(Err(failure)) if !failure.class.is_absent() => check_failed(view, failure),
        Some(Err(_)) if by_get => Step::Get { id: id.to_owned() },
        None if by_get && (view.is_requested() || !by_list || !view.memory.missing.is_empty()) => {
            Step::Get { id: id.to_owned() }
        }
        None if by_list => Step::List { begun_after: list_age(view, connection) },
        Some(Err(_)) | None => blind(view, connection, id),
    }
}

/// 404 for the stored id. Where GET was never seen to work it takes the list to say that the id is gone, and where there
/// is no list either it says nothing.
fn not_found(view: &View<'_>, connection: &ConnectionFacts, id: &str) -> Step {
    if connection.capabilities.get == Support::Proven {
        return gone::plan(view, connection, id);
    }
    match &view.round.list {
        _ if connection.capabilities.list == Support::Absent => blind(view, connection, id),
        None => Step::List { begun_after: list_age(view, connection) },
        Some(Ok(snapshot)) => match snapshot.get(id) {
            Some(remote) => compare(view, connection, remote),
            None => gone::plan(view, connection, id),
        },
        Some(Err(failure)) => check_failed(view, failure),
    }
}

/// The oldest list that may answer a drift check: one that many share, all that are due within the same tenth of the interval
/// even where some come late to it, and however long it takes to read; but none from before a person asked or our own last
/// change, and for a second look at a missing id none that was the first.
fn list_age(view: &View<'_>, connection: &ConnectionFacts) -> Boot {
    let took = connection.last_list.as_ref().map_or(Duration::ZERO, |list| list.took);
    let shared = if view.is_requested() { view.now } else { view.now.saturating_sub(view.interval() / 5 + took) };
    let own = view.memory.changed.map_or(shared, |changed| changed.max(shared));
    view.second_look(connection).map_or(own, |second| second.max(own))
}

/// Orion cannot be looked at: only what was sent is known.
fn blind(view: &View<'_>, connection: &ConnectionFacts, id: &str) -> Step {
    let is_pushed = versions_of(view) == view.versions();
    if view.is_synced() && is_pushed || view.memory.synced.is_some() {
        synced(view, connection, id, &view.versions()).step()
    } else {
        update(view, connection, id)
    }
}

fn compare(view: &View<'_>, connection: &ConnectionFacts, remote: &RemoteWebhook) -> Step {
    let values = match view.values() {
        Ok(values) => values,
        Err(step) => return step,
    };
    let is_same = remote.matches(&view.desired(connection, values));
    // A masked value cannot be compared: a Secret that is not the applied one is pushed all the same.
    let is_pushed = view.memory.synced.is_some() || versions_of(view) == values.versions;
    if !is_same || !is_pushed || adopt::is_taken_by_force(view, connection, remote) {
        return update(view, connection, &remote.id);
    }
    delete_copy(view, connection, &remote.id)
        .unwrap_or_else(|| synced(view, connection, &remote.id, &values.versions).step())
}

fn versions_of(view: &View<'_>) -> Vec<AppliedSecret> {
    view.status().applied_secrets
}

/// A check failed. What was synced stays so: the connection shows the trouble.
fn check_failed(view: &View<'_>, failure: &Failure) -> Step {
    if view.is_synced() {
        let mut settlement = stay(view, view.now + settle::backoff(view.memory.failures, view.jitter));
        settlement.failed = true;
        settlement.next_check = settlement.wake;
        return settlement.step();
    }
    let mut settlement = settle::failure(view, failure);
    settlement.next_check = settlement.wake;
    settlement.step()
}

/// Brings the webhook to what is declared.
pub(super) fn update(view: &View<'_>, connection: &ConnectionFacts, id: &str) -> Step {
    if connection.capabilities.put == Support::Absent && connection.capabilities.patch == Support::Absent {
        return unsupported(view, connection);
    }
    if let Some(step) = settle::not_yet(view, connection) {
        return step;
    }
    if view.settings.dry_run {
        return settle::dry_run(view, "update");
    }
    Step::Update { id: id.to_owned() }
}

fn unsupported(view: &View<'_>, connection: &ConnectionFacts) -> Step {
    settle::report(
        view,
        Reason::UpdateUnsupported,
        format!(
            "Orion at {} has neither PUT nor PATCH for webhooks, and what it has is not what is declared. Undo the change, \
             or delete this Webhook and apply it again",
            connection.endpoint.host()
        ),
    )
}

pub(super) fn after_update(
    view: &View<'_>,
    connection: &ConnectionFacts,
    id: &str,
    result: &Result<String, Failure>,
) -> Step {
    match result {
        Ok(_) => synced(view, connection, id, &view.versions()).step(),
        Err(failure) if failure.class == FailureClass::MethodNotAllowed => unsupported(view, connection),
        Err(failure) if failure.class == FailureClass::NotFound => {
            let message = "Orion does not find the webhook for an update; looking whether it is gone";
            let mut settlement = failed(view, readiness(view, Reason::Progressing, message));
            settlement.synced = Some(None);
            settlement.step()
        }
        Err(failure) => {
            let mut settlement = settle::failure(view, failure);
            if !failure.is_known_refusal() {
                // It may have taken effect: look before anything is compared with memory again.
                settlement.synced = Some(None);
            }
            settlement.step()
        }
    }
}

/// A second webhook with our marker, shown by complete lists at least a settle time apart, next to the stored one.
fn delete_copy(view: &View<'_>, connection: &ConnectionFacts, id: &str) -> Option<Step> {
    let settle_time = view.settle_time(connection);
    let (copy, first) = view.memory.copies.iter().find(|(_, first)| **first + settle_time <= view.now)?;
    if connection.trouble.is_some() || connection.capabilities.delete == Support::Absent || view.settings.dry_run {
        return None;
    }
    let owner = view.owner(connection)?;
    let is_ours = |list: &Snapshot| list.ids_of(&owner).contains(copy) && (view.held_by)(copy).is_none();
    let shown_again = connection.last_list.as_ref().filter(|list| list.begun >= *first + settle_time);
    match (shown_again, &view.round.list) {
        (Some(list), _) if list.is_complete() && list.get(id).is_some() && is_ours(list) => {
            Some(Step::Delete { id: copy.clone() })
        }
        (None, None) => Some(Step::List { begun_after: *first + settle_time }),
        (_, _) => None,
    }
}

/// A copy was deleted, or not: either way the stored webhook is what counts, and the next round looks again.
pub(super) fn after_copy_deleted(
    view: &View<'_>,
    connection: &ConnectionFacts,
    _copy: &str,
    _: &Result<String, Failure>,
) -> Step {
    match view.stored_id() {
        Some(id) => synced(view, connection, id, &view.versions()).step(),
        None => settle::retry(view, Reason::Progressing, "Looking at Orion again"),
    }
}

/// The stored id belongs to another endpoint: it is the same webhook only if our marker is on it here too.
fn moved(view: &View<'_>, connection: &ConnectionFacts, id: &str) -> Step {
    if let Some(trouble) = &connection.trouble {
        return settle::wait_for_connection(view, trouble);
    }
    match &view.round.remote {
        None if connection.capabilities.get != Support::Absent => return Step::Get { id: id.to_owned() },
        Some((_, Ok(remote))) if remote.owner().is_some() && remote.owner() == view.owner(connection) => {
            return adopt::take_over(view, connection, remote, None);
        }
        Some((_, Err(failure))) if !failure.class.is_absent() => return settle::failure(view, failure).step(),
        Some(_) | None => {}
    }
    if let Some(attempt) = view.open_attempt() {
        // An attempt to replace it was begun before. Only if that is known to have made nothing, a person may begin another.
        match resolve::find(view, connection, Some(&attempt)) {
            Finding::NotYet(step) => return step,
            Finding::Ours(snapshot, ours) => {
                return resolve::found(view, connection, snapshot, ours, Some(&attempt.token));
            }
            Finding::Alike(ids) => return resolve::unresolved(view, resolve::ALIKE, &ids),
            Finding::Elsewhere => return resolve::elsewhere(view),
            Finding::Nothing => {}
        }
    }
    if decision::is_to_recreate(view) {
        return attempt::begin(view, connection, true);
    }
    settle::report(
        view,
        Reason::EndpointChanged,
        format!(
            "{id} was created at {}, and the connection now leads to {}, which does not show it as ours. Point the connection \
             back, or create a new webhook here and leave the old one: {}",
            view.status().endpoint.unwrap_or_default(),
            connection.endpoint,
            settle::annotate_command(view, &format!("recreate={id}"))
        ),
    )
}

/// `spec.suspend`: nothing is changed at Orion. Ready stays True only if the rest of the spec is what was last synced.
pub(super) fn suspended(view: &View<'_>) -> Step {
    let applied = view.status().applied_secrets;
    let wanted = digest(&view.webhook.spec, &applied);
    let is_synced = match (view.identity(), view.memory.synced) {
        (Identity::Stored { .. }, Some(known)) => known == wanted && view.was_ready(),
        (Identity::Stored { .. }, None) if view.status().observed_generation == Some(view.generation()) => {
            view.was_ready()
        }
        (Identity::Stored { id }, None) if view.was_ready() => match seen(view, id) {
            Seen::Not(step) => return step,
            Seen::Same(same) => same,
        },
        (
            Identity::Stored { .. }
            | Identity::Carried { .. }
            | Identity::Open { .. }
            | Identity::Bare
            | Identity::Free,
            _,
        ) => false,
    };
    if !is_synced {
        return settle::report(
            view,
            Reason::Suspended,
            "Suspended; the spec is sent to Orion when spec.suspend is taken out",
        );
    }
    let mut settlement = stay(view, view.now);
    settlement.wake = None;
    settlement.synced = Some(Some(wanted));
    settlement.step()
}

enum Seen {
    Not(Step),
    Same(bool),
}

/// After a restart, memory does not say what was last synced: Orion does, as far as it can be read.
fn seen(view: &View<'_>, id: &str) -> Seen {
    let Connection::Usable(connection) = view.connection else { return Seen::Same(false) };
    match (&view.round.remote, &view.round.secrets) {
        (None, _) if connection.trouble.is_none() && connection.capabilities.get != Support::Absent => {
            Seen::Not(Step::Get { id: id.to_owned() })
        }
        (Some((_, Ok(_))), None) => Seen::Not(Step::ReadSecrets),
        (Some((_, Ok(remote))), Some(Ok(values))) => Seen::Same(remote.matches(&view.desired(connection, values))),
        (_, _) => Seen::Same(false),
    }
}
