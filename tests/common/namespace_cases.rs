//! Good and bad rules of a `ClusterOrionConnection` about who may use it.

use serde_json::{Value, json};

use super::table::{Table, absent, changed, object_of};

/// Rules of `allowedNamespaces`.
pub(crate) fn allowed_namespaces(table: &mut Table) {
    let named = |count: usize| json!((0..count).map(|index| json!({"name": format!("a-{index}")})).collect::<Vec<_>>());
    let users = |count: usize| json!({"name": "a", "userIds": vec!["user-42"; count]});
    for (rules, refused_at) in [
        (Value::Null, None),
        (json!([]), None),
        (named(64), None),
        (named(65), Some("spec.allowedNamespaces")),
        (json!([null]), Some("spec.allowedNamespaces[0]")),
        (json!(["a"]), Some("spec.allowedNamespaces[0]")),
        (json!([{}]), Some("spec.allowedNamespaces[0]")),
        (json!([{"userIds": ["user-42"]}]), Some("spec.allowedNamespaces[0]")),
        (json!([{"name": null}]), Some("spec.allowedNamespaces[0]")),
        (json!([{"name": null, "selector": null}]), Some("spec.allowedNamespaces[0]")),
        (json!([{"name": "a", "selector": {}}]), Some("spec.allowedNamespaces[0]")),
        (json!([{"name": "a", "selector": null}]), None),
        (json!([{"name": null, "selector": {}}]), None),
        (json!([{"name": "a"}, {"name": "a", "userIds": ["user-42"]}]), None),
        (json!([{"name": "a"}, {"selector": {}, "name": "b"}]), Some("spec.allowedNamespaces[1]")),
        (json!([{"name": "a", "user": "user-42"}]), Some("spec.allowedNamespaces[0].user")),
        (json!([users(1024)]), None),
        (json!([users(1025)]), Some("spec.allowedNamespaces[0].userIds")),
        (json!([users(0)]), Some("spec.allowedNamespaces[0].userIds")),
        (json!([{"name": "a", "userIds": null}]), None),
        (json!([{"name": "a", "userIds": "user-42"}]), Some("spec.allowedNamespaces[0].userIds")),
        (json!([{"name": "a", "userIds": ["ä b", "x".repeat(256)]}]), None),
        (json!([{"name": "a", "userIds": [""]}]), Some("spec.allowedNamespaces[0].userIds[0]")),
        (json!([{"name": "a", "userIds": ["x".repeat(257)]}]), Some("spec.allowedNamespaces[0].userIds[0]")),
        (json!([{"name": "a", "userIds": [42]}]), Some("spec.allowedNamespaces[0].userIds[0]")),
    ] {
        let shown: String = rules.to_string().chars().take(80).collect();
        table.add(format!("allowedNamespaces {shown}"), object_of([("allowedNamespaces", rules)]), refused_at);
    }
    table.values(
        "namespace",
        "spec.allowedNamespaces[0].name",
        &[json!("a"), json!("0"), json!("team-a"), json!("a--b"), json!("a".repeat(63))],
        &[
            json!(""),
            json!("-a"),
            json!("a-"),
            json!("a.b"),
            json!("A"),
            json!("a_b"),
            json!("*"),
            json!("team-*"),
            json!("a\n"),
            json!("ä"),
            json!("a".repeat(64)),
            json!(7),
        ],
        |name| json!({"allowedNamespaces": [{"name": name}]}),
    );
}

