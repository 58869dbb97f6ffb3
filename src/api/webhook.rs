//! The `Webhook` custom resource (design section 2).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A webhook that Orion should have.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[kube(
    group = "orion-operator.dev",
    version = "v1alpha1",
    kind = "Webhook",
    plural = "webhooks",
    shortname = "owh",
    category = "orion",
    namespaced,
    status = "WebhookStatus",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct WebhookSpec {
    /// Absolute http or https URL that receives the notifications.
    pub url: String,
    /// The Orion user associated with the webhook.
    pub user_id: String,
    /// Names the purpose of the webhook and links it to Orion's events.
    pub presence_name: String,
    /// Headers that Orion sends with each delivery.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderSpec>,
    /// The connection to use; without it, the operator's default connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_ref: Option<ConnectionRef>,
    /// What happens at Orion when this object is deleted: Delete (default) or Orphan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Stops all changes at Orion, except deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// Time between drift checks, as a Go duration; default 10m, never less than --min-interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// Takes over an existing Orion webhook instead of creating one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<AdoptSpec>,
}

/// One header of a webhook: exactly one of `value` and `valueFrom`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct HeaderSpec {
    /// Header name, an RFC 9110 token.
    pub name: String,
    /// The value in plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where to read the value from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<HeaderValueFrom>,
}

/// Source of a header's value.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct HeaderValueFrom {
    /// A key of a Secret in the Webhook's namespace.
    pub secret_key_ref: SecretKeyRef,
}

/// A key of a Secret in the same namespace.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct SecretKeyRef {
    /// Name of the Secret.
    pub name: String,
    /// Key within the Secret.
    pub key: String,
}

/// Kinds of connection.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ConnectionKind {
    /// A connection of the Webhook's namespace.
    #[default]
    OrionConnection,
    /// A connection of the cluster.
    ClusterOrionConnection,
}

/// Names the connection that a Webhook uses.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ConnectionRef {
    /// OrionConnection (default) or ClusterOrionConnection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ConnectionKind>,
    /// Name of the connection.
    pub name: String,
}

/// What happens to the Orion webhook when its `Webhook` is deleted.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DeletionPolicy {
    /// It is deleted.
    #[default]
    Delete,
    /// It stays, without the owner marker where Orion lets us take it off.
    Orphan,
}

/// Takes over an existing Orion webhook.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct AdoptSpec {
    /// Id of the Orion webhook.
    pub id: String,
    /// Take it over even if another Webhook's marker is on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force: Option<bool>,
}

/// What is true of a `Webhook`.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WebhookStatus {
    /// The generation that the conditions speak of; -1 before the operator has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Id of the webhook at Orion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_id: Option<String>,
    /// The API base that `webhookId` belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The last create attempt whose result is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_attempt: Option<String>,
    /// The Secrets whose values Orion has, by resourceVersion; never a value or a hash of one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub applied_secrets: Vec<AppliedSecret>,
    /// Echo of the annotation reconcile.fluxcd.io/requestedAt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// Ready always; Reconciling and Stalled only while True, and never both.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// A Secret whose values were pushed to Orion.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub struct AppliedSecret {
    /// Name of the Secret.
    pub name: String,
    /// Its resourceVersion when its values were pushed.
    pub resource_version: String,
}

impl WebhookSpec {
    /// The deletion policy with its default.
    #[must_use]
    pub fn deletion_policy(&self) -> DeletionPolicy {
        self.deletion_policy.unwrap_or_default()
    }

    /// Whether changes at Orion are stopped.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.suspend.unwrap_or(false)
    }

    /// Names of the Secrets that the headers refer to, sorted, each once.
    #[must_use]
    pub fn secret_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .headers
            .iter()
            .filter_map(|header| header.value_from.as_ref())
            .map(|from| from.secret_key_ref.name.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
