//! The custom resource definitions without a cluster: their shape, and every rule from both sides.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeSet;
use std::path::PathBuf;

use common::webhook_cases::webhook;
use common::{KINDS, connection_cases, webhook_cases};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use orion_operator::api::{
    ConnectionKind, DeletionPolicy, OrionConnectionSpec, PATH_PREFIX, Schema, Violation, ViolationKind, Webhook, crds,
    file_name, parse_duration, to_yaml,
};
use serde_json::{Value, json};
use url::Url;

fn crd(kind: &str) -> CustomResourceDefinition {
    crds().into_iter().find(|crd| crd.spec.names.kind == kind).unwrap()
}

fn schema(kind: &str) -> Schema {
    Schema::new(&crd(kind)).unwrap()
}

/// Every schema of the definitions, with its path: the root, and what is below `properties`, `items` and the like.
fn schemas() -> Vec<(String, Value)> {
    fn descend(schema: &Value, path: &str, all: &mut Vec<(String, Value)>) {
        all.push((path.to_owned(), schema.clone()));
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            descend(property, &format!("{path}.{name}"), all);
        }
        for keyword in ["items", "additionalProperties"] {
            if schema[keyword].is_object() {
                descend(&schema[keyword], &format!("{path}[]"), all);
            }
        }
    }
    let mut all = Vec::new();
    for crd in crds() {
        for version in &crd.spec.versions {
            let root = serde_json::to_value(version.schema.as_ref().unwrap().open_api_v3_schema.as_ref()).unwrap();
            descend(&root, &crd.spec.names.kind, &mut all);
        }
    }
    all
}

fn verdict(violations: &[Violation]) -> String {
    violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[test]
fn files_are_up_to_date() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("crds");
    let names: BTreeSet<String> = crds().iter().map(file_name).collect();
    for crd in crds() {
        let file = std::fs::read_to_string(dir.join(file_name(&crd))).unwrap_or_default();
        assert!(file == to_yaml(&crd).unwrap(), "crds/{} is out of date: run `make generate`", file_name(&crd));
        assert_eq!(serde_yaml::from_str::<CustomResourceDefinition>(&file).unwrap(), crd);
    }
    let found: BTreeSet<String> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(found, names);
}

#[test]
fn definitions_have_their_names_columns_and_selectable_fields() {
    let webhook = [
        ("Ready", 0),
        ("Reason", 0),
        ("Presence", 0),
        ("Age", 0),
        ("URL", 1),
        ("ID", 1),
        ("Suspended", 1),
        ("Message", 1),
    ];
    let connection = [("Ready", 0), ("Reason", 0), ("URL", 0), ("Age", 0), ("Endpoint", 1), ("Message", 1)];
    for (kind, plural, short, scope, columns, selectable) in [
        ("Webhook", "webhooks", "owh", "Namespaced", &webhook[..], &[".spec.presenceName", ".spec.userId"][..]),
        ("OrionConnection", "orionconnections", "oconn", "Namespaced", &connection, &[]),
        ("ClusterOrionConnection", "clusterorionconnections", "coconn", "Cluster", &connection, &[]),
    ] {
        let crd = crd(kind);
        let names = &crd.spec.names;
        assert_eq!(crd.metadata.name, Some(format!("{plural}.orion-operator.dev")));
        assert_eq!((crd.spec.scope.as_str(), names.plural.as_str()), (scope, plural));
        assert_eq!(names.short_names, Some(vec![short.to_owned()]));
        assert_eq!(names.categories, Some(vec!["orion".to_owned()]));
        let version = &crd.spec.versions[0];
        let found = version.additional_printer_columns.iter().flatten();
        let found: Vec<(&str, i32)> = found.map(|it| (it.name.as_str(), it.priority.unwrap_or(0))).collect();
        assert_eq!(found, columns, "{kind}");
        let found: Vec<&str> = version.selectable_fields.iter().flatten().map(|it| it.json_path.as_str()).collect();
        assert_eq!(found, selectable, "{kind}");
        assert!(version.subresources.as_ref().unwrap().status.is_some());
    }
}

