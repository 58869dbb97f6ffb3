//! How a reconcile ended, as logs and metrics have it.

use std::time::Duration;

use tracing::field::display;
use tracing::{Span, debug, error};

use super::queue::Again;
use super::reconcile::ReconcileError;
use crate::metrics::{Ending, Reconciles, UnderWay};

/// A reconcile that ended without an error.
pub(super) struct Ended {
    action: Again,
    ending: Ending,
}

impl Ended {
    /// It did what was to be done.
    pub(super) fn done(action: Again) -> Self {
        let ending = if action == Again::on_change() { Ending::Success } else { Ending::RequeueAfter };
        Self { action, ending }
    }

    /// Something changed under it: it begins anew after `wait`.
    pub(super) fn again(wait: Duration) -> Self {
        Self { action: Again::after(wait), ending: Ending::Requeue }
    }
}

/// Takes note of the end, in the span of the reconcile too.
pub(super) fn end(
    reconciles: &Reconciles,
    under_way: UnderWay<'_>,
    result: Result<Ended, ReconcileError>,
) -> Result<Again, ReconcileError> {
    let ending = result.as_ref().map_or(Ending::Error, |ended| ended.ending);
    let milliseconds = u64::try_from(under_way.ended(ending).as_millis()).unwrap_or(u64::MAX);
    Span::current().record("outcome", display(ending.as_str())).record("milliseconds", milliseconds);
    match &result {
        Ok(_) => debug!("reconciled"),
        Err(error) => {
            if matches!(error, ReconcileError::Panic) {
                reconciles.panicked();
            }
            error!(%error, "a reconcile did not finish; it is tried again");
        }
    }
    result.map(|ended| ended.action)
}
