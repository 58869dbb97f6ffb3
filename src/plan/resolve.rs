//! A create whose result is not known (design section 4, "Uncertain", "Resolving"), and a person's decision about it.

use std::time::Duration;

use super::decision::{ADOPT, Decision, NO_TOKEN, fitting};
use super::facts::ConnectionFacts;
use super::settle::{self, readiness, settlement};
use super::snapshot::{Boot, Snapshot};
use super::step::Step;
use super::view::View;
use super::{adopt, attempt};
use crate::api::{Attempt, FailureClass, Reason, RemoteWebhook, Support};

/// Two lists that show nothing of ours are this far apart, or less with a shorter settle time.
const LISTS_APART: Duration = Duration::from_secs(5);

/// Acts on a person's decision, if it fits the state of this (living) Webhook.
pub(super) fn by_a_person(view: &View<'_>, connection: &ConnectionFacts) -> Option<Step> {
    match fitting(view)? {
        Decision::Adopt(id) if view.stored_id() == Some(id) => Some(Step::ClearResolve),
        Decision::Adopt(id) => Some(adopt::by_decision(view, connection, id, view.open_attempt().as_ref())),
        Decision::Retry(_) => Some(attempt::begin(view, connection, true)),
        // Acted on where the stored id is found to be gone or on another endpoint, and nowhere else.
        Decision::Recreate(_) | Decision::Abandon => None,
    }
}

/// What is known of a create of unknown result.
pub(super) enum Finding<'a> {
    /// Nothing yet: this comes first. Also where only a person can tell.
    NotYet(Step),
    /// Webhooks with our marker, in this list.
    Ours(&'a Snapshot, &'a [String]),
    /// No marker of ours, but webhooks that could be it, on a connection that shows no markers.
    Alike(Vec<&'a str>),
    /// It took no effect.
    Nothing,
    /// Nothing of ours is listed, but perhaps it is another account that is looked at.
    Elsewhere,
}

/// A create of unknown result: waits for it to settle, then looks for its marker.
pub(super) fn uncertain(view: &View<'_>, connection: &ConnectionFacts, attempt: Option<&Attempt>) -> Step {
    let adopt = view.webhook.spec.adopt.as_ref();
    match (find(view, connection, attempt), adopt) {
        (Finding::NotYet(step), _) => step,
        (Finding::Ours(snapshot, ours), _) => {
            found(view, connection, snapshot, ours, attempt.map(|attempt| attempt.token.as_str()))
        }
        (Finding::Alike(_) | Finding::Nothing | Finding::Elsewhere, Some(adopt)) => {
            adopt::plan(view, connection, adopt, attempt)
        }
        (Finding::Alike(ids), None) => unresolved(view, ALIKE, &ids),
        (Finding::Nothing, None) => attempt::begin(view, connection, false),
        (Finding::Elsewhere, None) => elsewhere(view),
    }
}

/// Finds out what became of a create.
pub(super) fn find<'a>(view: &View<'a>, connection: &'a ConnectionFacts, attempt: Option<&Attempt>) -> Finding<'a> {
    if let Some(attempt) = attempt.filter(|attempt| attempt.instance != view.settings.instance.prefix()) {
        let why = format!(
            "The create attempt was begun by another installation ({}); this one is {}. Give this operator the same \
             --instance-id if it has moved",
            or_unknown(&attempt.instance),
            view.settings.instance.prefix()
        );
        return Finding::NotYet(unresolved(view, &why, &[]));
    }
    if connection.capabilities.list == Support::Absent {
        return Finding::NotYet(unresolved(view, "Orion has no list in which to look for the webhook", &[]));
    }
    let settle_time = view.settle_time(connection);
    let Some(doubt) = &view.memory.doubt else { return not_before(view, view.now + settle_time) };
    let settled_at = doubt.since + settle_time;
    if view.now < settled_at {
        return not_before(view, settled_at);
    }
    if let Some(trouble) = &connection.trouble {
        let message = format!("{UNKNOWN}. {}", trouble.message);
        return Finding::NotYet(settle::wait(view, Reason::CreateUncertain, message, view.now + settle::BACKOFF_CAP));
    }
    if !view.fresh {
        return Finding::NotYet(Step::Refresh);
    }
    look(view, connection, &doubt.lists, settled_at)
}

