//! A stored id that Orion no longer has (design section 4, "Gone" and `MassDrift`).

use std::time::Duration;

use super::settle;
use super::sync::unsure;
use super::view::{Boot, ConnectionFacts, View};
use super::{Step, create, resolve};
use crate::api::{RESOLVE, Reason, Support};

/// Time between the two looks that it takes.
const LOOKS_APART: Duration = Duration::from_secs(2);

/// The stored id was not there. Twice, and not many others with it, and only then it is replaced.
pub(super) fn plan(view: &View<'_>, connection: &ConnectionFacts, id: &str) -> Step {
    let (first, last) = match (view.memory.missing.first(), view.memory.missing.last()) {
        (Some(first), Some(last)) => (*first, *last),
        // The answer proves nothing: GET was never seen to work here. No claim is made from it.
        (_, _) => return unsure(view, view.now + view.interval()).step(),
    };
    let second = first + LOOKS_APART.min(view.settings.create_settle);
    if last < second {
        // Past that time the second look has told nothing: a list that was not complete.
        let is_late = second <= view.now;
        let wake = if is_late { view.now + settle::backoff(view.memory.failures, view.jitter) } else { second };
        let mut settlement = unsure(view, wake);
        settlement.failed = is_late;
        return settlement.step();
    }
    if let Some(attempt) = view.open_attempt() {
        // An attempt to replace it was begun before, and its result is not known.
        return resolve::uncertain(view, connection, Some(&attempt));
    }
    if resolve::is_to_recreate(view) {
        return create::attempt(view, connection, true);
    }
    if !connection.proven {
        return held(view, id, "none of the connection's webhooks has been seen since its endpoint or credentials changed");
    }
    match &view.round.others {
        None => return Step::LookAtOthers,
        Some(others) if others.is_mass_drift() => return held(view, id, "too many of the connection's webhooks are gone at once"),
        Some(_) => {}
    }
    by_marker(view, connection, last)
}

/// The second look must not be answered by the list of the first.
pub(super) fn look_after(view: &View<'_>) -> Option<Boot> {
    view.memory.missing.first().map(|first| *first + LOOKS_APART.min(view.settings.create_settle))
}

/// Then: the marker, else a new attempt.
fn by_marker(view: &View<'_>, connection: &ConnectionFacts, last: Boot) -> Step {
    let Some(owner) = view.owner(connection).filter(|_| connection.capabilities.list != Support::Absent) else {
        return create::attempt(view, connection, false);
    };
    match &view.round.list {
        None => Step::List { begun_after: last },
        Some(Ok(snapshot)) if snapshot.begun < last => Step::List { begun_after: last },
        Some(Ok(snapshot)) if !snapshot.ids_of(&owner).is_empty() => {
            resolve::found(view, connection, snapshot, snapshot.ids_of(&owner), None)
        }
        Some(Ok(snapshot)) => match &snapshot.flaw {
            None => create::attempt(view, connection, false),
            Some(flaw) => settle::retry(
                view,
                Reason::Progressing,
                format!("The webhook is gone from Orion, whose list is not complete: {flaw}. Reading it again before it is created anew"),
            ),
        },
        Some(Err(failure)) if resolve::is_absent(failure.class) => create::attempt(view, connection, false),
        Some(Err(failure)) => settle::failure(view, failure).step(),
    }
}

fn held(view: &View<'_>, id: &str, why: &str) -> Step {
    let namespace = view.webhook.metadata.namespace.as_deref().unwrap_or("default");
    let name = view.webhook.metadata.name.as_deref().unwrap_or_default();
    settle::wait(
        view,
        Reason::MassDrift,
        format!(
            "{id} is gone from Orion, and {why}: is it the right account? Nothing is created anew; this ends by itself when they \
             are seen again. To create this one all the same: kubectl annotate webhook -n {namespace} {name} {RESOLVE}=recreate={id}"
        ),
        view.now + view.interval(),
    )
}
