//! Which connection.

use std::fmt;

use kube::ResourceExt;

use super::object::Terms;
use crate::api::{Access, ConnectionKind, Webhook};

/// Names a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConnectionKey {
    /// The one of the operator's flags.
    Default,
    /// An `OrionConnection`.
    Namespaced {
        /// Its namespace, which is that of its Webhooks.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A `ClusterOrionConnection`.
    Cluster {
        /// Its name.
        name: String,
    },
}

impl ConnectionKey {
    /// The connection that a Webhook uses. `None` for a kind that this version does not know.
    #[must_use]
    pub fn of(webhook: &Webhook) -> Option<Self> {
        let Some(reference) = &webhook.spec.connection_ref else { return Some(Self::Default) };
        let name = reference.name.clone();
        match reference.kind.unwrap_or_default() {
            ConnectionKind::OrionConnection => {
                Some(Self::Namespaced { namespace: webhook.namespace().unwrap_or_default(), name })
            }
            ConnectionKind::ClusterOrionConnection => Some(Self::Cluster { name }),
            ConnectionKind::Unknown => None,
        }
    }

    /// It belongs to a tenant, and not to the administrator of the cluster.
    pub(in crate::controller) fn is_of_a_tenant(&self) -> bool {
        match self {
            Self::Namespaced { .. } => true,
            Self::Default | Self::Cluster { .. } => false,
        }
    }

    /// Who may use it where its object says nothing that can be read.
    pub(super) fn terms_of_nothing() -> Terms {
        // It offers nothing: whoever asks is told that it is not Ready, and not that it is not allowed.
        Terms { access: Access::All, adoption: false }
    }
}

/// As its users know it: their namespace is understood.
impl fmt::Display for ConnectionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default connection"),
            Self::Namespaced { name, .. } => write!(f, "OrionConnection {name}"),
            Self::Cluster { name } => write!(f, "ClusterOrionConnection {name}"),
        }
    }
}
