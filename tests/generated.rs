//! The generated files are up to date, and the roles among them give no more than they should.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[allow(dead_code, reason = "it is a program too")]
#[path = "../hack/generate.rs"]
mod generate;

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

const CLUSTER_WIDE: &str = include_str!("../examples/install/rbac.yaml");
const NAMESPACED: &str = include_str!("../examples/install/rbac-namespaced.yaml");

fn objects(yaml: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(yaml).map(|document| Value::deserialize(document).unwrap()).collect()
}

fn words(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

/// Every rule of every role in a file: resources and verbs, with the namespace of the role.
fn rules(objects: &[Value]) -> Vec<(Option<&str>, Vec<&str>, Vec<&str>)> {
    let roles = objects.iter().filter(|object| object["rules"].is_array());
    roles
        .flat_map(|role| {
            let namespace = role["metadata"]["namespace"].as_str();
            let rules = role["rules"].as_array().unwrap().iter();
            rules.map(move |rule| (namespace, words(&rule["resources"]), words(&rule["verbs"])))
        })
        .collect()
}

#[test]
fn files_are_up_to_date() {
    let stale: Vec<_> = generate::stale().unwrap().into_iter().map(|(path, _)| path).collect();
    assert!(stale.is_empty(), "run `make generate`: {stale:?}");
}

#[test]
fn nothing_is_given_that_could_do_harm() {
    for yaml in [CLUSTER_WIDE, NAMESPACED] {
        let objects = objects(yaml);
        let rules = rules(&objects);
        assert!(rules.len() >= 5, "{rules:?}");
        // Who leads is written in the operator's own namespace, and nowhere else.
        assert!(
            rules
                .iter()
                .all(|(namespace, resources, _)| resources[0] != "leases" || *namespace == Some("orion-system"))
        );
        for (_, resources, verbs) in rules {
            assert!(!resources.iter().chain(&verbs).any(|word| word.contains('*')), "{resources:?} {verbs:?}");
            let allowed: &[&str] = match resources[0] {
                "secrets" | "namespaces" => &["get", "list", "watch"],
                "events" => &["create", "patch"],
                "leases" => &["get", "create", "update"],
                resource if resource.ends_with("/status") => &["patch"],
                "webhooks" | "clusterorionconnections" => &["get", "list", "watch", "patch"],
                resource => panic!("{resource}"),
            };
            assert!(verbs.iter().all(|verb| allowed.contains(verb)), "{resources:?} {verbs:?}");
            // What one of them may do is checked by the first.
            let kinds: BTreeSet<bool> = resources.iter().map(|resource| resource.contains("/status")).collect();
            let own =
                resources.iter().all(|resource| resource.contains("webhooks") || resource.contains("connections"));
            assert!(resources.len() == 1 || (own && kinds.len() == 1), "{resources:?}");
        }
        let groups = objects.iter().flat_map(|object| object["rules"].as_array().into_iter().flatten());
        for group in groups.flat_map(|rule| words(&rule["apiGroups"])) {
            assert!(["", "orion-operator.dev", "events.k8s.io", "coordination.k8s.io"].contains(&group), "{group}");
        }
    }
}

#[test]
fn the_namespaced_form_has_roles_only() {
    let objects = objects(NAMESPACED);
    let kinds: BTreeSet<&str> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, BTreeSet::from(["Namespace", "ServiceAccount", "Role", "RoleBinding"]));
    for object in objects.iter().filter(|object| object["kind"].as_str().unwrap().starts_with("Role")) {
        assert!(object["metadata"]["namespace"].is_string(), "{object}");
        assert!(object["kind"] == "Role" || object["roleRef"]["kind"] == "Role", "{object}");
    }
    for (namespace, resources, verbs) in rules(&objects) {
        assert!(!resources[0].starts_with("cluster"), "{resources:?}");
        match namespace.unwrap() {
            "orion-system" if resources == ["namespaces"] => assert_eq!(verbs, ["get"]),
            "orion-system" => assert_eq!(resources, ["leases"]),
            namespace => assert!(namespace.starts_with("team-"), "{namespace}"),
        }
    }
}

/// Each role is bound, to the operator's ServiceAccount and to nobody else.
#[test]
fn roles_are_the_operators_alone() {
    let operator = json!([{"kind": "ServiceAccount", "name": "orion-operator", "namespace": "orion-system"}]);
    for (yaml, count) in [(CLUSTER_WIDE, 2), (NAMESPACED, 3)] {
        let objects = objects(yaml);
        let bindings: Vec<&Value> = objects.iter().filter(|object| object["roleRef"].is_object()).collect();
        assert_eq!(bindings.len(), count);
        assert_eq!(objects.iter().filter(|object| object["rules"].is_array()).count(), count);
        for binding in bindings {
            assert_eq!(binding["subjects"], operator);
            let role = objects.iter().find(|object| {
                object["kind"] == binding["roleRef"]["kind"]
                    && object["metadata"]["name"] == binding["roleRef"]["name"]
                    && object["metadata"]["namespace"] == binding["metadata"]["namespace"]
            });
            assert!(role.is_some(), "{binding}");
        }
    }
}

/// What the page tells to give to a team is enough, and is not what it warns of.
#[test]
fn the_role_of_a_team_gives_no_status() {
    let page = include_str!("../docs/security.md");
    let yaml = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let objects = objects(yaml);
    assert_eq!(rules(&objects).len(), 1);
    for (namespace, resources, verbs) in rules(&objects) {
        assert_eq!((namespace, resources), (Some("team-a"), vec!["webhooks", "orionconnections"]));
        assert!(verbs.contains(&"create") && !verbs.contains(&"*"), "{verbs:?}");
    }
}