/// Selectors of namespaces.
pub(crate) fn selectors(table: &mut Table) {
    let selector = |selector: Value| json!({"allowedNamespaces": [{"selector": selector}]});
    let expression = |expression: Value| selector(json!({"matchExpressions": [expression]}));
    for (given, refused_at) in [
        (json!({"matchLabels": {}}), None),
        (json!({"matchLabels": null, "matchExpressions": null}), None),
        (json!({"matchLabels": {"orion": "allowed", "example.com/team": "a", "empty": "", "x": "v".repeat(63)}}), None),
        (json!({"matchLabels": {"a": "v".repeat(64)}}), Some("spec.allowedNamespaces[0].selector.matchLabels.a")),
        (json!({"matchLabels": {"a": 1}}), Some("spec.allowedNamespaces[0].selector.matchLabels.a")),
        (json!({"matchLabels": ["a"]}), Some("spec.allowedNamespaces[0].selector.matchLabels")),
        (json!({"matchLabel": {"a": "b"}}), Some("spec.allowedNamespaces[0].selector.matchLabel")),
        (json!({"matchExpressions": vec![json!({"key": "a", "operator": "Exists"}); 16]}), None),
        (
            json!({"matchExpressions": vec![json!({"key": "a", "operator": "Exists"}); 17]}),
            Some("spec.allowedNamespaces[0].selector.matchExpressions"),
        ),
        (json!("orion=allowed"), Some("spec.allowedNamespaces[0].selector")),
    ] {
        let shown: String = given.to_string().chars().take(80).collect();
        table.add(format!("selector {shown}"), selector(given), refused_at);
    }
    let at = "spec.allowedNamespaces[0].selector.matchExpressions[0]";
    for (given, refused_at) in [
        (json!({"key": "a", "operator": "In", "values": ["b", "c"]}), None),
        (json!({"key": "a", "operator": "NotIn", "values": ["b"]}), None),
        (json!({"key": "a", "operator": "Exists"}), None),
        (json!({"key": "a", "operator": "DoesNotExist", "values": null}), None),
        (json!({"key": "a", "operator": "Exists", "values": []}), None),
        (json!({"key": "a", "operator": "In"}), Some(at)),
        (json!({"key": "a", "operator": "NotIn", "values": []}), Some(at)),
        (json!({"key": "a", "operator": "Exists", "values": ["b"]}), Some(at)),
        (json!({"key": "a", "operator": "DoesNotExist", "values": ["b"]}), Some(at)),
        (json!({"key": "a", "operator": "In", "values": vec!["b"; 64]}), None),
    ] {
        table.add(format!("requirement {given:.80}"), expression(given), refused_at);
    }
    let operator = |operator| expression(changed(json!({"key": "a"}), json!({ "operator": operator })));
    let bad = [json!("Like"), json!("in"), json!(""), json!("Equals"), absent(), json!(1)];
    table.values("operator", "spec.allowedNamespaces[0].selector.matchExpressions[0].operator", &[], &bad, operator);
    let values = |values| expression(json!({"key": "a", "operator": "In", "values": values}));
    let at = "spec.allowedNamespaces[0].selector.matchExpressions[0].values";
    table.values("values", at, &[], &[json!(vec!["b"; 65]), json!("b")], values);
    let at = "spec.allowedNamespaces[0].selector.matchExpressions[0].values[0]";
    table.values("values", at, &[json!(["b".repeat(63)])], &[json!(["b".repeat(64)]), json!([1])], values);
    let longest = format!("{}/{}", "a".repeat(253), "b".repeat(63));
    table.values(
        "label key",
        "spec.allowedNamespaces[0].selector.matchExpressions[0].key",
        &[json!("a"), json!("A_b.c-D"), json!("kubernetes.io/metadata.name"), json!("9/9"), json!(longest)],
        &[
            absent(),
            json!(""),
            json!("-a"),
            json!("a-"),
            json!("a b"),
            json!("a=b"),
            json!("/a"),
            json!("a/"),
            json!("a/b/c"),
            json!("Example.com/a"),
            json!("a".repeat(64)),
            json!("ä"),
            json!("a\n"),
            json!(format!("{}/b", "a".repeat(316))),
        ],
        |key| expression(changed(json!({"operator": "DoesNotExist"}), json!({ "key": key }))),
    );
}
