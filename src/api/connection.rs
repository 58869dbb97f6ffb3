//! The connections: `OrionConnection` of one namespace and `ClusterOrionConnection` of the cluster (design section 2).
//!
//! Both have the same spec; the one of the cluster says besides who may use it. No field names a namespace to read from:
//! Secrets are those of the connection's own namespace, or of the operator's for a `ClusterOrionConnection`.

// `KubeSchema` repeats each struct, `pub` and all, inside of a function.
#![allow(unreachable_pub)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;
use super::webhook::SecretKeyRef;

/// How to reach one Orion, for the Webhooks of this namespace.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[kube(
    group = "orion-operator.dev",
    version = "v1alpha1",
    kind = "OrionConnection",
    plural = "orionconnections",
    shortname = "oconn",
    category = "orion",
    namespaced,
    status = "ConnectionStatus",
    derive = "PartialEq",
    doc = "An Orion and the credentials for it, for the Webhooks of this namespace.",
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name": "Reason", "type": "string", "jsonPath": ".status.conditions[?(@.type=='Ready')].reason"}"#,
    printcolumn = r#"{"name": "URL", "type": "string", "jsonPath": ".spec.url"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name": "Endpoint", "type": "string", "jsonPath": ".status.endpoint", "priority": 1}"#,
    printcolumn = r#"{"name": "Message", "type": "string", "jsonPath": ".status.conditions[?(@.type=='Ready')].message", "priority": 1}"#
)]
#[serde(rename_all = "camelCase")]
pub struct OrionConnectionSpec {
    /// Scheme, host and port of Orion, like https://acme.example.com.
    #[schemars(length(max = 2048))]
    #[x_kube(
        validation = schema::url_is_absolute("https://acme.example.com"),
        validation = schema::url_without_credentials("the Secret that auth names"),
        validation = schema::url_is_an_origin()
    )]
    pub url: String,
    /// Path prefix of the API, /v1alpha by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = schema::path(), validation = schema::path_is_plain())]
    pub path_prefix: Option<String>,
    /// The credentials: exactly one of tokenSecretRef and passwordSecretRef.
    #[x_kube(validation = schema::one_kind_of_credentials())]
    pub auth: AuthSpec,
    /// A CA certificate (PEM) in a Secret, trusted besides the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,
    /// Longest time for one call, 1s to 30s; 10s by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = schema::duration_is_written_well(), validation = schema::timeout_is_in_bounds())]
    pub timeout: Option<String>,
    /// How often Orion may be called; 20 requests per second with a burst of 40 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimitSpec>,
    /// Whether webhooks carry the owner marker: Header (default) or None.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ownership: Option<OwnershipSpec>,
}

/// How to reach one Orion, for the Webhooks of the namespaces that it names.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "orion-operator.dev",
    version = "v1alpha1",
    kind = "ClusterOrionConnection",
    plural = "clusterorionconnections",
    shortname = "coconn",
    category = "orion",
    status = "ConnectionStatus",
    derive = "PartialEq",
    doc = "An Orion and the credentials for it, for the Webhooks of the namespaces that it allows.",
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name": "Reason", "type": "string", "jsonPath": ".status.conditions[?(@.type=='Ready')].reason"}"#,
    printcolumn = r#"{"name": "URL", "type": "string", "jsonPath": ".spec.url"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name": "Endpoint", "type": "string", "jsonPath": ".status.endpoint", "priority": 1}"#,
    printcolumn = r#"{"name": "Message", "type": "string", "jsonPath": ".status.conditions[?(@.type=='Ready')].message", "priority": 1}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterOrionConnectionSpec {
    /// What it has in common with an OrionConnection. Its Secrets are those of the operator's namespace.
    #[serde(flatten)]
    pub connection: OrionConnectionSpec,
    /// Whether Webhooks may adopt by id: Deny (default) or Allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adoption: Option<AdoptionSpec>,
    /// The namespaces whose Webhooks may use it; nobody's where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "schema::null_is_default")]
    #[schemars(length(max = 64))]
    pub allowed_namespaces: Vec<NamespaceRule>,
}

/// Exactly one kind of credentials.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct AuthSpec {
    /// A bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKeyRef>,
    /// A username and a password, to log in with (OAuth2 password flow).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<PasswordSecretRef>,
}

/// A username and a password in one Secret.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PasswordSecretRef {
    /// Name of the Secret.
    #[schemars(length(max = 253))]
    #[x_kube(validation = schema::object_name())]
    pub name: String,
    /// Key of the username; username by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = schema::secret_key())]
    pub username_key: Option<String>,
    /// Key of the password; password by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = schema::secret_key())]
    pub password_key: Option<String>,
    /// Scopes to ask for at the login.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "schema::null_is_default")]
    #[schemars(length(max = 32), inner(length(max = 256)))]
    #[x_kube(validation = schema::scopes())]
    pub scopes: Vec<String>,
    /// Path of the login from the root of the host; <pathPrefix>/auth/login by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = schema::path(), validation = schema::path_is_plain())]
    pub login_path: Option<String>,
}

/// How often Orion may be called.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RateLimitSpec {
    /// Calls per second in the long run.
    #[schemars(range(min = 1, max = 10_000))]
    pub requests_per_second: u32,
    /// Calls that may be made at once after a quiet time.
    #[schemars(range(min = 1, max = 10_000))]
    pub burst: u32,
}

/// Whether webhooks carry the owner marker: Header (default), or None, which may leave a create of unknown result to a person.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OwnershipSpec {
    /// As one more header, `X-Orion-Operator-Owner`.
    #[default]
    Header,
    /// Not at all.
    None,
}

/// Whether Webhooks may adopt by id: Deny (default) or Allow.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AdoptionSpec {
    /// They may not.
    #[default]
    Deny,
    /// They may.
    Allow,
}

/// Namespaces whose Webhooks may use a connection: by exactly one of name and selector.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = schema::rule_has_one_subject())]
#[serde(rename_all = "camelCase")]
pub struct NamespaceRule {
    /// Name of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    #[x_kube(validation = schema::namespace_name())]
    pub name: Option<String>,
    /// Labels of the namespaces. An empty selector is every namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::namespace_selector")]
    pub selector: Option<LabelSelector>,
    /// The only userIds that their Webhooks may have. Leave it out for any.
    // Not empty: that could be read as "none" too.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "schema::null_is_default")]
    #[schemars(length(min = 1, max = 1024), inner(length(min = 1, max = 256)))]
    pub user_ids: Vec<String>,
}

/// What is true of a connection.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionStatus {
    /// The generation that the conditions speak of; -1 before the operator has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The API base: url and pathPrefix, normalised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// What Orion is known to be able to do besides creating: list, get, put, patch, delete.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "schema::null_is_default")]
    pub capabilities: Vec<String>,
    /// Ready always; Reconciling and Stalled only while True, and never both.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "schema::null_is_default")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