/// Reads lists until one shows our marker or two show that it is not there.
fn look<'a>(view: &View<'a>, connection: &ConnectionFacts, seen: &[Boot], settled_at: Boot) -> Finding<'a> {
    let apart = LISTS_APART.min(view.settings.create_settle);
    // A list from before the settle time says nothing, whoever read it and why.
    let first = seen.iter().filter(|begun| **begun >= settled_at).min();
    let earliest = first.map_or(settled_at, |first| *first + apart);
    let is_old = |snapshot: &Snapshot| snapshot.begun < earliest;
    let snapshot = match view.round.list.as_ref().filter(|read| !read.as_ref().is_ok_and(|list| is_old(list))) {
        None if view.now < earliest => return not_before(view, earliest),
        // Looked at again and again, a list is wanted that could show something new.
        None => {
            let begun_after = earliest.max(view.now.saturating_sub(view.interval()));
            return Finding::NotYet(Step::List { begun_after });
        }
        Some(Ok(snapshot)) => snapshot,
        // A list that was seen to work and is not found now is a passing trouble.
        Some(Err(failure))
            if failure.class.is_absent() && connection.capabilities.list != Support::Proven
                || failure.class == FailureClass::Forbidden =>
        {
            return Finding::NotYet(unresolved(view, "Orion has no list that these credentials may read", &[]));
        }
        Some(Err(failure)) => {
            let message = format!("{UNKNOWN}. {}", settle::explain(failure));
            return Finding::NotYet(settle::failed(view, readiness(view, Reason::CreateUncertain, message)).step());
        }
    };
    if let Some(owner) = view.owner(connection) {
        let ours = snapshot.ids_of(&owner);
        // One of ours is taken from any list, and deleted only by a complete one: no other may be left out.
        if !ours.is_empty() && (snapshot.is_complete() || !view.is_deleting()) {
            return Finding::Ours(snapshot, ours);
        }
    }
    if let Some(flaw) = &snapshot.flaw {
        let message = format!("{UNKNOWN}, and Orion's list is not complete: {flaw}. Reading it again");
        return Finding::NotYet(settle::failed(view, readiness(view, Reason::CreateUncertain, message)).step());
    }
    let first = first.map_or(snapshot.begun, |first| *first);
    if snapshot.begun < first + apart {
        return not_before(view, first + apart);
    }
    let spec = &view.webhook.spec;
    let is_sent = is_what_was_sent(view);
    let could_be_it = |webhook: &&RemoteWebhook| {
        webhook.looks_like(&spec.url, &spec.user_id, &spec.presence_name)
            || !is_sent && (view.held_by)(&webhook.id).is_none()
    };
    let alike: Vec<&str> = snapshot.webhooks().filter(could_be_it).map(|webhook| webhook.id.as_str()).collect();
    let markers_survive = connection.ownership && (connection.markers_survive || snapshot.shows_markers());
    if !alike.is_empty() && !markers_survive {
        return Finding::Alike(alike);
    }
    // That it is not there counts for the account that the POST went to.
    let sent_to = view.memory.doubt.as_ref().and_then(|doubt| doubt.account.as_ref());
    let is_the_account = connection.proven || sent_to == Some(&connection.account());
    if is_the_account { Finding::Nothing } else { Finding::Elsewhere }
}

/// The spec of now is the one that was sent. An edit since then would hide what it made: without a readable marker only
/// its looks could tell. A generation of 1 was never edited, and a deletion counts as one generation more
/// (<https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#metadata>).
fn is_what_was_sent(view: &View<'_>) -> bool {
    let declared = view.generation() - i64::from(view.is_deleting());
    declared <= 1 || view.memory.doubt.as_ref().and_then(|doubt| doubt.sent) == Some(declared)
}

