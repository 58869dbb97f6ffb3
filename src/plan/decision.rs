//! What a person has decided in the annotation `orion-operator.dev/resolve`.

use super::view::View;
use crate::api::RESOLVE;

/// A person's decision in the annotation `orion-operator.dev/resolve`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision<'a> {
    /// This Orion webhook is ours.
    Adopt(&'a str),
    /// POST again, whatever this attempt did.
    Retry(&'a str),
    /// Create anew, although this id is stored.
    Recreate(&'a str),
    /// Let the object go and send nothing.
    Abandon,
}

/// Reads the annotation's value.
pub(crate) fn decision(text: &str) -> Option<Decision<'_>> {
    let text = text.trim();
    match text.split_once('=') {
        Some(("adopt", id)) if !id.is_empty() => Some(Decision::Adopt(id)),
        Some(("retry", token)) if !token.is_empty() => Some(Decision::Retry(token)),
        Some(("recreate", id)) if !id.is_empty() => Some(Decision::Recreate(id)),
        Some((_, _)) => None,
        None => (text == "abandon").then_some(Decision::Abandon),
    }
}

/// The decision in the annotation, if it fits the state of this Webhook.
pub(super) fn fitting<'a>(view: &'a View<'_>) -> Option<Decision<'a>> {
    let decision = decision(view.annotation(RESOLVE)?)?;
    // A create of unknown result, also one that was begun to replace a stored id.
    let doubtful = view.doubtful();
    let fits = match decision {
        Decision::Abandon => view.is_deleting(),
        Decision::Adopt(_) | Decision::Retry(_) | Decision::Recreate(_) if view.is_deleting() => false,
        Decision::Adopt(id) => view.stored_id() == Some(id) || doubtful.is_some(),
        Decision::Retry(token) => doubtful.is_some_and(|open| token == if open.is_empty() { NO_TOKEN } else { &open }),
        Decision::Recreate(id) => view.stored_id() == Some(id),
    };
    fits.then_some(decision)
}

/// A person wants the stored id, which is gone or out of reach, replaced.
pub(super) fn is_to_recreate(view: &View<'_>) -> bool {
    matches!(fitting(view), Some(Decision::Recreate(_)))
}

/// A decision that still needs an id.
pub(crate) const ADOPT: &str = "adopt=<id>";

/// Stands for the token where a finalizer is all that is left of an attempt.
pub(crate) const NO_TOKEN: &str = "none";
