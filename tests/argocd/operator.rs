//! Argo CD installs the chart, and keeps it.

use super::application::Application;
use super::rig::{OPERATORS, PATIENCE, example, operator, until, webhook};
use super::stack::run;
use serde_json::json;

#[test]
fn an_application_installs_the_chart_and_keeps_it() {
    run("an_application_installs_the_chart_and_keeps_it", async |stack| {
        let object = stack.here(&example("gitops/argocd/applications.yaml")[0]);
        let app = Application::of(stack, object).await;
        app.is_well().await;
        let definitions = stack.definitions().await;
        assert_eq!(definitions.len(), 3);
        app.stays(|state| state.sync == "Synced").await;

        // What was changed by hand is put back.
        let replicas = async || {
            let args = ["get", "deployment", "orion-operator", "-n", OPERATORS, "-o", "jsonpath={.spec.replicas}"];
            stack.plane.kubectl_ok(&args).await.unwrap()
        };
        let scale = ["scale", "deployment", "orion-operator", "-n", OPERATORS, "--replicas=0"];
        stack.plane.kubectl_ok(&scale).await.unwrap();
        until(PATIENCE, "scaled back", async || (replicas().await == "1").then_some(())).await;
        until(PATIENCE, "healthy again", async || {
            operator::pods_are_ready(&stack.plane).await;
            app.state().await.is_well().then_some(())
        })
        .await;

        // With its Application gone, the operator goes, and definitions and Webhooks stay.
        let team = Application::start(stack, "stays", &[webhook("stays", "one")], json!({})).await;
        team.is_well().await;
        stack.operator_ends();
        app.cascade().await;
        app.is_gone().await;
        let deployments = ["get", "deployment", "-n", OPERATORS, "-o", "name"];
        assert_eq!(stack.plane.kubectl_ok(&deployments).await.unwrap(), "");
        assert_eq!(stack.definitions().await, definitions);
        team.is_well().await;
        stack.install().await;
        assert_eq!(stack.definitions().await, definitions);
        team.end().await;
        assert_eq!(stack.at_orion("stays").len(), 0);
    });
}
