//! Standard conditions, written the way every tool reads them (design section 3, kstatus and `kubectl wait` rules).

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::reason::{Reason, State};

/// The condition that says whether Orion has the webhook as declared.
pub const CONDITION_READY: &str = "Ready";
/// Present only while True: the operator is at work or will retry by itself.
pub const CONDITION_RECONCILING: &str = "Reconciling";
/// Present only while True: a person must act.
pub const CONDITION_STALLED: &str = "Stalled";

/// What the conditions shall say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Reason of Ready.
    pub reason: Reason,
    /// Message for people: stable, free of secrets, with the next step.
    pub message: String,
    /// The object is being deleted: then nothing is ever Stalled, or another tool would give up on it.
    pub deleting: bool,
}

impl Readiness {
    /// Readiness of an object that is not being deleted.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), deleting: false }
    }

    /// The state that the conditions show.
    #[must_use]
    pub fn state(&self) -> State {
        if self.deleting { State::Retrying } else { self.reason.state() }
    }
}

/// The full list of conditions for `readiness`. `lastTransitionTime` is kept from `old` while a status does not flip,
/// so that equal input gives equal output and a write can be left out.
///
/// Order is Ready, Reconciling, Stalled; the last two only while True and never both
/// (<https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md>).
#[must_use]
pub fn conditions(old: &[Condition], readiness: &Readiness, generation: i64, now: Timestamp) -> Vec<Condition> {
    let state = readiness.state();
    let ready = match state {
        State::Ready => "True",
        State::Unknown => "Unknown",
        State::Retrying | State::Stalled | State::Suspended => "False",
    };
    let second = match state {
        State::Unknown => Some((CONDITION_RECONCILING, "Progressing")),
        State::Retrying => Some((CONDITION_RECONCILING, "ProgressingWithRetry")),
        State::Stalled => Some((CONDITION_STALLED, readiness.reason.as_str())),
        State::Ready | State::Suspended => None,
    };
    let condition = |type_: &str, status: &str, reason: &str| Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: readiness.message.clone(),
        observed_generation: Some(generation),
        last_transition_time: old
            .iter()
            .find(|previous| previous.type_ == type_ && previous.status == status)
            .map_or_else(|| Time(whole_second(now)), |previous| previous.last_transition_time.clone()),
    };
    std::iter::once(condition(CONDITION_READY, ready, readiness.reason.as_str()))
        .chain(second.map(|(type_, reason)| condition(type_, "True", reason)))
        .collect()
}

/// The Ready condition of a list, if it is there.
#[must_use]
pub fn ready_condition(conditions: &[Condition]) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == CONDITION_READY)
}

/// `metav1.Time` has whole seconds; anything finer would not read back equal.
fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn shape(reason: Reason, deleting: bool) -> Vec<(String, String)> {
        let readiness = Readiness { reason, message: "m".into(), deleting };
        conditions(&[], &readiness, 1, at(0)).into_iter().map(|c| (c.type_, c.status)).collect()
    }

    #[test]
    fn reconciling_and_stalled_are_there_only_when_true_and_never_both() {
        for reason in Reason::ALL {
            for deleting in [false, true] {
                let shape = shape(*reason, deleting);
                assert!(shape.len() <= 2 && shape[0].0 == "Ready", "{reason}");
                assert!(
                    shape
                        .iter()
                        .skip(1)
                        .all(|(type_, status)| status == "True" && (type_ == "Reconciling" || !deleting))
                );
            }
        }
    }

    #[test]
    fn each_state_has_its_conditions() {
        let expect = |reason, list: &[(&str, &str)]| {
            let list: Vec<(String, String)> = list.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
            assert_eq!(shape(reason, false), list);
        };
        expect(Reason::Synced, &[("Ready", "True")]);
        expect(Reason::CreateUncertain, &[("Ready", "Unknown"), ("Reconciling", "True")]);
        expect(Reason::RateLimited, &[("Ready", "False"), ("Reconciling", "True")]);
        expect(Reason::Rejected, &[("Ready", "False"), ("Stalled", "True")]);
        expect(Reason::Suspended, &[("Ready", "False")]);
    }

    #[test]
    fn time_stays_until_a_status_flips() {
        let first = conditions(&[], &Readiness::new(Reason::Rejected, "a"), 1, at(10));
        let same = conditions(&first, &Readiness::new(Reason::Conflict, "b"), 2, at(20));
        assert_eq!(same[0].last_transition_time.0, at(10));
        let flipped = conditions(&same, &Readiness::new(Reason::Synced, "c"), 3, at(30));
        assert_eq!(flipped[0].last_transition_time.0, at(30));
    }

    #[test]
    fn reasons_are_camel_case_and_read_back() {
        for reason in Reason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(*reason));
            assert!(reason.as_str().chars().all(|c| c.is_ascii_alphanumeric()));
        }
    }
}
