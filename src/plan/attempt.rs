//! One attempt to create: begun, sent once, recorded (design section 4, "Create").

use super::adopt;
use super::facts::{ConnectionFacts, digest};
use super::memory::{Carrying, Created};
use super::settle::{self, readiness, settlement, synced};
use super::step::Step;
use super::view::View;
use crate::api::{Attempt, Reason, Support};

/// Begins an attempt, with everything at hand that the POST will need.
pub(super) fn begin(view: &View<'_>, connection: &ConnectionFacts, resolved: bool) -> Step {
    if view.settings.dry_run {
        return rehearsed(view, connection);
    }
    if let Some(step) = prepared(view, connection) {
        return step;
    }
    Step::BeginAttempt { token: view.token.to_owned(), resolved }
}

/// `--dry-run`: whatever would be in the way, as far as reads can tell. One list serves all, and tests address and credentials.
fn rehearsed(view: &View<'_>, connection: &ConnectionFacts) -> Step {
    if let Some(step) = settle::not_yet(view, connection) {
        return step;
    }
    let snapshot = match &view.round.list {
        None if connection.capabilities.list != Support::Absent => {
            return Step::List { begun_after: view.now.saturating_sub(view.interval()) };
        }
        Some(Err(failure)) if !failure.class.is_absent() => return settle::failure(view, failure).step(),
        Some(Ok(snapshot)) => Some(snapshot),
        Some(Err(_)) | None => None,
    };
    let spec = &view.webhook.spec;
    let alike = snapshot.into_iter().flat_map(|snapshot| snapshot.webhooks()).find(|webhook| {
        webhook.url.is_some()
            && webhook.looks_like(&spec.url, &spec.user_id, &spec.presence_name)
            && (view.held_by)(&webhook.id).is_none()
    });
    let but =
        alike.map(|webhook| format!(", where {} is like it already: spec.adopt.id takes that one over", webhook.id));
    settle::dry_run_but(view, "create", &but.unwrap_or_default())
}

/// What is still missing for a POST: the connection, header values, a permit with credentials.
fn prepared(view: &View<'_>, connection: &ConnectionFacts) -> Option<Step> {
    if let Some(step) = settle::not_yet(view, connection) {
        return Some(step);
    }
    match &view.round.prepared {
        None => Some(Step::Prepare),
        Some(Err(failure)) => Some(settle::failure(view, failure).step()),
        Some(Ok(())) => None,
    }
}

/// The attempt is ours and has not been sent.
pub(super) fn post(view: &View<'_>, connection: &ConnectionFacts, carrying: &Carrying) -> Step {
    if let (Some(adopt), None) = (&view.webhook.spec.adopt, view.stored_id()) {
        // It came into the spec while the attempt waited.
        return adopt::plan(view, connection, adopt, view.open_attempt().as_ref());
    }
    if let Some(step) = prepared(view, connection) {
        return step;
    }
    let in_time = |at| carrying.is_in_time(at, view.settle_time(connection), connection.timeout);
    if carrying.is_confirmed(view.now) && in_time(carrying.confirmed) {
        Step::Post { token: carrying.token.clone() }
    } else if in_time(view.now) {
        Step::Refresh
    } else {
        // Another process may be about to hold this attempt for one that made nothing, and to begin its own: who wins
        // is decided by the resourceVersion.
        Step::BeginAttempt { token: view.token.to_owned(), resolved: false }
    }
}

/// Orion gave an id: it is recorded while the attempt is still ours, for the endpoint that was called, whatever has become
/// of the connection since.
pub(super) fn record(view: &View<'_>, created: &Created) -> Step {
    let is_declared = digest(&view.webhook.spec, &created.versions) == created.digest;
    let mut settlement = match view.connection.usable() {
        Ok(connection) if is_declared && connection.endpoint.as_str() == created.endpoint => {
            synced(view, connection, &created.id, &created.versions)
        }
        Ok(_) => {
            let message = "The webhook was created; what has changed since is looked at next";
            settlement(view, readiness(view, Reason::Progressing, message), Some(view.now))
        }
        Err((reason, message)) => settle::unusable(view, reason, message),
    };
    settlement.status.webhook_id = Some(created.id.clone());
    settlement.status.endpoint = Some(created.endpoint.clone());
    settlement.status.applied_secrets.clone_from(&created.versions);
    settlement.synced = Some(Some(created.digest));
    settlement.settling(Some(&created.token)).step()
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
