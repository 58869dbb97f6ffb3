//! Writes to the apiserver: JSON patches that test what they rely on, each with a time-out, none repeated by itself.

use std::future::Future;
use std::time::Duration;

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch as JsonPatch, PatchOperation, RemoveOperation, TestOperation};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tracing::warn;

use super::connections::ConnectionObject;
use super::context::Context;
use crate::api::{
    CONNECTION_FINALIZER, CREATE_ATTEMPT, ConnectionStatus, FIELD_MANAGER, FINALIZER, RESOLVE, Webhook, WebhookStatus,
};
use crate::plan::Guard;

/// A call to the apiserver that failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Something was not as tested, or the object is gone: read again and decide again.
    #[error("the object changed meanwhile")]
    Changed,
    /// The apiserver refused.
    #[error("the apiserver refused to {what}: {reason} ({code})")]
    Refused {
        /// What was tried.
        what: &'static str,
        /// The apiserver's reason, a CamelCase word.
        reason: String,
        /// HTTP status.
        code: u16,
    },
    /// No answer in time.
    #[error("the apiserver did not answer in time: {what}")]
    Timeout {
        /// What was tried.
        what: &'static str,
    },
    /// The apiserver cannot be reached or does not make sense.
    #[error("the apiserver cannot be reached: {what}: {error}")]
    Unreachable {
        /// What was tried.
        what: &'static str,
        /// Of the client.
        error: String,
    },
}

/// Waits for a call, at most the apiserver's time-out. The text of answers is kept out of errors: it can quote what
/// was sent or read.
pub(super) async fn call<T>(
    context: &Context,
    what: &'static str,
    future: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, ApiError> {
    within(context.apiserver_timeout, what, future).await
}

/// The same, at most so long.
pub(crate) async fn within<T>(
    timeout: Duration,
    what: &'static str,
    future: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, ApiError> {
    match tokio::time::timeout(timeout, future).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(kube::Error::Api(status))) => Err(match status.code {
            // A failed test of a JSON patch is a 422, a lost race a 409, an object that is gone a 404.
            404 | 409 | 422 => ApiError::Changed,
            code => ApiError::Refused { what, reason: status.reason.clone(), code },
        }),
        Ok(Err(kube::Error::SerdeError(_))) => {
            Err(ApiError::Unreachable { what, error: "its answer does not decode".into() })
        }
        Ok(Err(error)) => Err(ApiError::Unreachable { what, error: error.to_string() }),
        Err(_) => Err(ApiError::Timeout { what }),
    }
}

/// The Webhook's namespace is terminating, for all that can be read of it.
pub(super) async fn namespace_is_terminating(context: &Context, webhook: &Webhook) -> bool {
    let namespaces: Api<Namespace> = Api::all(context.client.clone());
    let name = webhook.namespace().unwrap_or_default();
    match call(context, "read the Namespace", namespaces.get_metadata(&name)).await {
        Ok(namespace) => namespace.metadata.deletion_timestamp.is_some(),
        Err(error) => {
            warn!(%error, "whether the namespace is terminating is not known");
            false
        }
    }
}

/// Finalizer and attempt in one patch (design section 4, step 1).
pub(super) async fn begin_attempt(
    context: &Context,
    webhook: &Webhook,
    text: &str,
    resolved: bool,
) -> Result<Webhook, ApiError> {
    let mut operations = vec![test_version(webhook)];
    operations.extend(hold(webhook, FINALIZER));
    operations.extend(annotate(webhook, CREATE_ATTEMPT, text));
    if resolved {
        operations.push(remove(&annotation(RESOLVE)));
    }
    metadata(context, webhook, "record a create attempt", operations).await
}

/// The finalizer alone.
pub(super) async fn add_finalizer(context: &Context, webhook: &Webhook) -> Result<Webhook, ApiError> {
    let mut operations = vec![test_version(webhook)];
    operations.extend(hold(webhook, FINALIZER));
    metadata(context, webhook, "add the finalizer", operations).await
}

/// Takes a person's decision off.
pub(super) async fn clear_resolve(context: &Context, webhook: &Webhook) -> Result<Webhook, ApiError> {
    metadata(context, webhook, "remove an annotation", vec![test_version(webhook), remove(&annotation(RESOLVE))]).await
}

/// Takes the finalizer off, and a person's decision with it.
pub(super) async fn release(context: &Context, webhook: &Webhook) -> Result<(), ApiError> {
    let Some(mut operations) = let_go(webhook, FINALIZER) else { return Ok(()) };
    if webhook.annotations().contains_key(RESOLVE) {
        operations.push(remove(&annotation(RESOLVE)));
    }
    metadata(context, webhook, "remove the finalizer", operations).await.map(|_| ())
}

/// The whole status, under its guard.
pub(super) async fn write_status(
    context: &Context,
    webhook: &Webhook,
    status: &WebhookStatus,
    guard: &Guard,
) -> Result<Webhook, ApiError> {
    let mut operations = match guard {
        Guard::ResourceVersion => vec![test_version(webhook)],
        Guard::Attempt(_) => vec![
            test(&pointer(&["metadata", "uid"]), json!(webhook.uid())),
            test(&annotation(CREATE_ATTEMPT), json!(webhook.annotations().get(CREATE_ATTEMPT))),
        ],
    };
    let value = serde_json::to_value(status)
        .map_err(|error| ApiError::Unreachable { what: "write the status", error: error.to_string() })?;
    operations.push(add(&pointer(&["status"]), value));
    let patch: Patch<()> = Patch::Json(JsonPatch(operations));
    call(context, "write the status", api(context, webhook).patch_status(&webhook.name_any(), &parameters(), &patch))
        .await
}

