//! Flux installs the chart, and keeps it.

use serde_json::json;

use super::rig::{OPERATORS, PATIENCE, example, operator, until, webhook};
use super::stack::{FLUX, ready, run};

#[test]
fn a_helm_release_installs_the_chart_and_keeps_it() {
    run("a_helm_release_installs_the_chart_and_keeps_it", async |stack| {
        let release = stack.get("HelmRelease", FLUX, "orion-operator").await.unwrap();
        let last = &release.data["status"]["history"][0];
        assert_eq!((&last["status"], &last["namespace"]), (&"deployed".into(), &OPERATORS.into()), "{last}");
        assert_eq!(last["chartVersion"].as_str().unwrap().split('+').next().unwrap(), env!("CARGO_PKG_VERSION"));
        let before = stack.definitions().await;
        assert_eq!(before.len(), 3);

        // What was changed by hand is put back.
        let replicas = async || {
            let args = ["get", "deployment", "orion-operator", "-n", OPERATORS, "-o", "jsonpath={.spec.replicas}"];
            stack.plane.kubectl_ok(&args).await.unwrap()
        };
        let scale = ["scale", "deployment", "orion-operator", "-n", OPERATORS, "--replicas=0"];
        stack.plane.kubectl_ok(&scale).await.unwrap();
        assert_eq!(replicas().await, "0");
        stack.reconcile("HelmRelease", "orion-operator").await;
        assert_eq!(replicas().await, "1");

        // Uninstalled, and installed again: Ready only with the pod, and the definitions are the same ones.
        stack.operator_ends();
        stack.delete("HelmRelease", "orion-operator").await;
        stack.is_gone("HelmRelease", "orion-operator").await;
        assert_eq!(stack.definitions().await, before);
        let meanwhile = stack.install().await;
        assert_eq!(meanwhile.0, "Unknown", "{meanwhile:?}");
        assert_eq!(stack.definitions().await, before);
    });
}

/// An older chart, and from it to the present one, as `ref.semver` has it.
#[test]
fn an_upgrade_of_the_chart_asks_nothing_of_orion() {
    run("an_upgrade_of_the_chart_asks_nothing_of_orion", async |stack| {
        let (old, file) = ("0.0.9", "files/crds/webhooks.orion-operator.dev.yaml");
        stack.push_chart(old, |chart| {
            let text = std::fs::read_to_string(chart.join(file)).unwrap();
            let changed = text.replacen("Echo of the annotation", "An older echo of the annotation", 1);
            assert_ne!(changed, text);
            std::fs::write(chart.join(file), changed).unwrap();
        });
        let object = |team: &str| {
            let mut object = webhook("upgraded", team);
            object["metadata"]["namespace"] = json!("default");
            object.to_string()
        };
        stack.plane.apply(&object("one")).await.unwrap();
        let stored = async || stack.webhooks("default").get("upgraded").await.unwrap();
        let is_ready = async || {
            let args = ["wait", "webhook/upgraded", "-n", "default", "--for=condition=Ready", "--timeout=60s"];
            stack.plane.kubectl_ok(&args).await.unwrap();
        };
        is_ready().await;
        let (definitions, before, requests) = (stack.definitions().await, stored().await, stack.sim.requests().len());
        let moves = async |versions: &str, to: &str| {
            stack.merge("OCIRepository", "orion-operator", json!({"ref": {"semver": versions}})).await;
            until(PATIENCE, to, async || {
                operator::pods_are_ready(&stack.plane).await;
                let release = stack.get("HelmRelease", FLUX, "orion-operator").await.unwrap();
                let last = &release.data["status"]["history"][0];
                let is_it = last["chartVersion"].as_str().unwrap().split('+').next() == Some(to);
                (is_it && last["status"] == "deployed" && ready(&release).0 == "True").then_some(())
            })
            .await;
            // What a kubelet would do: the pod of before ends, the next one begins.
            stack.operator_ends();
            stack.operator_starts().await;
        };
        let definition = async || {
            let get = ["get", "crd", "webhooks.orion-operator.dev", "-o", "yaml"];
            stack.plane.kubectl_ok(&get).await.unwrap().contains("An older echo")
        };
        moves("0.0.x", old).await;
        assert!(definition().await);
        moves("0.1.x", env!("CARGO_PKG_VERSION")).await;
        assert!(!definition().await, "definitions are upgraded");
        assert_eq!(stack.definitions().await, definitions);
        assert_eq!(stored().await, before);

        // The new one serves on, and nothing but that was asked of Orion meanwhile.
        stack.plane.apply(&object("two")).await.unwrap();
        until(PATIENCE, "the edit", async || (stack.team_at_orion("upgraded") == ["two"]).then_some(())).await;
        is_ready().await;
        let asked = stack.sim.requests();
        let changes: Vec<_> = asked.iter().skip(requests).filter(|it| it.method != "GET").collect();
        assert_eq!(changes.len(), 1, "{changes:?}");
        stack.plane.kubectl_ok(&["delete", "webhook", "upgraded", "-n", "default"]).await.unwrap();
    });
}

#[test]
fn the_page_shows_what_is_applied() {
    let page = include_str!("../../docs/gitops-flux.md");
    for file in ["source", "kustomization", "helmrelease"] {
        let path = format!("{}/examples/gitops/flux/{file}.yaml", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        assert!(page.contains(&format!("```yaml\n{text}```")), "{file}.yaml");
        assert!(!example(&format!("gitops/flux/{file}.yaml")).is_empty());
    }
}
