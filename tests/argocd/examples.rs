//! Every file in `examples/`, applied by Argo CD and compared with the cluster.

#[path = "../common/example_files.rs"]
mod example_files;

use std::collections::BTreeSet;

use example_files::{examples, is_webhook};
use serde_json::{Value, json};

use super::application::{Application, State};
use super::rig::{PATIENCE, until};
use super::stack::{Stack, run};

#[test]
fn every_example_is_applied_once_and_stays_synced() {
    run("every_example_is_applied_once_and_stays_synced", async |stack| {
        // Two files may bring the same object.
        let mut objects: Vec<Value> = Vec::new();
        for (_, of_a_file) in examples() {
            for object in of_a_file {
                if !objects.contains(&object) {
                    objects.push(object);
                }
            }
        }
        let ours: Vec<&Value> = objects.iter().filter(|it| it["spec"].is_object()).collect();
        assert!(ours.iter().filter(|it| is_webhook(it)).count() >= 10, "{}", ours.len());

        // As Argo CD applies by default, then by the apiserver: both times once.
        for (name, options) in [("examples", json!([])), ("examples-ssa", json!(["ServerSideApply=true"]))] {
            let before = applied(stack);
            let app = Application::start(stack, name, &objects, json!({"syncOptions": options})).await;
            let is_synced = |state: &State| state.sync == "Synced" && state.phase == "Succeeded";
            let state = app.shows("Synced", is_synced).await;
            let synced: BTreeSet<&str> = state.resources.iter().filter_map(|it| it["name"].as_str()).collect();
            for object in &objects {
                assert!(synced.contains(object["metadata"]["name"].as_str().unwrap()), "{}", object["metadata"]);
            }
            let once = applied(stack);
            assert!(once - before >= ours.len(), "{name}: {}", once - before);
            // Some Webhooks cannot be Ready here: what the operator tells of them is no difference.
            app.stays(is_synced).await;
            assert!(app.state().await.resources.iter().all(|it| it["status"] == "Synced"));
            assert_eq!(applied(stack), once, "{name}: {:?}", stack.writes().last());
            app.abandon().await;
        }
        let clean = ["delete", "webhook", "--all", "-A", "--wait=false"];
        stack.plane.kubectl_ok(&clean).await.unwrap();
        // A name that others take too.
        let gone = async || stack.at_orion("job-notifications").is_empty().then_some(());
        until(PATIENCE, "the examples are gone from Orion", gone).await;
    });
}

/// How often Argo CD has written an object of ours.
fn applied(stack: &Stack) -> usize {
    stack.writes().iter().filter(|it| it.user_agent.starts_with("argocd-application-controller")).count()
}
