//! What `OrionConnection` and `ClusterOrionConnection` have in common, and where they differ.

use std::fmt::Debug;

use kube::core::ObjectMeta;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::key::ConnectionKey;
use crate::api::{Access, ClusterOrionConnection, ConnectionStatus, OrionConnection, OrionConnectionSpec};
use crate::metrics::{Metrics, Reconciles};
use crate::orion::Reach;

/// Who may use a connection, and for what.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Who.
    pub access: Access,
    /// Webhooks may adopt by id.
    pub adoption: bool,
}

/// A connection that is an object.
pub(in crate::controller) trait ConnectionObject:
    Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// Its key, from what every object has.
    fn key_of(metadata: &ObjectMeta) -> ConnectionKey;
    /// What it has in common with the other kind.
    fn spec(&self) -> &OrionConnectionSpec;
    /// Its status.
    fn status(&self) -> Option<&ConnectionStatus>;
    /// Who may use it.
    fn terms(&self) -> Terms;
    /// Where its Secrets are.
    fn secrets_namespace(metadata: &ObjectMeta, operators: &str) -> String;
    /// Which addresses it may lead to.
    fn reach(allow_insecure: bool) -> Reach;
    /// Metrics of the reconciles of its kind.
    fn reconciles(metrics: &Metrics) -> &Reconciles;
    /// The API in its scope.
    fn api(client: &Client, metadata: &ObjectMeta) -> Api<Self>;

    /// Its key.
    fn key(&self) -> ConnectionKey {
        Self::key_of(self.meta())
    }
}

impl ConnectionObject for OrionConnection {
    fn key_of(metadata: &ObjectMeta) -> ConnectionKey {
        ConnectionKey::Namespaced {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        }
    }

    fn spec(&self) -> &OrionConnectionSpec {
        &self.spec
    }

    fn status(&self) -> Option<&ConnectionStatus> {
        self.status.as_ref()
    }

    /// Whoever may make a Webhook here may use it.
    fn terms(&self) -> Terms {
        Terms { access: Access::All, adoption: true }
    }

    fn secrets_namespace(metadata: &ObjectMeta, _: &str) -> String {
        metadata.namespace.clone().unwrap_or_default()
    }

    fn reach(allow_insecure: bool) -> Reach {
        if allow_insecure { Reach::Anywhere } else { Reach::PublicOnly }
    }

    fn reconciles(metrics: &Metrics) -> &Reconciles {
        &metrics.connections
    }

    fn api(client: &Client, metadata: &ObjectMeta) -> Api<Self> {
        Api::namespaced(client.clone(), metadata.namespace.as_deref().unwrap_or_default())
    }
}

impl ConnectionObject for ClusterOrionConnection {
    fn key_of(metadata: &ObjectMeta) -> ConnectionKey {
        ConnectionKey::Cluster { name: metadata.name.clone().unwrap_or_default() }
    }

    fn spec(&self) -> &OrionConnectionSpec {
        &self.spec.connection
    }

    fn status(&self) -> Option<&ConnectionStatus> {
        self.status.as_ref()
    }

    fn terms(&self) -> Terms {
        Terms { access: Access::Rules(self.spec.allowed_namespaces.clone()), adoption: self.spec.allows_adoption() }
    }

    fn secrets_namespace(_: &ObjectMeta, operators: &str) -> String {
        operators.to_owned()
    }

    /// An administrator's: not restricted.
    fn reach(_: bool) -> Reach {
        Reach::Anywhere
    }

    fn reconciles(metrics: &Metrics) -> &Reconciles {
        &metrics.cluster_connections
    }

    fn api(client: &Client, _: &ObjectMeta) -> Api<Self> {
        Api::all(client.clone())
    }
}

/// `namespace/name`, or the name alone, for the log.
pub(super) fn path(metadata: &ObjectMeta) -> String {
    let name = metadata.name.as_deref().unwrap_or_default();
    metadata.namespace.as_ref().map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"))
}

/// The newer of two states of one object.
pub(super) fn newest<K: ConnectionObject>(ours: Option<K>, cached: K) -> K {
    let number = |object: &K| object.resource_version().and_then(|version| version.parse::<u64>().ok());
    match ours {
        Some(ours) if ours.uid() == cached.uid() && number(&ours) > number(&cached) => ours,
        Some(_) | None => cached,
    }
}
