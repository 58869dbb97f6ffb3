//! The actions, on a Webhook of a cluster.

use std::process::Command;

use orion_operator::api::REQUESTED_AT;
use serde_json::{Value, json};

use super::application::Application;
use super::rig::process::ROOT;
use super::rig::{PATIENCE, until, webhook};
use super::stack::run;

/// Argo CD's server runs an action's script on the object as it is, and patches what differs: `argocd admin` does the same
/// short of the patch.
#[test]
fn refresh_is_answered_and_is_no_difference() {
    run("refresh_is_answered_and_is_no_difference", async |stack| {
        let app = Application::start(stack, "asked", &[webhook("asked", "one")], json!({})).await;
        app.is_well().await;
        let looks = stack.sim.requests().len();
        let get = ["get", "webhook", "asked", "-n", "asked", "-o", "yaml"];
        let file = stack.directory.path().join("asked.yaml");
        std::fs::write(&file, stack.plane.kubectl_ok(&get).await.unwrap()).unwrap();
        let mut argocd = Command::new(stack.tools.get("argocd"));
        argocd.args(["admin", "settings", "resource-overrides", "run-action"]).arg(&file).arg("refresh");
        argocd.args(["--argocd-cm-path", &format!("{ROOT}/examples/gitops/argocd/argocd-cm.yaml")]);
        argocd.env("HOME", stack.directory.path()).env("KUBECTL_EXTERNAL_DIFF", r#"sh -c 'cat "$2"' -"#);
        let said = super::rig::process::ok(argocd.env("KUBECONFIG", "/dev/null"));
        let after = said.split_once("Following fields have been changed:\n").unwrap().1;
        let after: Value = serde_yaml::from_str(after).unwrap();
        let requested = after["metadata"]["annotations"][REQUESTED_AT].as_str().unwrap();
        let patch = json!({"metadata": {"annotations": {REQUESTED_AT: requested}}}).to_string();
        let args = ["patch", "webhook", "asked", "-n", "asked", "--type=merge", "-p", &patch];
        stack.plane.kubectl_ok(&args).await.unwrap();
        until(PATIENCE, "the refresh is answered", async || {
            let status = stack.webhooks("asked").get("asked").await.unwrap().status.unwrap();
            (status.last_handled_reconcile_at.as_deref() == Some(requested)).then_some(())
        })
        .await;
        assert!(stack.sim.requests().len() > looks);
        let writes = stack.writes().len();
        app.stays(|state| state.sync == "Synced" && state.health == "Healthy").await;
        assert_eq!(stack.writes().len(), writes, "neither Argo CD nor the operator: {:?}", stack.writes().last());
        app.end().await;
    });
}
