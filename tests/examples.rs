//! The files in `examples/` are what they say, without a cluster.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "common/example_files.rs"]
mod example_files;

use example_files::{examples, is_webhook, namespace_of};
use k8s_openapi::api::core::v1::Secret;
use orion_operator::api::{
    Access, ClusterOrionConnectionSpec, DeletionPolicy, OrionConnectionSpec, Permit, Schema, SecretKeyRef, Webhook,
    WebhookSpec, crds,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The spec as the operator reads it, written down again.
fn read_and_written(object: &Value) -> Value {
    fn through<T: DeserializeOwned + Serialize>(object: &Value) -> Value {
        serde_json::to_value(serde_json::from_value::<T>(object["spec"].clone()).unwrap()).unwrap()
    }
    match object["kind"].as_str().unwrap() {
        "Webhook" => through::<WebhookSpec>(object),
        "OrionConnection" => through::<OrionConnectionSpec>(object),
        "ClusterOrionConnection" => through::<ClusterOrionConnectionSpec>(object),
        kind => panic!("{kind}"),
    }
}

#[test]
fn every_example_decodes_without_loss_and_breaks_no_rule() {
    let schemas: Vec<Schema> = crds().iter().filter_map(Schema::new).collect();
    for (file, objects) in examples() {
        assert!(objects.iter().any(is_webhook), "{file} has no Webhook");
        for object in objects {
            if let Some(schema) = schemas.iter().find(|schema| schema.is_for(&object)) {
                let violations = schema.validate(&object);
                assert!(violations.is_empty(), "{file}: {violations:?}");
                assert_eq!(read_and_written(&object), object["spec"], "{file}");
            } else if object["kind"] == "Namespace" {
                assert_eq!(object.as_object().unwrap().len(), 3, "{file}");
            } else {
                let secret: Secret = serde_json::from_value(object).unwrap();
                assert!(secret.string_data.is_some_and(|data| !data.is_empty()), "{file}");
            }
        }
    }
}

/// Secrets that an object refers to, by name and key, and the namespace where they are read.
fn references(object: &Value) -> (Vec<(String, String)>, &str) {
    let pair = |it: &SecretKeyRef| (it.name.clone(), it.key.clone());
    let of_connection = |spec: &OrionConnectionSpec| {
        let login = spec.auth.password_secret_ref.as_ref();
        let login = login.map(|it| [it.username_key(), it.password_key()].map(|key| (it.name.clone(), key.to_owned())));
        let single = spec.auth.token_secret_ref.iter().chain(&spec.ca_secret_ref).map(pair);
        single.chain(login.into_iter().flatten()).collect::<Vec<_>>()
    };
    let spec = object["spec"].clone();
    match object["kind"].as_str().unwrap() {
        "Webhook" => {
            let spec: WebhookSpec = serde_json::from_value(spec).unwrap();
            let from = spec.headers.iter().filter_map(|header| header.value_from.as_ref());
            (from.map(|from| pair(&from.secret_key_ref)).collect(), namespace_of(object))
        }
        "OrionConnection" => (of_connection(&serde_json::from_value(spec).unwrap()), namespace_of(object)),
        "ClusterOrionConnection" => {
            let spec: ClusterOrionConnectionSpec = serde_json::from_value(spec).unwrap();
            (of_connection(&spec.connection), "orion-system")
        }
        _ => (Vec::new(), "default"),
    }
}

#[test]
fn the_secrets_that_an_example_refers_to_are_in_it() {
    let mut count = 0;
    for (file, objects) in examples() {
        for object in &objects {
            let (references, namespace) = references(object);
            for (name, key) in references {
                let there = objects.iter().any(|object| {
                    object["kind"] == "Secret"
                        && object["metadata"]["name"] == name
                        && namespace_of(object) == namespace
                        && object["stringData"][&key].is_string()
                });
                assert!(there, "{file}: no Secret {name} with {key} in {namespace}");
                count += 1;
            }
        }
    }
    assert!(count >= 8, "{count}");
}

/// A Webhook's connection is there, and lets it in.
#[test]
fn the_connections_that_an_example_refers_to_serve_it() {
    let objects: Vec<Value> = examples().into_iter().flat_map(|(_, objects)| objects).collect();
    let webhooks = objects.iter().filter(|object| is_webhook(object) && object["spec"]["connectionRef"].is_object());
    for object in webhooks {
        let webhook: Webhook = serde_json::from_value(object.clone()).unwrap();
        let reference = webhook.spec.connection_ref.unwrap();
        let kind = serde_json::to_value(reference.kind.unwrap_or_default()).unwrap();
        let is_it = |it: &&Value| it["kind"] == kind && it["metadata"]["name"] == reference.name;
        let connection = objects.iter().find(is_it).unwrap_or_else(|| panic!("no {kind} {}", reference.name));
        if kind == "OrionConnection" {
            assert_eq!(namespace_of(connection), namespace_of(object));
        } else {
            let spec: ClusterOrionConnectionSpec = serde_json::from_value(connection["spec"].clone()).unwrap();
            let access = Access::Rules(spec.allowed_namespaces);
            assert_eq!(access.permit(namespace_of(object), None, &webhook.spec.user_id), Permit::Granted);
        }
    }
}

#[test]
fn every_feature_has_an_example_and_no_two_share_a_name() {
    let kinds: Vec<Value> = examples().into_iter().flat_map(|(_, it)| it).map(|it| it["kind"].clone()).collect();
    for crd in crds() {
        assert!(kinds.contains(&crd.spec.names.kind.clone().into()), "no example of {}", crd.spec.names.kind);
    }
    let webhooks: Vec<Webhook> = examples()
        .into_iter()
        .flat_map(|(_, objects)| objects)
        .filter(is_webhook)
        .map(|object| serde_json::from_value(object).unwrap())
        .collect();
    let shown =
        |what: &str, shows: &dyn Fn(&Webhook) -> bool| assert!(webhooks.iter().any(shows), "no example of {what}");
    shown("headers", &|it| it.spec.headers.len() > 1);
    shown("suspend", &|it| it.spec.is_suspended());
    shown("interval", &|it| it.spec.interval.is_some());
    shown("deletionPolicy", &|it| it.spec.deletion_policy() == DeletionPolicy::Orphan);
    shown("adopt", &|it| it.spec.adopt.is_some());
    shown("connectionRef", &|it| it.spec.connection_ref.is_some());
    let mut names: Vec<_> = webhooks.iter().filter_map(|it| it.metadata.name.clone()).collect();
    names.sort();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all, "{names:?}");
}

#[test]
fn every_example_is_in_the_list() {
    let list = include_str!("../examples/README.md");
    for (file, _) in examples() {
        assert!(list.contains(&format!("[{file}]({file})")), "{file} is not in examples/README.md");
    }
}
