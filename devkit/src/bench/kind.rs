//! The objects that are made: our Webhook, and a Request of provider-http that asks for the same.

use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};

use super::numbers::shard;

/// Type of the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The operator's, and the floor's.
    Webhook,
    /// provider-http's.
    Request,
}

/// What an object says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) is_ready: bool,
    /// provider-http does not know whether it has created the thing, and waits for a person.
    pub(super) is_stuck: bool,
    pub(super) id: Option<String>,
}

impl Kind {
    pub(super) fn resource(self) -> ApiResource {
        let (kind, plural) = match self {
            Self::Webhook => (GroupVersionKind::gvk("orion-operator.dev", "v1alpha1", "Webhook"), "webhooks"),
            Self::Request => (GroupVersionKind::gvk("http.m.crossplane.io", "v1alpha2", "Request"), "requests"),
        };
        ApiResource::from_gvk_with_plural(&kind, plural)
    }

    /// Whether an API group is that of these objects and of what belongs to them.
    pub(super) fn owns(self, group: &str) -> bool {
        match self {
            Self::Webhook => group == "orion-operator.dev",
            Self::Request => matches!(group, "http.m.crossplane.io" | "http.crossplane.io"),
        }
    }

    /// One of them, as `kubectl apply` makes it, with what kubectl keeps in an annotation.
    pub(super) fn object(self, name: &str, namespace: &str, value: &str, recipe: &Recipe) -> Value {
        let ApiResource { api_version, kind, .. } = self.resource();
        let labels =
            if recipe.shards > 1 { json!({"shard": shard(name, recipe.shards).to_string()}) } else { json!({}) };
        let spec = self.spec(name, value, &recipe.endpoint);
        let applied = json!({
            "apiVersion": api_version, "kind": kind,
            "metadata": {"annotations": {}, "labels": labels, "name": name, "namespace": namespace}, "spec": spec,
        });
        json!({
            "apiVersion": api_version, "kind": kind,
            "metadata": {
                "name": name, "namespace": namespace, "labels": labels,
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": format!("{applied}\n")},
            },
            "spec": spec,
        })
    }

    fn spec(self, name: &str, value: &str, endpoint: &str) -> Value {
        let url = format!("https://hooks.example.com/orion/{name}");
        let headers = json!([{"name": "X-Team", "value": value}]);
        match self {
            Self::Webhook => json!({"url": url, "userId": "user-42", "presenceName": name, "headers": headers}),
            // The URL as in provider-http's own examples. Bodies and URLs are jq programs.
            Self::Request => {
                let body = json!({"url": url, "user_id": "user-42", "presence_name": name, "headers": headers});
                let one = ".payload.baseUrl + (.response.body.id|tostring)";
                json!({
                    "forProvider": {
                        "headers": {"Content-Type": ["application/json"]},
                        "payload": {"baseUrl": format!("{endpoint}/webhooks/"), "body": body.to_string()},
                        "mappings": [
                            {"action": "CREATE", "method": "POST", "url": ".payload.baseUrl", "body": ".payload.body"},
                            {"action": "OBSERVE", "method": "GET", "url": one},
                            {"action": "UPDATE", "method": "PUT", "url": one, "body": ".payload.body"},
                            {"action": "REMOVE", "method": "DELETE", "url": one},
                        ],
                    },
                    "providerConfigRef": {"name": "default", "kind": "ClusterProviderConfig"},
                })
            }
        }
    }

    /// How it stands with one of them.
    pub(super) fn state(self, object: &DynamicObject) -> State {
        let status = object.data.get("status").unwrap_or(&Value::Null);
        let conditions = status.get("conditions").and_then(Value::as_array);
        let condition = |name: &str, wanted: &str| {
            conditions.into_iter().flatten().find(|it| {
                it.get("type").is_some_and(|it| it == name) && it.get("status").is_some_and(|it| it == wanted)
            })
        };
        let is_ready = condition("Ready", "True").is_some();
        let field = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        match self {
            Self::Webhook => State {
                is_ready: is_ready
                    && status.get("observedGeneration").and_then(Value::as_i64) == object.metadata.generation,
                is_stuck: false,
                id: field(status.get("webhookId")),
            },
            Self::Request => State {
                is_ready: is_ready && condition("Synced", "True").is_some(),
                is_stuck: condition("Synced", "False")
                    .and_then(|it| it.get("message")?.as_str())
                    .is_some_and(|it| it.contains("cannot determine creation result")),
                id: None,
            },
        }
    }
}

/// What the objects have in common.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    /// Orion, with prefix.
    pub(super) endpoint: String,
    /// They are labelled for so many processes; 1 means no label.
    pub(super) shards: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(shards: usize) -> Recipe {
        Recipe { endpoint: "http://127.0.0.1:1/v1alpha".to_owned(), shards }
    }

    #[test]
    fn when_it_is_ready() {
        let ready = json!({"type": "Ready", "status": "True"});
        let synced = json!({"type": "Synced", "status": "True"});
        let stuck = json!({"type": "Synced", "status": "False",
            "message": "cannot determine creation result - remove the crossplane.io/external-create-pending annotation"});
        let failed = json!({"type": "Synced", "status": "False", "message": "conflict"});
        for (kind, status, expected) in [
            (Kind::Webhook, json!({}), (false, false)),
            (Kind::Webhook, json!({"conditions": [ready], "observedGeneration": 1}), (false, false)),
            (Kind::Webhook, json!({"conditions": [ready], "observedGeneration": 2}), (true, false)),
            (Kind::Request, json!({"conditions": [ready]}), (false, false)),
            (Kind::Request, json!({"conditions": [synced]}), (false, false)),
            (Kind::Request, json!({"conditions": [synced, ready]}), (true, false)),
            (Kind::Request, json!({"conditions": [ready, failed]}), (false, false)),
            (Kind::Request, json!({"conditions": [ready, stuck]}), (false, true)),
        ] {
            let mut object = kind.object("cold-1", "team-1", "first", &recipe(1));
            object["metadata"]["generation"] = 2.into();
            object["status"] = status.clone();
            let state = kind.state(&serde_json::from_value(object).unwrap());
            assert_eq!((state.is_ready, state.is_stuck), expected, "{kind:?} {status}");
        }
    }

    #[test]
    fn both_kinds_ask_orion_for_the_same() {
        let request = Kind::Request.object("cold-1", "team-1", "first", &recipe(1));
        let payload = &request["spec"]["forProvider"]["payload"];
        let body: Value = serde_json::from_str(payload["body"].as_str().unwrap()).unwrap();
        let spec = &Kind::Webhook.object("cold-1", "team-1", "first", &recipe(1))["spec"];
        for (ours, orions) in
            [("url", "url"), ("userId", "user_id"), ("presenceName", "presence_name"), ("headers", "headers")]
        {
            assert_eq!(spec[ours], body[orions]);
        }
        assert_eq!(payload["baseUrl"], "http://127.0.0.1:1/v1alpha/webhooks/");
    }

    #[test]
    fn labels_are_there_for_shards_only() {
        let label =
            |shards| Kind::Webhook.object("cold-1", "team-1", "first", &recipe(shards))["metadata"]["labels"].clone();
        assert_eq!((label(1), label(2)), (json!({}), json!({"shard": shard("cold-1", 2).to_string()})));
    }
}
