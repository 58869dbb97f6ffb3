//! What a sync waits for, and what fails it.

use devkit::sim::{Action, Fault, Operation};
use serde_json::{Value, json};

use super::application::{Application, State, marker};
use super::rig::{PATIENCE, TOKEN, example, until, webhook};
use super::stack::{Stack, run};

async fn is_there(stack: &Stack, kind: &str, namespace: &str, name: &str) -> bool {
    stack.plane.kubectl_ok(&["get", kind, name, "-n", namespace]).await.is_ok()
}

/// `examples/gitops/argocd/team.yaml` by the Application of `applications.yaml`, from nothing to Healthy and back.
#[test]
fn a_wave_waits_for_the_one_before_it() {
    run("a_wave_waits_for_the_one_before_it", async |stack| {
        let (team, presence) = ("team-a", "job-notifications");
        let mut objects: Vec<Value> =
            example("gitops/argocd/team.yaml").iter().map(|object| stack.here(object)).collect();
        objects.push(marker("after", "1"));
        let hold = Fault::on(Operation::Create, Action::status(503)).presence(presence);
        stack.sim.add_fault(hold);
        let app = Application::start(stack, team, &objects, json!({})).await;

        // Its Secret is missing: the connection holds the Webhook back.
        app.shows("the connection is waited for", |state| state.message.contains("OrionConnection/acme")).await;
        app.stays(|state| state.phase == "Running" && state.health_of("acme") == Some("Progressing")).await;
        assert!(!is_there(stack, "webhook", team, presence).await);

        // Orion does not create: the Webhook holds back what comes after it.
        let token = format!("--from-literal=token={TOKEN}");
        stack.plane.kubectl_ok(&["create", "secret", "generic", "orion", "-n", team, &token]).await.unwrap();
        app.shows("the Webhook is waited for", |state| state.message.contains(&format!("Webhook/{presence}"))).await;
        app.stays(|state| state.phase == "Running" && state.health_of(presence) == Some("Progressing")).await;
        assert!(!is_there(stack, "configmap", team, "after").await);

        stack.sim.clear_faults();
        app.is_well().await;
        assert!(is_there(stack, "configmap", team, "after").await);
        assert_eq!(stack.at_orion(presence).len(), 1);

        // The Application goes when the Webhook has gone, and that when Orion has deleted it.
        stack.sim.stop().await.unwrap();
        app.delete().await;
        until(PATIENCE, "the Webhook is being deleted", async || {
            let webhook = stack.webhooks(team).get(presence).await.unwrap();
            webhook.metadata.deletion_timestamp.map(|_| ())
        })
        .await;
        app.stays_there().await;
        stack.sim.restart().await.unwrap();
        app.is_gone().await;
        assert_eq!(stack.at_orion(presence).len(), 0);
        assert!(!is_there(stack, "orionconnection", team, "acme").await);
    });
}

#[test]
fn a_stalled_webhook_fails_the_sync() {
    run("a_stalled_webhook_fails_the_sync", async |stack| {
        stack.sim.add_fault(Fault::on(Operation::Create, Action::status(422)).presence("refused"));
        let objects = |team: &str| [webhook("refused", team), marker("after", "1")];
        let app = Application::start(stack, "refused", &objects("one"), json!({"retry": {"limit": 0}})).await;
        let state = app.shows("the sync has failed", |state| state.phase == "Failed").await;
        assert!(state.message.contains("one or more synchronization tasks completed unsuccessfully"), "{state:?}");
        let state = app.shows("Degraded", |state| state.health == "Degraded").await;
        assert_eq!(state.health_of("refused"), Some("Degraded"));
        let at = state.resources.iter().find(|it| it["name"] == "refused").unwrap();
        assert!(at["health"]["message"].as_str().unwrap().contains("422"), "{at}");
        assert!(!is_there(stack, "configmap", "refused", "after").await);

        // As the example has it, it is tried again, also with another commit: Orion takes this one.
        let mut retry = example("gitops/argocd/applications.yaml")[1]["spec"]["syncPolicy"]["retry"].clone();
        retry["backoff"] = json!({"duration": "1s"});
        app.merge(json!({"syncPolicy": {"retry": retry}})).await;
        app.push(&objects("two")).await;
        let is_retried = |state: &State| state.phase == "Running" && state.message.contains("Retrying attempt");
        app.shows("the sync is retried", is_retried).await;
        stack.sim.clear_faults();
        app.push(&objects("three")).await;
        app.is_well().await;
        assert_eq!(stack.team_at_orion("refused"), ["three"]);
        app.end().await;
    });
}

#[test]
fn nothing_is_healthy_before_the_operator_has_seen_it() {
    run("nothing_is_healthy_before_the_operator_has_seen_it", async |stack| {
        stack.operator_ends();
        let app = Application::start(stack, "unseen", &[webhook("unseen", "one")], json!({})).await;
        app.shows("applied", |state| state.sync == "Synced").await;
        app.stays(|state| state.health == "Progressing" && state.health_of("unseen") == Some("Progressing")).await;
        stack.operator_starts().await;
        app.is_well().await;
        assert_eq!(stack.team_at_orion("unseen"), ["one"]);

        // What was Healthy is not, once it is changed.
        stack.operator_ends();
        app.push(&[webhook("unseen", "two")]).await;
        app.shows("applied", |state| state.sync == "Synced").await;
        app.stays(|state| state.health == "Progressing").await;
        stack.operator_starts().await;
        app.is_well().await;
        assert_eq!(stack.team_at_orion("unseen"), ["two"]);
        app.end().await;
        assert_eq!(stack.at_orion("unseen").len(), 0);
    });
}
