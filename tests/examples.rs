//! The files in `examples/` are what they say, without a cluster.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "common/example_files.rs"]
mod example_files;

use example_files::{examples, is_webhook};
use k8s_openapi::api::core::v1::Secret;
use orion_operator::api::{DeletionPolicy, Schema, Webhook, crds};
use serde_json::Value;

#[test]
fn every_example_decodes_without_loss_and_breaks_no_rule() {
    let schema = crds().iter().filter_map(Schema::new).find(|schema| schema.is_for(&any_webhook())).unwrap();
    for (file, objects) in examples() {
        assert!(objects.iter().any(is_webhook), "{file} has no Webhook");
        for object in objects {
            if is_webhook(&object) {
                let violations = schema.validate(&object);
                assert!(violations.is_empty(), "{file}: {violations:?}");
                let webhook: Webhook = serde_json::from_value(object.clone()).unwrap();
                assert_eq!(serde_json::to_value(&webhook.spec).unwrap(), object["spec"], "{file}");
            } else {
                let secret: Secret = serde_json::from_value(object).unwrap();
                assert!(secret.string_data.is_some_and(|data| !data.is_empty()), "{file}");
            }
        }
    }
}

#[test]
fn the_secrets_that_an_example_refers_to_are_in_it() {
    for (file, objects) in examples() {
        for object in objects.iter().filter(|object| is_webhook(object)) {
            let webhook: Webhook = serde_json::from_value(object.clone()).unwrap();
            let references = webhook.spec.headers.iter().filter_map(|header| header.value_from.as_ref());
            for reference in references.map(|from| &from.secret_key_ref) {
                let there = objects.iter().any(|object| {
                    object["kind"] == "Secret"
                        && object["metadata"]["name"] == reference.name
                        && object["stringData"][&reference.key].is_string()
                });
                assert!(there, "{file}: no Secret {} with {}", reference.name, reference.key);
            }
        }
    }
}

#[test]
fn every_feature_has_an_example_and_no_two_share_a_name() {
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

fn any_webhook() -> Value {
    serde_json::json!({"apiVersion": "orion-operator.dev/v1alpha1", "kind": "Webhook"})
}
