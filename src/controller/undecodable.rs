//! A stored object that does not decode: it says so itself, keeps all that it has stored, and holds nobody up.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{ApiResource, DynamicObject};
use kube::core::ObjectMeta;
use kube::{Api, ResourceExt};
use serde_json::Value;

use super::connections::ConnectionObject;
use super::context::Context;
use super::patch::{self, ApiError, call};
use super::queue::Again;
use crate::api::{CONNECTION_FINALIZER, FINALIZER, RESOLVE, Readiness, Reason, Webhook, conditions};

/// Tells on the object that it does not decode, once for each generation. Deletion waits until it decodes again, or a
/// person lets it go.
pub(super) async fn reconcile(context: &Context, metadata: &ObjectMeta) -> Result<Again, ApiError> {
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let name = metadata.name.as_deref().unwrap_or_default();
    let api: Api<DynamicObject> =
        Api::namespaced_with(context.client.clone(), namespace, &ApiResource::erase::<Webhook>(&()));
    let Some(object) = call(context, "read an object that does not decode", api.get_opt(name)).await? else {
        return Ok(Again::on_change());
    };
    let is_deleting = object.metadata.deletion_timestamp.is_some();
    if is_deleting && object.annotations().get(RESOLVE).is_some_and(|text| text.trim() == "abandon") {
        patch::release_dynamic(context, &api, &object, FINALIZER).await?;
        return Ok(Again::on_change());
    }
    let wanted = told(&object, is_deleting, context.clock.wall());
    tell(context, &api, &object, wanted).await?;
    Ok(Again::on_change())
}

/// The same for a connection, which goes when no Webhook uses it.
pub(super) async fn tell_connection<K: ConnectionObject>(
    context: &Context,
    metadata: &ObjectMeta,
    users: Option<usize>,
) -> Result<Again, ApiError> {
    let resource = ApiResource::erase::<K>(&());
    let api: Api<DynamicObject> = match &metadata.namespace {
        Some(namespace) => Api::namespaced_with(context.client.clone(), namespace, &resource),
        None => Api::all_with(context.client.clone(), &resource),
    };
    let name = metadata.name.as_deref().unwrap_or_default();
    let Some(object) = call(context, "read an object that does not decode", api.get_opt(name)).await? else {
        return Ok(Again::on_change());
    };
    let is_deleting = object.metadata.deletion_timestamp.is_some();
    if is_deleting && users == Some(0) {
        patch::release_dynamic(context, &api, &object, CONNECTION_FINALIZER).await?;
        return Ok(Again::on_change());
    }
    let (kind, name) = (K::kind(&()), object.name_any());
    let message = if is_deleting {
        format!("{} Webhooks still use it: it goes when they are deleted", users.unwrap_or_default())
    } else {
        format!(
            "The stored object does not decode as {kind}. Compare it with kubectl explain and apply it again: {name}"
        )
    };
    if *context.speaks.borrow() {
        let wanted = conditions_of(&object, message, is_deleting, context.clock.wall());
        tell(context, &api, &object, wanted).await?;
    }
    Ok(if is_deleting { Again::after(Duration::from_secs(5)) } else { Again::on_change() })
}

/// Writes the conditions if they say something new.
async fn tell(
    context: &Context,
    api: &Api<DynamicObject>,
    object: &DynamicObject,
    wanted: Value,
) -> Result<(), ApiError> {
    let generation = object.metadata.generation;
    let known = object.data.get("status");
    let known_conditions = known.and_then(|status| status.get("conditions"));
    let known_generation = known.and_then(|status| status.get("observedGeneration")).and_then(Value::as_i64);
    if known_conditions != Some(&wanted) || known_generation != generation {
        patch::conditions_dynamic(context, api, object, wanted, generation.unwrap_or_default()).await?;
    }
    Ok(())
}

fn told(object: &DynamicObject, is_deleting: bool, now: Timestamp) -> Value {
    let mut message =
        "The stored object does not decode as a Webhook. Compare it with kubectl explain webhook.spec and apply it again".to_owned();
    if is_deleting && object.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        message.push_str(&format!(
            ", or let it go and leave Orion as it is: kubectl annotate webhook -n {namespace} {name} {RESOLVE}=abandon --overwrite"
        ));
    }
    conditions_of(object, message, is_deleting, now)
}

fn conditions_of(object: &DynamicObject, message: String, is_deleting: bool, now: Timestamp) -> Value {
    let old = object.data.get("status").and_then(|status| status.get("conditions")).cloned();
    let old: Vec<Condition> = old.and_then(|old| serde_json::from_value(old).ok()).unwrap_or_default();
    let readiness = Readiness { reason: Reason::InvalidSpec, message, deleting: is_deleting };
    let list = conditions(&old, &readiness, object.metadata.generation.unwrap_or_default(), now);
    serde_json::to_value(list).unwrap_or_default()
}