#[test]
fn only_status_has_a_default() {
    for (path, schema) in schemas() {
        if path.ends_with(".status") && path.matches('.').count() == 1 {
            assert_eq!(schema["default"], json!({"observedGeneration": -1}), "{path}");
        } else {
            assert!(schema.get("default").is_none(), "{path} has a default");
        }
    }
}

#[test]
fn every_field_has_a_description_and_none_is_nullable_or_unsigned() {
    for (path, schema) in schemas() {
        // The entry of a plain list is no field: its list says what it is.
        let is_entry = path.ends_with("[]") && schema["type"] == "string";
        let is_described = schema["description"].as_str().is_some_and(|text| !text.is_empty());
        assert!(is_described || is_entry, "{path} has no description");
        assert!(schema.get("nullable").is_none(), "{path} is nullable");
        assert!(!schema["format"].as_str().unwrap_or_default().starts_with("uint"), "{path} is unsigned");
    }
}

#[test]
fn every_rule_has_a_message_for_people() {
    for (path, schema) in schemas() {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let message = rule["message"].as_str().unwrap();
            assert!(message.starts_with("must ") || message.starts_with("cannot "), "{path}: {message}");
        }
        // CEL cost is estimated from these bounds, so what a rule may see must have them.
        if path.contains(".spec.") {
            match schema["type"].as_str().unwrap() {
                "string" => assert!(schema["maxLength"].is_u64() || schema["enum"].is_array(), "{path}"),
                "array" => assert!(schema["maxItems"].is_u64(), "{path}"),
                _ => {}
            }
        }
    }
}

/// `Schema` would pass over a keyword that it does not know (like `oneOf`), and so accept what the apiserver refuses.
#[test]
fn only_keywords_are_used_that_validation_knows() {
    let known = [
        "type",
        "description",
        "title",
        "default",
        "properties",
        "required",
        "items",
        "additionalProperties",
        "enum",
        "pattern",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-validations",
        "x-kubernetes-preserve-unknown-fields",
    ];
    for (path, schema) in schemas() {
        for keyword in schema.as_object().unwrap().keys() {
            assert!(
                known.contains(&keyword.as_str()) || keyword == "format" && path.contains(".status"),
                "{path} uses {keyword}"
            );
        }
    }
}

#[test]
fn every_case_has_its_verdict() {
    for kind in KINDS {
        let schema = schema(kind.name);
        for case in (kind.cases)() {
            let violations = schema.validate(&case.object);
            let text = verdict(&violations);
            match case.refused_at {
                None => assert!(violations.is_empty(), "{}: {} should be accepted: {text}", kind.name, case.name),
                Some(field) => {
                    assert!(
                        violations.iter().any(|found| found.field == field),
                        "{}: {} should be refused at {field}: {text}",
                        kind.name,
                        case.name
                    );
                }
            }
        }
    }
}

#[test]
fn complaints_are_for_people() {
    let schema = schema("ClusterOrionConnection");
    for (object, field, words) in connection_cases::complaints() {
        assert_eq!(verdict(&schema.validate(&object)), format!("{field}: {words}"));
    }
}

#[test]
fn every_update_has_its_verdict() {
    for kind in KINDS {
        let schema = schema(kind.name);
        for case in (kind.updates)() {
            assert!(schema.validate(&case.old).is_empty(), "{}: the stored object must be valid", case.name);
            let violations = schema.validate_update(&case.old, &case.new);
            let fields: Vec<&str> = violations.iter().map(|found| found.field.as_str()).collect();
            assert_eq!(fields, Vec::from_iter(case.refused_at), "{}: {}", case.name, verdict(&violations));
        }
    }
}

