//! Who leads: what is known of the Lease, and how long it has stood still, to one step.

use std::time::Duration;

/// What a Lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; `None` where its holder has let go of it.
    pub holder: Option<String>,
    /// How long its holder may leave it alone without losing it.
    pub duration: Duration,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is no Lease: make it.
    Create,
    /// Nobody holds it, or its holder has left it alone for too long: take it.
    Take,
    /// We hold it: say that we are here.
    Renew,
    /// Another holds it. Without a word from there it may be taken after this time.
    Wait(Duration),
    /// We led, and another holds it now.
    Lost,
}

/// Decides for `me`. `unchanged_for` is how long *this process* has seen the Lease as it is: the times in a Lease are of
/// another machine's clock, and are for people only.
///
/// Like [client-go](https://pkg.go.dev/k8s.io/client-go/tools/leaderelection) it does not keep two from believing that
/// they lead; what makes that harmless is that every write is a compare-and-swap.
#[must_use]
pub fn decide(seen: Option<&Record>, me: &str, leads: bool, unchanged_for: Duration) -> Step {
    let Some(Record { holder, duration }) = seen else { return Step::Create };
    match holder.as_deref() {
        None | Some("") => Step::Take,
        // Names are given to one process only: it is our own write, even if its answer was lost.
        Some(holder) if holder == me => Step::Renew,
        Some(_) if leads => Step::Lost,
        Some(_) => match duration.checked_sub(unchanged_for) {
            None | Some(Duration::ZERO) => Step::Take,
            Some(rest) => Step::Wait(rest),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn every_case() {
        let held = |holder: &str| Some(Record { holder: Some(holder.to_owned()), duration: s(15) });
        let free = Some(Record { holder: None, duration: s(15) });
        for (seen, leads, unchanged_for, expected) in [
            (None, false, s(0), Step::Create),
            // Somebody deleted it under our hands.
            (None, true, s(0), Step::Create),
            (free.clone(), false, s(0), Step::Take),
            (free.clone(), true, s(0), Step::Take),
            (held(""), false, s(0), Step::Take),
            (held("me"), true, s(3), Step::Renew),
            // Ours, though nobody told us; however long ago.
            (held("me"), false, s(0), Step::Renew),
            (held("me"), false, s(60), Step::Renew),
            (held("other"), true, s(0), Step::Lost),
            // Even if it could be taken back: what the other one did meanwhile is not known.
            (held("other"), true, s(60), Step::Lost),
            (held("other"), false, s(0), Step::Wait(s(15))),
            (held("other"), false, s(14), Step::Wait(s(1))),
            (held("other"), false, s(15), Step::Take),
            (held("other"), false, s(16), Step::Take),
        ] {
            assert_eq!(
                decide(seen.as_ref(), "me", leads, unchanged_for),
                expected,
                "{seen:?} {leads} {unchanged_for:?}"
            );
        }
    }
}
