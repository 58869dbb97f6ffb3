//! Every file in `examples/`, applied by Flux and read back.

#[path = "../common/example_files.rs"]
mod example_files;

use example_files::{examples, is_webhook};
use serde_json::{Value, json};

use super::delivery::Delivery;
use super::stack::run;

#[test]
fn every_example_is_applied_once_and_read_back_without_a_difference() {
    run("every_example_is_applied_once_and_read_back_without_a_difference", async |stack| {
        // Two files may bring the same namespace.
        let mut all: Vec<(String, Value)> = Vec::new();
        for (file, objects) in examples() {
            for mut object in objects {
                let is_namespaced = !matches!(object["kind"].as_str(), Some("Namespace" | "ClusterOrionConnection"));
                if is_namespaced && object["metadata"]["namespace"].is_null() {
                    object["metadata"]["namespace"] = json!("examples");
                }
                if !all.iter().any(|(_, it)| *it == object) {
                    all.push((format!("{}-{file}", all.len()), object));
                }
            }
        }
        let files: Vec<(&str, String)> = all.iter().map(|(name, object)| (name.as_str(), object.to_string())).collect();
        // Some of them wait for what is not there.
        let more = json!({"wait": false, "targetNamespace": null, "deletionPolicy": "Orphan"});
        let (delivery, digest) = Delivery::start(stack, "examples", &files, more).await;
        delivery.turns_green(&digest).await;

        let ours: Vec<&Value> = all.iter().map(|(_, it)| it).filter(|it| it["spec"].is_object()).collect();
        assert!(ours.iter().filter(|it| is_webhook(it)).count() >= 10, "{}", ours.len());
        let stored = async || {
            let mut stored = Vec::new();
            for object in &ours {
                let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
                let mut args = vec!["get", text("/kind").unwrap(), text("/metadata/name").unwrap(), "-o", "json"];
                if let Some(namespace) = text("/metadata/namespace") {
                    args.extend(["-n", namespace]);
                }
                stored.push(serde_json::from_str::<Value>(&stack.plane.kubectl_ok(&args).await.unwrap()).unwrap());
            }
            stored
        };
        for (object, stored) in ours.iter().zip(stored().await) {
            assert_eq!(stored["spec"], object["spec"], "{}", object["metadata"]);
        }
        // Flux applies what differs only: nothing does.
        let applied = || stack.writes().iter().filter(|it| it.user_agent.contains("kustomize-controller")).count();
        let before = applied();
        assert!(before >= ours.len(), "{before}");
        for _ in 0..2 {
            stack.reconcile("Kustomization", "examples").await;
        }
        assert_eq!(applied(), before, "{:?}", stack.writes().last());
        let clean = ["delete", "webhook", "--all", "-A", "--wait=false"];
        stack.plane.kubectl_ok(&clean).await.unwrap();
        stack.delete("Kustomization", "examples").await;
    });
}
