//! Flux installs the chart, and keeps it.

use super::stack::{FLUX, OPERATORS, Stack, example, run};

async fn definitions(stack: &Stack) -> Vec<String> {
    let args = [
        "get",
        "crd",
        "-o",
        r"jsonpath={range .items[?(@.spec.group=='orion-operator.dev')]}{.metadata.uid}{'\n'}{end}",
    ];
    stack.plane.kubectl_ok(&args).await.unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_helm_release_installs_the_chart_and_keeps_it() {
    run("a_helm_release_installs_the_chart_and_keeps_it", async |stack| {
        let release = stack.get("HelmRelease", FLUX, "orion-operator").await.unwrap();
        let last = &release.data["status"]["history"][0];
        assert_eq!((&last["status"], &last["namespace"]), (&"deployed".into(), &OPERATORS.into()), "{last}");
        assert_eq!(last["chartVersion"].as_str().unwrap().split('+').next().unwrap(), env!("CARGO_PKG_VERSION"));
        let before = definitions(stack).await;
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
        assert_eq!(definitions(stack).await, before);
        let meanwhile = stack.install().await;
        assert_eq!(meanwhile.0, "Unknown", "{meanwhile:?}");
        assert_eq!(definitions(stack).await, before);
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
