//! The custom resources and the vocabulary that every other module shares.
//!
//! Nothing here is async, reads a clock or holds a client: types, schema rules, condition reasons, the owner
//! marker and the classes of failure. `plan`, `orion` and `controller` all depend on this module and it depends
//! on none of them.

mod access;
mod advice;
mod connection;
mod crd;
mod defaults;
mod duration;
mod failure;
mod marker;
mod metadata;
pub mod rbac;
mod reason;
mod remote;
mod schema;
mod shell;
mod status;
mod validate;
mod webhook;

pub use access::{Access, Permit};
pub use connection::{
    AdoptionSpec, AuthSpec, ClusterOrionConnection, ClusterOrionConnectionSpec, ConnectionStatus, NamespaceRule,
    OrionConnection, OrionConnectionSpec, OwnershipSpec, PasswordSecretRef, RateLimitSpec,
};
pub use crd::{crds, file_name, to_yaml};
pub use defaults::{PATH_PREFIX, TIMEOUT, TIMEOUTS};
pub use duration::parse_duration;
pub use failure::{Failure, FailureClass, Sent};
pub use marker::{Attempt, InstanceId, OWNER_HEADER, Owner};
pub use reason::{Reason, State};
pub use remote::{Capabilities, Desired, Endpoint, HeaderValue, RemoteHeader, RemoteWebhook, Support, is_masked};
pub use schema::RESERVED_HEADERS;
pub use shell::{shell_quoted, shell_word};
pub use status::{CONDITION_READY, CONDITION_RECONCILING, CONDITION_STALLED, Readiness, conditions, ready_condition};
pub use validate::{Schema, Violation, ViolationKind};
pub use webhook::{
    AdoptSpec, AppliedSecret, ConnectionKind, ConnectionRef, DeletionPolicy, HeaderSpec, HeaderValueFrom, SecretKeyRef,
    Webhook, WebhookSpec, WebhookStatus,
};

/// API group of every custom resource.
pub const GROUP: &str = "orion-operator.dev";
/// API version of every custom resource.
pub const VERSION: &str = "v1alpha1";
/// Field manager on every write, and the `User-Agent` product name.
pub const FIELD_MANAGER: &str = "orion-operator";
/// The finalizer that holds a `Webhook` until Orion no longer has it.
pub const FINALIZER: &str = "orion-operator.dev/webhook";
/// The finalizer that holds a connection until no Webhook uses it.
pub const CONNECTION_FINALIZER: &str = "orion-operator.dev/connection";
/// Annotation that records a create attempt before its POST: `<token> <RFC 3339 time> <8 characters of the instance>`.
pub const CREATE_ATTEMPT: &str = "orion-operator.dev/create-attempt";
/// Annotation by which a person decides what the operator must not guess.
pub const RESOLVE: &str = "orion-operator.dev/resolve";
/// Flux's annotation that asks for a reconcile now; echoed in `status.lastHandledReconcileAt`.
pub const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";