fn not_before<'a>(view: &View<'_>, until: Boot) -> Finding<'a> {
    Finding::NotYet(uncertain_until(view, until))
}

/// Our marker is at Orion: the stored id, else the bytewise lowest, is recorded.
pub(super) fn found(
    view: &View<'_>,
    connection: &ConnectionFacts,
    snapshot: &Snapshot,
    ours: &[String],
    token: Option<&str>,
) -> Step {
    let free = || ours.iter().filter(|id| (view.held_by)(id).is_none());
    let id = free().find(|id| view.stored_id() == Some(id.as_str())).or_else(|| free().min());
    match id.and_then(|id| snapshot.get(id)) {
        Some(remote) => adopt::take_over(view, connection, remote, token),
        None => adopt::held_by_another(view, ours.first().map_or("", String::as_str)),
    }
}

pub(super) const ALIKE: &str = "Orion lists webhooks that could be the one, and shows no markers to tell";

const ELSEWHERE: &str = "Orion does not list it, but none of the connection's webhooks has been seen since its endpoint or \
                         credentials changed: is it the right account? This ends by itself when one of them is seen";

/// A message names this many webhooks at most.
const CANDIDATES_SHOWN: usize = 10;

const UNKNOWN: &str = "It is not known whether Orion created the webhook";

/// Waits, without any call, until the create has settled one way or the other.
pub(super) fn uncertain_until(view: &View<'_>, until: Boot) -> Step {
    let cause = view.memory.doubt.as_ref().and_then(|doubt| doubt.cause.as_deref());
    let cause = cause.unwrap_or("this process did not see how an attempt ended");
    let message = format!(
        "{UNKNOWN}: {cause}. Nothing is sent again until this is found out by itself, after --create-settle; nothing to do"
    );
    let readiness = readiness(view, Reason::CreateUncertain, message);
    settlement(view, readiness, Some(until)).step()
}

/// Only a person can say what became of the create. The message names every way out, word for word.
pub(super) fn unresolved(view: &View<'_>, why: &str, candidates: &[&str]) -> Step {
    settle::report(view, Reason::CreateUnresolved, ways_out(view, why, candidates))
}

/// The endpoint or the credentials have changed since the create, and nothing has shown yet that they lead to the same
/// account. It ends by itself when a stored id is seen, which wakes nobody: so it looks again.
pub(super) fn elsewhere(view: &View<'_>) -> Step {
    settle::wait(view, Reason::CreateUnresolved, ways_out(view, ELSEWHERE, &[]), view.now + view.interval())
}

fn ways_out(view: &View<'_>, why: &str, candidates: &[&str]) -> String {
    let kubectl = |value: &str| settle::annotate_command(view, value);
    let mut message = format!("{UNKNOWN}. {why}. ");
    if view.is_deleting() {
        message.push_str(&format!(
            "Look at Orion and delete it there if it exists, then let this object go: {}",
            kubectl("abandon")
        ));
    } else {
        message.push_str(&match candidates {
            [] => format!("If it exists at Orion: {}", kubectl(ADOPT)),
            ids => {
                let shown: Vec<&str> = ids.iter().take(CANDIDATES_SHOWN).copied().collect();
                let more = if ids.len() > shown.len() { " and others" } else { "" };
                format!("If one of {}{more} is it: {}", shown.join(", "), kubectl(ADOPT))
            }
        });
        match view.open_attempt() {
            Some(attempt) => {
                message.push_str(&format!(". If it does not: {}", kubectl(&format!("retry={}", attempt.token))))
            }
            None => message.push_str(&format!(". If it does not: {}", kubectl(&format!("retry={NO_TOKEN}")))),
        }
    }
    message
}

fn or_unknown(text: &str) -> &str {
    if text.is_empty() { "unknown" } else { text }
}