/// Takes out one rule after the other: each must be missed by a case, so none is untested or superfluous.
#[test]
fn every_rule_is_needed_by_a_case() {
    const BOUNDS: [&str; 9] = [
        "enum",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "pattern",
        "x-kubernetes-list-type",
    ];
    const LISTS: [&str; 2] = ["required", "x-kubernetes-validations"];
    /// Collects JSON pointers to rules, each with the field that it is for.
    fn find(schema: &Value, pointer: &str, field: &str, found: &mut Vec<(String, String)>) {
        let bounds = BOUNDS.iter().filter(|bound| !schema[**bound].is_null()).map(|bound| (*bound).to_owned());
        let entries = |list: &str| 0..schema[list].as_array().map_or(0, Vec::len);
        let lists = LISTS.iter().flat_map(|list| entries(list).map(move |index| format!("{list}/{index}")));
        found.extend(bounds.chain(lists).map(|rule| (format!("{pointer}/{rule}"), field.to_owned())));
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            find(property, &format!("{pointer}/properties/{name}"), &format!("{field}.{name}"), found);
        }
        if schema["items"].is_object() {
            find(&schema["items"], &format!("{pointer}/items"), &format!("{field}[0]"), found);
        }
        if schema["additionalProperties"].is_object() {
            find(&schema["additionalProperties"], &format!("{pointer}/additionalProperties"), field, found);
        }
    }
    const SPEC: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    for kind in KINDS {
        let whole = serde_json::to_value(crd(kind.name)).unwrap();
        let mut rules = Vec::new();
        find(whole.pointer(SPEC).unwrap(), SPEC, "spec", &mut rules);
        assert!(rules.len() > 30, "{rules:?}");
        let (cases, updates) = ((kind.cases)(), (kind.updates)());
        for (pointer, field) in rules {
            let mut lacking = whole.clone();
            let (parent, last) = pointer.rsplit_once('/').unwrap();
            let holder = lacking.pointer_mut(parent).unwrap();
            if let Some(entries) = holder.as_array_mut() {
                entries.remove(last.parse().unwrap());
            } else {
                holder.as_object_mut().unwrap().remove(last).unwrap();
            }
            let schema = Schema::new(&serde_json::from_value(lacking).unwrap()).unwrap();
            let missed = |violations: Vec<Violation>, field: &str| !violations.iter().any(|found| found.field == field);
            // Only a case that is refused at the field of the rule, or below it, can miss it.
            let by_case = cases.iter().any(|case| {
                case.refused_at.is_some_and(|at| at.starts_with(&field) && missed(schema.validate(&case.object), at))
            });
            let by_update = updates.iter().any(|case| {
                case.refused_at.is_some_and(|field| missed(schema.validate_update(&case.old, &case.new), field))
            });
            assert!(by_case || by_update, "{}: no case misses {pointer}", kind.name);
        }
    }
}

/// What the schema lets through, the code must be able to use.
#[test]
fn accepted_values_can_be_used() {
    for case in webhook_cases::cases().into_iter().filter(|case| case.refused_at.is_none()) {
        let webhook: Webhook = serde_json::from_value(case.object).unwrap();
        let url = Url::parse(&webhook.spec.url).unwrap();
        assert!(matches!(url.scheme(), "http" | "https") && url.has_host(), "{}", case.name);
        assert!(url.username().is_empty() && url.password().is_none(), "{}", case.name);
        if let Some(interval) = &webhook.spec.interval {
            parse_duration(interval).unwrap();
        }
    }
    let cases = [connection_cases::cases(), connection_cases::cluster_cases()].concat();
    for case in cases.into_iter().filter(|case| case.refused_at.is_none()) {
        let spec: OrionConnectionSpec = serde_json::from_value(case.object["spec"].clone()).unwrap();
        let endpoint = spec.endpoint().unwrap_or_else(|why| panic!("{}: {why}", case.name));
        let prefix = spec.path_prefix.as_deref().unwrap_or(PATH_PREFIX).trim_end_matches('/');
        // As a client would send it: no part of the prefix becomes part of the host, or is lost.
        let url = Url::parse(&format!("{endpoint}/webhooks")).unwrap();
        assert_eq!(url.path(), format!("{prefix}/webhooks"), "{}", case.name);
        assert_eq!(url.origin(), Url::parse(&spec.url).unwrap().origin(), "{}", case.name);
        spec.timeout().unwrap_or_else(|why| panic!("{}: {why}", case.name));
    }
}

