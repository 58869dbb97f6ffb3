//! Events on transitions. They help people and decide nothing: a lost one is only logged. Each is one more write, so that of
//! what happens to thousands at once only the first ones are told this way; conditions and metrics tell all.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource, ResourceExt};
use tracing::debug;

use super::context::Context;
use crate::api::{FIELD_MANAGER, Readiness, Reason, State, Webhook};
use crate::plan::Boot;

/// Notes are cut to this many bytes (events.k8s.io/v1 allows 1 kB).
const NOTE_BYTES: usize = 1000;
/// In the long run one Event of each type in this time,
const EACH: Duration = Duration::from_millis(200);
/// and so many at once.
const AT_ONCE: u32 = 50;

/// The name of the pod that this is, where it is one.
pub(crate) fn pod_name() -> Option<String> {
    std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME")).ok()
}

/// What writes Events, and how many more it may.
pub(super) struct Events {
    recorder: Recorder,
    /// What went well must not take the place of what went wrong.
    normal: Allowance,
    warnings: Allowance,
}

impl Events {
    pub(super) fn new(client: Client) -> Self {
        let recorder = Recorder::new(client, Reporter { controller: FIELD_MANAGER.into(), instance: pod_name() });
        Self { recorder, normal: Allowance::default(), warnings: Allowance::default() }
    }

    fn allows(&self, type_: EventType, now: Boot) -> bool {
        match type_ {
            EventType::Normal => self.normal.take(now),
            EventType::Warning => self.warnings.take(now),
        }
    }
}

/// When all that was taken so far has been made up for.
#[derive(Default)]
struct Allowance(Mutex<Boot>);

impl Allowance {
    /// Takes one, if there is one.
    fn take(&self, now: Boot) -> bool {
        let mut settled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let then = now.max(*settled) + EACH;
        let is_there = then.saturating_sub(now) <= EACH * AT_ONCE;
        if is_there {
            *settled = then;
        }
        is_there
    }
}

/// Tells of a transition, in the background.
pub(super) fn publish<K: Resource<DynamicType = ()>>(context: &Context, object: &K, readiness: &Readiness) {
    if readiness.reason == Reason::Progressing {
        return;
    }
    let type_ = match readiness.state() {
        State::Ready | State::Suspended => EventType::Normal,
        State::Unknown | State::Retrying if readiness.reason == Reason::Deleting => EventType::Normal,
        State::Unknown | State::Retrying | State::Stalled => EventType::Warning,
    };
    send(context, object, type_, readiness.reason.as_str(), readiness.message.clone());
}

/// Tells something that is no condition.
pub(super) fn send<K: Resource<DynamicType = ()>>(
    context: &Context,
    object: &K,
    type_: EventType,
    reason: &str,
    note: String,
) {
    if context.events.allows(type_, context.clock.boot()) {
        send_about(context, object.object_ref(&()), None, (type_, reason), note);
    } else {
        context.metrics.event_dropped();
    }
}

/// Tells that something stays at Orion for good. In a namespace that is terminating no Event can be created any more, so
/// that it is one of the Namespace itself, in the namespace `default`. However many there are: no object is left to tell it.
pub(super) fn left_behind(context: &Context, webhook: &Webhook, note: String) {
    let namespace = ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Namespace".into()),
        name: webhook.namespace(),
        ..ObjectReference::default()
    };
    send_about(context, namespace, Some(webhook.object_ref(&())), (EventType::Warning, "LeftBehind"), note);
}

fn send_about(
    context: &Context,
    mut reference: ObjectReference,
    secondary: Option<ObjectReference>,
    (type_, reason): (EventType, &str),
    mut note: String,
) {
    while note.len() > NOTE_BYTES {
        note.pop();
    }
    let event = Event { type_, reason: reason.to_owned(), note: Some(note), action: "Reconcile".into(), secondary };
    // A reference with a resourceVersion would keep equal events from being counted together.
    reference.resource_version = None;
    let (recorder, metrics) = (context.events.recorder.clone(), Arc::clone(&context.metrics));
    tokio::spawn(async move {
        match tokio::time::timeout(Duration::from_secs(5), recorder.publish(&event, &reference)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => debug!(%error, "an Event could not be written"),
            Err(_) => debug!("an Event could not be written in time"),
        }
        metrics.event_dropped();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_at_once_are_told_only_in_part() {
        let allowance = Allowance::default();
        let taken = |now: Duration, times: u32| (0..times).filter(|_| allowance.take(now)).count();
        let begin = Duration::from_secs(1000);
        assert_eq!(taken(begin, 10_000), 50);
        assert_eq!(taken(begin + Duration::from_secs(2), 10_000), 10, "five a second");
        assert_eq!(taken(begin + Duration::from_secs(3600), 10_000), 50, "rest is not saved up");
    }
}
