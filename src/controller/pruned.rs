//! What is kept of a Webhook: thousands are held in memory.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::context::Guarded;
use crate::api::{CREATE_ATTEMPT, REQUESTED_AT, RESOLVE, Webhook};

/// Drops what nobody reads, which is most of an object: who set which field, labels, what `kubectl apply` and others note in
/// annotations, and the room that lists have in reserve. Annotations stay an empty map where there were some: whether there are
/// any decides how one is added.
pub(super) fn prune(webhook: &mut Webhook) {
    prune_metadata(&mut webhook.metadata);
    webhook.spec.headers.shrink_to_fit();
    if let Some(status) = &mut webhook.status {
        status.conditions.shrink_to_fit();
        status.applied_secrets.shrink_to_fit();
    }
}

/// The same for one that may not decode.
pub(super) fn prune_guarded(guarded: &mut Guarded) {
    match &mut guarded.0 {
        Ok(webhook) => prune(webhook),
        Err(invalid) => prune_metadata(&mut invalid.metadata),
    }
}

fn prune_metadata(metadata: &mut ObjectMeta) {
    (metadata.managed_fields, metadata.labels, metadata.owner_references) = (None, None, None);
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|name, _| [CREATE_ATTEMPT, RESOLVE, REQUESTED_AT].contains(&name.as_str()));
    }
    if let Some(finalizers) = &mut metadata.finalizers {
        finalizers.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_decides_stays() {
        let webhook = |annotations: serde_json::Value| {
            let mut webhook: Webhook = serde_json::from_value(json!({
                "apiVersion": "orion-operator.dev/v1alpha1", "kind": "Webhook",
                "metadata": {
                    "name": "a", "uid": "u", "resourceVersion": "1", "generation": 2, "labels": {"team": "a"},
                    "finalizers": ["f"], "annotations": annotations, "managedFields": [{"manager": "kubectl"}],
                },
                "spec": {
                    "url": "https://hooks.example.com", "userId": "u", "presenceName": "p",
                    "headers": [{"name": "X-A", "value": "1"}],
                },
                "status": {"webhookId": "wh_1", "conditions": []},
            }))
            .unwrap();
            prune(&mut webhook);
            webhook
        };
        let pruned = webhook(json!({"last-applied": "{}", RESOLVE: "abandon"}));
        assert_eq!(json!(pruned.metadata.annotations), json!({RESOLVE: "abandon"}));
        assert_eq!((pruned.metadata.generation, &pruned.metadata.labels), (Some(2), &None));
        assert_eq!(pruned.metadata.finalizers, Some(vec!["f".to_owned()]));
        assert_eq!(pruned.spec.headers.capacity(), 1);
        // There are some, of which none is ours: that is not the same as none.
        assert_eq!(json!(webhook(json!({"last-applied": "{}"})).metadata.annotations), json!({}));
        assert_eq!(webhook(json!(null)).metadata.annotations, None);
    }
}