#[test]
fn the_envelope_is_checked() {
    let schema = schema("Webhook");
    for (pointer, value, field, kind) in [
        ("/apiVersion", json!("orion-operator.dev/v1"), "apiVersion", ViolationKind::Enum),
        ("/kind", json!("Webhooks"), "kind", ViolationKind::Enum),
        ("/metadata", json!({}), "metadata.name", ViolationKind::Required),
        ("/metadata", json!({"name": "A"}), "metadata.name", ViolationKind::Pattern),
        ("/metadata", json!({"name": "a".repeat(254)}), "metadata.name", ViolationKind::Bound),
        ("/metadata", json!({"name": "a", "labels": {"a": 1}}), "metadata", ViolationKind::Type),
        ("/metadata", json!({"name": "a", "labelz": {}}), "metadata.labelz", ViolationKind::UnknownField),
        ("/metadata", json!(null), "metadata", ViolationKind::Type),
        ("/spec", json!("x"), "spec", ViolationKind::Type),
        ("/metadata", json!({"name": "a", "namespace": "a.b"}), "metadata.namespace", ViolationKind::Pattern),
        ("/metadata", json!({"name": "a", "namespace": "a".repeat(64)}), "metadata.namespace", ViolationKind::Bound),
        ("/metadata", json!({"name": "a", "generateName": "a..b"}), "metadata.generateName", ViolationKind::Pattern),
        ("/metadata", json!({"generateName": "A-"}), "metadata.generateName", ViolationKind::Pattern),
        ("/metadata", json!({"name": "a", "labels": {"a/b/c": ""}}), "metadata.labels.a/b/c", ViolationKind::Pattern),
        ("/metadata", json!({"name": "a", "labels": {"a": "b c"}}), "metadata.labels.a", ViolationKind::Pattern),
        ("/metadata", json!({"name": "a", "labels": {"a": "b".repeat(64)}}), "metadata.labels.a", ViolationKind::Bound),
        (
            "/metadata",
            json!({"name": "a", "annotations": {"a b": ""}}),
            "metadata.annotations.a b",
            ViolationKind::Pattern,
        ),
        (
            "/metadata",
            json!({"name": "a", "annotations": {"a": "b".repeat(256 * 1024)}}),
            "metadata.annotations",
            ViolationKind::Bound,
        ),
        ("/metadata", json!({"name": "a", "finalizers": ["a b"]}), "metadata.finalizers[0]", ViolationKind::Pattern),
        (
            "/metadata",
            json!({"name": "a", "ownerReferences": [{"apiVersion": "v1", "kind": "A", "name": "a", "uid": ""}]}),
            "metadata.ownerReferences[0].uid",
            ViolationKind::Required,
        ),
        (
            "/metadata",
            json!({"name": "a", "ownerReferences": [{"apiVersion": "v1", "kind": "A", "name": "a", "uid": "u", "x": 1}]}),
            "metadata.ownerReferences[0].x",
            ViolationKind::UnknownField,
        ),
    ] {
        let mut object = webhook(json!({}));
        *object.pointer_mut(pointer).unwrap() = value;
        let found: Vec<_> = schema.validate(&object).into_iter().map(|found| (found.field, found.kind)).collect();
        assert_eq!(found, [(field.to_owned(), kind)], "{pointer}");
    }
    let mut generated = webhook(json!({}));
    generated["metadata"] = json!({"generateName": "a-", "creationTimestamp": null, "labels": {}});
    assert_eq!(verdict(&schema.validate(&generated)), "");
    generated["metadata"] = json!({
        "name": "a", "generateName": "A-", "namespace": "team-a", "labels": {"example.com/a": "", "b": null},
        "annotations": {"Example.com/A": "any ä"}, "finalizers": ["example.com/a"],
    });
    assert_eq!(verdict(&schema.validate(&generated)), "");
    // A status is dropped, whatever it holds: only names that are not there are told.
    generated["status"] = json!("x");
    assert_eq!(verdict(&schema.validate(&generated)), "");
    generated["status"] = json!({"observedGeneration": "x", "phase": 1});
    assert_eq!(verdict(&schema.validate(&generated)), "status.phase: unknown field");
    generated.as_object_mut().unwrap().remove("status");
    generated["stats"] = json!({});
    assert_eq!(verdict(&schema.validate(&generated)), "stats: unknown field");
    for nothing in [json!(null), json!([]), json!("x"), json!({})] {
        assert!(!schema.validate(&nothing).is_empty() && !schema.is_for(&nothing), "{nothing}");
    }
    assert!(schema.is_for(&webhook(json!({}))));
}

