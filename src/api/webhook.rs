//! The `Webhook` custom resource (design section 2).
//!
//! Every rule that does not depend on a flag is part of the schema, so the apiserver refuses what breaks it. No field
//! under `spec` has a default there (defaults are in code): a default in the schema would show up as a difference in
//! every tool that compares what was applied with what is stored.

// `KubeSchema` repeats each struct, `pub` and all, inside of a function.
#![allow(unreachable_pub)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

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
    derive = "PartialEq",
    doc = "A webhook that the operator registers at Orion and keeps as declared.",
    selectable = ".spec.presenceName",
    selectable = ".spec.userId",
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name": "Reason", "type": "string", "jsonPath": ".status.conditions[?(@.type=='Ready')].reason"}"#,
    printcolumn = r#"{"name": "Presence", "type": "string", "jsonPath": ".spec.presenceName"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name": "URL", "type": "string", "jsonPath": ".spec.url", "priority": 1}"#,
    printcolumn = r#"{"name": "ID", "type": "string", "jsonPath": ".status.webhookId", "priority": 1}"#,
    printcolumn = r#"{"name": "Suspended", "type": "boolean", "jsonPath": ".spec.suspend", "priority": 1}"#,
    printcolumn = r#"{"name": "Message", "type": "string", "jsonPath": ".status.conditions[?(@.type=='Ready')].message", "priority": 1}"#
)]
#[x_kube(validation = schema::connection_is_immutable())]
#[serde(rename_all = "camelCase")]
pub struct WebhookSpec {
    /// Absolute http or https URL that receives the notifications, without user or password.
    #[schemars(length(max = 2048))]
    #[x_kube(
        validation = schema::url_is_absolute("https://hooks.example.com/orion"),
        validation = schema::url_without_credentials("headers, with valueFrom"),
        validation = schema::url_is_printable()
    )]
    pub url: String,
    /// The Orion user associated with the webhook.
    #[schemars(length(min = 1, max = 256))]
    pub user_id: String,
    /// Names the purpose of the webhook and links it to Orion's events.
    #[schemars(length(min = 1, max = 256))]
    pub presence_name: String,
    /// Headers that Orion sends with each delivery, at most 32, each name once.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "schema::null_is_default")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]), validation = schema::header_names_differ())]
    pub headers: Vec<HeaderSpec>,
    /// The connection to use; without it, the operator's default connection. Cannot be changed, added or removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_ref: Option<ConnectionRef>,
    /// Delete (default) or Orphan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Stops all changes at Orion, except deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// Time between drift checks, like 30s, 10m or 1h30m. Default: the operator's --interval (10m); least: its --min-interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = schema::duration_is_written_well(), validation = schema::duration_is_not_zero())]
    pub interval: Option<String>,
    /// Takes over an existing Orion webhook instead of creating one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<AdoptSpec>,
}

/// One header of a webhook: exactly one of `value` and `valueFrom`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[x_kube(validation = schema::header_has_one_source())]
#[serde(rename_all = "camelCase")]
pub struct HeaderSpec {
    /// Header name, an RFC 9110 token; upper and lower case make no difference.
    #[schemars(length(max = 256))]
    #[x_kube(validation = schema::header_name_is_token(), validation = schema::header_name_is_free())]
    pub name: String,
    /// The value in plain text: printable ASCII and tab. May be empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    #[x_kube(validation = schema::header_value_is_printable())]
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
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(max = 253))]
    #[x_kube(validation = schema::object_name())]
    pub name: String,
    /// Key within the Secret.
    #[schemars(length(max = 253))]
    #[x_kube(validation = schema::secret_key())]
    pub key: String,
}

/// Kind of the connection: OrionConnection (default) is one of the Webhook's namespace, ClusterOrionConnection one of the cluster.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ConnectionKind {
    /// A connection of the Webhook's namespace.
    #[default]
    OrionConnection,
    /// A connection of the cluster.
    ClusterOrionConnection,
    /// A kind that this version does not know. The schema refuses it; only an object that was stored under another
    /// version's schema can have it, and one such object must not keep all others from being read.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Names the connection that a Webhook uses.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ConnectionRef {
    /// OrionConnection (default) or ClusterOrionConnection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ConnectionKind>,
    /// Name of the connection.
    #[schemars(length(max = 253))]
    #[x_kube(validation = schema::object_name())]
    pub name: String,
}

/// What happens at Orion when this object is deleted: Delete (default) deletes the webhook there, Orphan leaves it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DeletionPolicy {
    /// It is deleted.
    #[default]
    Delete,
    /// It stays, without the owner marker where Orion lets us take it off.
    Orphan,
    /// A policy that this version does not know; see [`ConnectionKind::Unknown`]. Never to be taken for `Delete`.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Takes over an existing Orion webhook.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct AdoptSpec {
    /// Id of the Orion webhook.
    #[schemars(length(max = 256))]
    #[x_kube(validation = schema::orion_id())]
    pub id: String,
    /// Take it over even if another Webhook's marker is on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force: Option<bool>,
}

/// What is true of a `Webhook`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
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
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "schema::null_is_default")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub applied_secrets: Vec<AppliedSecret>,
    /// Echo of the annotation reconcile.fluxcd.io/requestedAt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// Ready always; Reconciling and Stalled only while True, and never both.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "schema::null_is_default")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
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
