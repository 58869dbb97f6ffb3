//! A stored id that Orion no longer has (design section 4, "Gone" and `MassDrift`).

use super::facts::ConnectionFacts;
use super::settle::{self, unsure};
use super::snapshot::Boot;
use super::step::Step;
use super::view::View;
use super::{attempt, decision, resolve};
use crate::api::{Reason, Support};

/// The stored id was not there. Twice, and not many others with it, and only then it is replaced.
pub(super) fn plan(view: &View<'_>, connection: &ConnectionFacts, id: &str) -> Step {
    let (first, last) = match (view.memory.missing.first(), view.memory.missing.last()) {
        (Some(first), Some(last)) => (*first, *last),
        // The answer proves nothing: GET was never seen to work here, and the list was not complete. Look again.
        (_, _) => {
            let mut settlement = unsure(view, view.now + settle::backoff(view.memory.failures, view.jitter));
            settlement.failed = true;
            return settlement.step();
        }
    };
    let second = view.second_look(connection).unwrap_or(first);
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
    if decision::is_to_recreate(view) {
        return attempt::begin(view, connection, true);
    }
    if !connection.proven {
        return held(
            view,
            id,
            "none of the connection's webhooks has been seen since its endpoint or credentials changed",
        );
    }
    match &view.round.others {
        None => return Step::LookAtOthers,
        Some(others) if others.is_mass_drift() => {
            return held(view, id, "too many of the connection's webhooks are gone at once");
        }
        Some(_) => {}
    }
    by_marker(view, connection, last)
}

/// Then: the marker, else a new attempt.
fn by_marker(view: &View<'_>, connection: &ConnectionFacts, last: Boot) -> Step {
    let Some(owner) = view.owner(connection).filter(|_| connection.capabilities.list != Support::Absent) else {
        return attempt::begin(view, connection, false);
    };
    match &view.round.list {
        None => Step::List { begun_after: last },
        Some(Ok(snapshot)) if snapshot.begun < last => Step::List { begun_after: last },
        Some(Ok(snapshot)) if !snapshot.ids_of(&owner).is_empty() => {
            resolve::found(view, connection, snapshot, snapshot.ids_of(&owner), None)
        }
        Some(Ok(snapshot)) => match &snapshot.flaw {
            None => attempt::begin(view, connection, false),
            Some(flaw) => settle::retry(
                view,
                Reason::Progressing,
                format!(
                    "The webhook is gone from Orion, whose list is not complete: {flaw}. Reading it again before it is created anew"
                ),
            ),
        },
        Some(Err(failure)) if failure.class.is_absent() => attempt::begin(view, connection, false),
        Some(Err(failure)) => settle::failure(view, failure).step(),
    }
}

fn held(view: &View<'_>, id: &str, why: &str) -> Step {
    let command = settle::annotate_command(view, &format!("recreate={id}"));
    settle::wait(
        view,
        Reason::MassDrift,
        format!(
            "{id} is gone from Orion, and {why}: is it the right account? Nothing is created anew; this ends by itself when they \
             are seen again. To create this one all the same: {command}"
        ),
        view.now + view.interval(),
    )
}