#[test]
fn kinds_of_violations_are_told_apart() {
    let schema = schema("Webhook");
    for (spec, kind) in [
        (json!({"urll": 1}), ViolationKind::UnknownField),
        (json!({"userId": 1}), ViolationKind::Type),
        (json!({"userId": null}), ViolationKind::Required),
        (json!({"userId": ""}), ViolationKind::Bound),
        (json!({"deletionPolicy": "x"}), ViolationKind::Enum),
        (json!({"interval": "x1"}), ViolationKind::Rule),
    ] {
        let kinds: Vec<_> = schema.validate(&webhook(spec.clone())).into_iter().map(|found| found.kind).collect();
        assert_eq!(kinds, [kind], "{spec}");
    }
}

/// Keywords that the operator's own definitions do not use now.
#[test]
fn keywords_are_read_from_any_definition() {
    let mut crd = crd("Webhook");
    let root = crd.spec.versions[0].schema.as_mut().unwrap().open_api_v3_schema.as_mut().unwrap();
    let spec = serde_json::from_value(json!({
        "type": "object",
        "properties": {
            "pattern": {"type": "string", "pattern": "b+"},
            "number": {"type": "integer", "minimum": 1, "maximum": 3},
            "some": {"type": "array", "minItems": 1, "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "map": {"type": "object", "additionalProperties": {"type": "string"}},
            "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "nullable": {"type": "string", "nullable": true},
        },
    }))
    .unwrap();
    root.properties.as_mut().unwrap().insert("spec".into(), spec);
    let schema = Schema::new(&crd).unwrap();
    for (field, value, expected) in [
        ("pattern", json!("abbc"), ""),
        ("pattern", json!("a"), "spec.pattern: must match b+"),
        ("number", json!(3), ""),
        ("number", json!(3.0), ""),
        ("number", json!(0), "spec.number: must be at least 1"),
        ("number", json!(4), "spec.number: must be at most 3"),
        ("number", json!(1.5), "spec.number: must be of type integer"),
        ("some", json!(["a", "b"]), ""),
        ("some", json!([]), "spec.some: must have at least 1 entries"),
        ("some", json!(["a", "a"]), "spec.some[1]: is in the list twice"),
        ("map", json!({"a": "b", "c": null}), ""),
        ("map", json!({"a": 1}), "spec.map.a: must be of type string"),
        ("open", json!({"a": {"b": 1}}), ""),
        ("nullable", json!(null), ""),
    ] {
        let mut object = webhook(json!({}));
        object["spec"] = json!({ field: value });
        assert_eq!(verdict(&schema.validate(&object)), expected, "{field}");
    }
}

/// An object stored under another version's schema must not keep all others from being read.
#[test]
fn objects_of_other_schemas_decode() {
    let object = webhook(json!({
        "headers": null,
        "connectionRef": {"kind": "GalaxyOrionConnection", "name": "acme", "region": "eu"},
        "deletionPolicy": "Archive",
        "adopt": null,
        "priority": 7,
    }));
    let mut stored = object.clone();
    stored["status"] = json!({"conditions": null, "appliedSecrets": null, "phase": "x"});
    let webhook: Webhook = serde_json::from_value(stored).unwrap();
    assert_eq!(webhook.spec.deletion_policy(), DeletionPolicy::Unknown);
    assert_eq!(webhook.spec.connection_ref.unwrap().kind, Some(ConnectionKind::Unknown));
    let text = serde_yaml::to_string(&crds()).unwrap();
    assert!(!text.contains("Unknown\n"), "the catch-all is not in the schema");
}
