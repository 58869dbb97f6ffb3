//! What the operator may do at the apiserver: one list, with the reason for each right. The roles in `examples/install`
//! and the table in `docs/security.md` are made of it (`make generate`).

/// A right: verbs on resources, and why.
#[derive(Clone, Copy, Debug)]
pub struct Right {
    /// API group; empty for the core one.
    pub group: &'static str,
    /// Resources, perhaps with a subresource.
    pub resources: &'static [&'static str],
    /// Verbs.
    pub verbs: &'static [&'static str],
    /// Where it is needed.
    pub place: Place,
    /// What for.
    pub why: &'static str,
}

/// Where a right is needed. There are two forms: all namespaces are watched, with a ClusterRole, or those of
/// `--watch-namespaces`, with Roles and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In both forms: in every namespace, or in each that is watched.
    Watched,
    /// Where all namespaces are watched: objects of the cluster, and what no Role could grant.
    ClusterWide,
    /// With `--watch-namespaces`: in each of them.
    EachWatched,
    /// With `--watch-namespaces`: in the operator's own namespace.
    Own,
    /// With `--leader-elect`: in the operator's own namespace.
    Leading,
}

impl Place {
    /// In words, for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Watched => "every watched namespace",
            Self::ClusterWide => "the cluster; not with `--watch-namespaces`",
            Self::EachWatched => "with `--watch-namespaces`, each of them",
            Self::Own => "with `--watch-namespaces`, the operator's own namespace",
            Self::Leading => "with `--leader-elect`, the operator's own namespace",
        }
    }
}

const GROUP: &str = super::GROUP;

/// Every right, and no more. Nobody is to be given what is not in it.
pub const RIGHTS: &[Right] = &[
    Right {
        group: GROUP,
        resources: &["webhooks", "orionconnections"],
        verbs: &["get", "list", "watch", "patch"],
        place: Place::Watched,
        why: "Finalizers and annotations are patched; a spec never is.",
    },
    Right {
        group: GROUP,
        resources: &["webhooks/status", "orionconnections/status"],
        verbs: &["patch"],
        place: Place::Watched,
        why: "To say what is true of them.",
    },
    Right {
        group: GROUP,
        resources: &["clusterorionconnections"],
        verbs: &["get", "list", "watch", "patch"],
        place: Place::ClusterWide,
        why: "The same for the connections of the cluster.",
    },
    Right {
        group: GROUP,
        resources: &["clusterorionconnections/status"],
        verbs: &["patch"],
        place: Place::ClusterWide,
        why: "To say what is true of them.",
    },
    Right {
        group: "",
        resources: &["secrets"],
        verbs: &["get", "list", "watch"],
        place: Place::Watched,
        why: "Values are read by get, of Secrets that are referred to; list and watch ask for metadata only, to see a rotation.",
    },
    Right {
        group: "",
        resources: &["namespaces"],
        verbs: &["get", "list", "watch"],
        place: Place::ClusterWide,
        why: "Labels for allowedNamespaces, whether a namespace is being deleted, and the UID of the operator's own.",
    },
    Right {
        group: "",
        resources: &["namespaces"],
        verbs: &["get"],
        place: Place::EachWatched,
        why: "Whether it is being deleted. In a Role this is the right to read that one namespace.",
    },
    Right {
        group: "",
        resources: &["namespaces"],
        verbs: &["get"],
        place: Place::Own,
        why: "Its UID is the instance id, unless --instance-id is given.",
    },
    Right {
        group: "events.k8s.io",
        resources: &["events"],
        verbs: &["create", "patch"],
        place: Place::Watched,
        why: "What has happened to an object. Those of a ClusterOrionConnection are in the namespace default.",
    },
    Right {
        group: "coordination.k8s.io",
        resources: &["leases"],
        verbs: &["get", "create", "update"],
        place: Place::Leading,
        why: "Which of several processes works. Without --leader-elect nobody asks for it.",
    },
];