/// The conditions of an object that does not decode. Everything else in its status stays: it holds the id.
pub(super) async fn conditions_dynamic(
    context: &Context,
    api: &Api<DynamicObject>,
    object: &DynamicObject,
    conditions: Value,
    generation: i64,
) -> Result<(), ApiError> {
    let mut operations = vec![test_version(object)];
    if object.data.get("status").is_none() {
        operations.push(add(&pointer(&["status"]), json!({})));
    }
    operations.push(add(&pointer(&["status", "conditions"]), conditions));
    operations.push(add(&pointer(&["status", "observedGeneration"]), json!(generation)));
    let patch: Patch<()> = Patch::Json(JsonPatch(operations));
    let written = call(context, "write the status", api.patch_status(&object.name_any(), &parameters(), &patch)).await;
    // An object that the schema refuses may not take a status either: then only the log tells.
    match written {
        Ok(_) | Err(ApiError::Changed) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Takes the finalizer off an object that does not decode.
pub(super) async fn release_dynamic(
    context: &Context,
    api: &Api<DynamicObject>,
    object: &DynamicObject,
    finalizer: &str,
) -> Result<(), ApiError> {
    let Some(operations) = let_go(object, finalizer) else { return Ok(()) };
    let patch: Patch<()> = Patch::Json(JsonPatch(operations));
    call(context, "remove the finalizer", api.patch(&object.name_any(), &parameters(), &patch)).await.map(|_| ())
}

/// Our finalizer on a connection.
pub(super) async fn hold_connection<K: ConnectionObject>(context: &Context, object: &K) -> Result<K, ApiError> {
    let mut operations = vec![test_version(object)];
    operations.extend(hold(object, CONNECTION_FINALIZER));
    patch_connection(context, "add the finalizer to the connection", object, operations).await
}

/// Takes our finalizer off a connection.
pub(super) async fn release_connection<K: ConnectionObject>(context: &Context, object: &K) -> Result<(), ApiError> {
    let Some(operations) = let_go(object, CONNECTION_FINALIZER) else { return Ok(()) };
    patch_connection(context, "remove the finalizer of the connection", object, operations).await.map(|_| ())
}

async fn patch_connection<K: ConnectionObject>(
    context: &Context,
    what: &'static str,
    object: &K,
    operations: Vec<PatchOperation>,
) -> Result<K, ApiError> {
    let patch: Patch<()> = Patch::Json(JsonPatch(operations));
    let api = K::api(&context.client, object.meta());
    call(context, what, api.patch(&object.name_any(), &parameters(), &patch)).await
}

/// The whole status of a connection.
pub(super) async fn connection_status<K: ConnectionObject>(
    context: &Context,
    object: &K,
    status: &ConnectionStatus,
) -> Result<K, ApiError> {
    let what = "write the status of the connection";
    let value =
        serde_json::to_value(status).map_err(|error| ApiError::Unreachable { what, error: error.to_string() })?;
    let operations = vec![test_version(object), add(&pointer(&["status"]), value)];
    let patch: Patch<()> = Patch::Json(JsonPatch(operations));
    let api = K::api(&context.client, object.meta());
    call(context, what, api.patch_status(&object.name_any(), &parameters(), &patch)).await
}

async fn metadata(
    context: &Context,
    webhook: &Webhook,
    what: &'static str,
    operations: Vec<PatchOperation>,
) -> Result<Webhook, ApiError> {
    let patch: Patch<()> = Patch::Json(JsonPatch(operations));
    call(context, what, api(context, webhook).patch(&webhook.name_any(), &parameters(), &patch)).await
}

/// The API of the Webhook's namespace.
pub(super) fn api(context: &Context, webhook: &Webhook) -> Api<Webhook> {
    Api::namespaced(context.client.clone(), &webhook.namespace().unwrap_or_default())
}

fn parameters() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

/// Takes a finalizer off. `None` if it is not on.
fn let_go(object: &impl ResourceExt, finalizer: &str) -> Option<Vec<PatchOperation>> {
    let index = object.finalizers().iter().position(|known| known == finalizer)?;
    let place = pointer(&["metadata", "finalizers", &index.to_string()]);
    Some(vec![test_version(object), test(&place, json!(finalizer)), remove(&place)])
}

fn hold(object: &impl ResourceExt, finalizer: &str) -> Vec<PatchOperation> {
    let list = pointer(&["metadata", "finalizers"]);
    match object.finalizers() {
        [] => vec![add(&list, json!([finalizer]))],
        known if known.iter().any(|known| known == finalizer) => Vec::new(),
        _ => vec![add(&pointer(&["metadata", "finalizers", "-"]), json!(finalizer))],
    }
}

fn annotate(webhook: &Webhook, key: &str, value: &str) -> Vec<PatchOperation> {
    // Empty where there are others that are not kept: the apiserver itself gives no empty map.
    match &webhook.metadata.annotations {
        None => vec![add(&pointer(&["metadata", "annotations"]), json!({ key: value }))],
        Some(_) => vec![add(&annotation(key), json!(value))],
    }
}

fn test_version(object: &impl ResourceExt) -> PatchOperation {
    test(&pointer(&["metadata", "resourceVersion"]), json!(object.resource_version()))
}

fn annotation(key: &str) -> PointerBuf {
    pointer(&["metadata", "annotations", key])
}

fn pointer(tokens: &[&str]) -> PointerBuf {
    PointerBuf::from_tokens(tokens.iter().copied())
}

fn test(path: &PointerBuf, value: Value) -> PatchOperation {
    PatchOperation::Test(TestOperation { path: path.clone(), value })
}

fn add(path: &PointerBuf, value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path: path.clone(), value })
}

fn remove(path: &PointerBuf) -> PatchOperation {
    PatchOperation::Remove(RemoveOperation { path: path.clone() })
}
