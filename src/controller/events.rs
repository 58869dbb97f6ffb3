//! Events on transitions. They help people and decide nothing: a lost one is only logged.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource, ResourceExt};
use tracing::debug;

use super::context::Context;
use crate::api::{FIELD_MANAGER, Readiness, Reason, State, Webhook};

/// Notes are cut to this many bytes (events.k8s.io/v1 allows 1 kB).
const NOTE_BYTES: usize = 1000;

pub(super) fn recorder(client: Client) -> Recorder {
    let instance = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME")).ok();
    Recorder::new(client, Reporter { controller: FIELD_MANAGER.into(), instance })
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
    send_about(context, object.object_ref(&()), None, (type_, reason), note);
}

/// Tells that something stays at Orion for good. In a namespace that is terminating no Event can be created any more, so
/// that it is one of the Namespace itself, in the namespace `default`.
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
    let (recorder, metrics) = (context.recorder.clone(), Arc::clone(&context.metrics));
    tokio::spawn(async move {
        match tokio::time::timeout(Duration::from_secs(5), recorder.publish(&event, &reference)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => debug!(%error, "an Event could not be written"),
            Err(_) => debug!("an Event could not be written in time"),
        }
        metrics.event_dropped();
    });
}
