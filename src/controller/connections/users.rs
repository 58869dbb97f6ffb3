//! Who still uses a connection: Webhooks that hold something at its Orion.

use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, ResourceExt};
use serde_json::Value;

use super::key::ConnectionKey;
use crate::api::{CREATE_ATTEMPT, FINALIZER, Webhook};
use crate::controller::context::Context;
use crate::controller::patch::{ApiError, call};

/// Webhooks in one page of the apiserver's list.
const PAGE: u32 = 500;

/// How many Webhooks hold something there. The cache knows better than nothing: only where it shows none is the apiserver
/// asked, for all Webhooks whatever their labels, as other shards have theirs.
///
/// # Errors
/// The apiserver did not give its list.
pub(super) async fn count(context: &Context, key: &ConnectionKey) -> Result<usize, ApiError> {
    let cached = context.users(key);
    if cached > 0 && !context.is_shard {
        return Ok(cached);
    }
    let resource = ApiResource::erase::<Webhook>(&());
    let api: Api<DynamicObject> = match key {
        ConnectionKey::Namespaced { namespace, .. } => {
            Api::namespaced_with(context.aside.clone(), namespace, &resource)
        }
        ConnectionKey::Cluster { .. } | ConnectionKey::Default => Api::all_with(context.aside.clone(), &resource),
    };
    let (mut users, mut page) = (0, ListParams::default().limit(PAGE));
    loop {
        let read = call(context, "list all Webhooks", api.list(&page)).await?;
        users += read.items.iter().filter(|object| uses(object, key)).count();
        match read.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(users),
        }
    }
}

/// By the stored text: an object that does not decode uses its connection too.
fn uses(object: &DynamicObject, key: &ConnectionKey) -> bool {
    let reference = object.data.get("spec").and_then(|spec| spec.get("connectionRef"));
    let field = |name: &str| reference.and_then(|reference| reference.get(name)).and_then(Value::as_str);
    let kind = field("kind").unwrap_or("OrionConnection");
    let status = object.data.get("status");
    let has_id = status.and_then(|status| status.get("webhookId")).is_some_and(Value::is_string);
    let is_meant = match key {
        ConnectionKey::Namespaced { namespace, name } => {
            kind == "OrionConnection" && field("name") == Some(name) && object.namespace().as_ref() == Some(namespace)
        }
        ConnectionKey::Cluster { name } => kind == "ClusterOrionConnection" && field("name") == Some(name),
        ConnectionKey::Default => false,
    };
    is_meant && holds(object.finalizers(), has_id, object.annotations().contains_key(CREATE_ATTEMPT))
}

/// A finalizer alone holds nothing at Orion: anybody may write one who may create a Webhook.
pub(in crate::controller) fn holds(finalizers: &[String], has_id: bool, has_attempt: bool) -> bool {
    finalizers.iter().any(|finalizer| finalizer == FINALIZER) && (has_id || has_attempt)
}
