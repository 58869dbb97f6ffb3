//! What several tests share.

pub(crate) mod connection_cases;
pub(crate) mod namespace_cases;
pub(crate) mod table;
pub(crate) mod webhook_cases;
pub(crate) mod webhook_updates;

/// A custom resource with its cases.
pub(crate) struct Kind {
    /// Its name.
    pub(crate) name: &'static str,
    /// Good and bad objects.
    pub(crate) cases: fn() -> Vec<table::Case>,
    /// Good and bad changes of a stored object.
    pub(crate) updates: fn() -> Vec<table::UpdateCase>,
}

/// All of them.
pub(crate) const KINDS: [Kind; 3] = [
    Kind { name: "Webhook", cases: webhook_cases::cases, updates: webhook_updates::update_cases },
    Kind { name: "OrionConnection", cases: connection_cases::cases, updates: connection_cases::update_cases },
    Kind {
        name: "ClusterOrionConnection",
        cases: connection_cases::cluster_cases,
        updates: connection_cases::cluster_update_cases,
    },
];
