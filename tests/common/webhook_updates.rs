//! Changes of a stored `Webhook`, good and bad: what is immutable, and what is not.

use serde_json::{Value, json};

use super::table::UpdateCase;
use super::webhook_cases::{header, webhook};

/// Every case of an update.
pub(crate) fn update_cases() -> Vec<UpdateCase> {
    let none = || json!({});
    let acme = || json!({"connectionRef": {"name": "acme"}});
    let with = |kind: Value, name: &str| json!({"connectionRef": {"kind": kind, "name": name}});
    let namespaced = || with(json!("OrionConnection"), "acme");
    let cluster = || with(json!("ClusterOrionConnection"), "acme");
    let refused = Some("spec.connectionRef");
    [
        ("no connection stays none", none(), none(), None),
        ("a connection stays", acme(), acme(), None),
        ("a cluster connection stays", cluster(), cluster(), None),
        ("the default kind is written", acme(), namespaced(), None),
        ("the default kind is left out", namespaced(), acme(), None),
        ("the default kind is nulled", namespaced(), with(Value::Null, "acme"), None),
        ("none becomes null", none(), json!({"connectionRef": null}), None),
        ("a connection is added", none(), acme(), refused),
        ("a connection is removed", acme(), none(), refused),
        ("a connection is nulled", acme(), json!({"connectionRef": null}), refused),
        ("the name changes", acme(), json!({"connectionRef": {"name": "other"}}), refused),
        ("the kind changes", namespaced(), cluster(), refused),
        ("the default kind changes", acme(), cluster(), refused),
        ("the kind changes to the default", cluster(), acme(), refused),
        (
            "everything else may change",
            json!({"connectionRef": {"name": "acme"}, "suspend": true, "headers": [header("X-A")], "adopt": {"id": "a"}}),
            json!({
                "connectionRef": {"name": "acme"}, "url": "http://example.com", "userId": "u", "presenceName": "p",
                "headers": [header("X-B"), header("X-C")], "deletionPolicy": "Orphan", "interval": "1h",
                "adopt": {"id": "b"},
            }),
            None,
        ),
        ("an update is checked like a create", none(), json!({"url": "ftp://example.com"}), Some("spec.url")),
    ]
    .into_iter()
    .map(|(name, old, new, refused_at)| UpdateCase { name, old: webhook(old), new: webhook(new), refused_at })
    .collect()
}
