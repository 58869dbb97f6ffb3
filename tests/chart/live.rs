//! The life of a release on a real kube-apiserver, with Helm and without.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::cluster::{Cluster, OWN, free_port, ports, until};
use super::page::{Desk, commands};
use super::schemas;
use super::tools::{CHART, ROOT, objects, of_kind, ok, run, sets_of_values, tool};

/// A chart as it could have been before this one: of another version, with a definition that lacks a column.
fn earlier(directory: &Path) -> String {
    let path = directory.join("earlier");
    ok(Command::new("cp").args(["-R", CHART, path.to_str().unwrap()]));
    let chart = std::fs::read_to_string(path.join("Chart.yaml")).unwrap();
    let version = format!("\nversion: {}", env!("CARGO_PKG_VERSION"));
    assert!(chart.contains(&version));
    std::fs::write(path.join("Chart.yaml"), chart.replace(&version, "\nversion: 0.0.1")).unwrap();
    let crd = path.join("files/crds/webhooks.orion-operator.dev.yaml");
    let text = std::fs::read_to_string(&crd).unwrap();
    let column = "    - jsonPath: .spec.presenceName\n      name: Presence\n      type: string\n";
    assert!(text.contains(column));
    std::fs::write(crd, text.replace(column, "")).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The life of a release: an earlier version, this one, gone with the definitions kept, back, and gone for good.
async fn lives(test: &str, helm: &str) {
    let Some(cluster) = Cluster::start(test, helm).await else { return };
    cluster.token_secret("").await;
    let url = format!("orion.url={}", cluster.sim.url());
    let [metrics, probes] = ports();
    let values = [url.as_str(), "orion.existingSecret=orion", &metrics, &probes];

    let release = cluster.release("install", &earlier(cluster.directory.path()), &values);
    cluster.holds(&release).await;
    let deployment = of_kind(&release, "Deployment");
    cluster.admits(&deployment["spec"]["template"]).await.unwrap();
    let mut careless = deployment["spec"]["template"].clone();
    careless["spec"]["containers"][0]["securityContext"] = json!({});
    let refused = cluster.admits(&careless).await.unwrap_err().to_string();
    assert!(refused.contains("violates PodSecurity"), "{refused}");
    let tests = cluster.helm(&["get", "hooks", "orion-operator"]);
    cluster.admits(of_kind(&objects(&tests), "Pod")).await.unwrap();
    let operator = cluster.operator(deployment).await;
    cluster.main_job("default", "first").await;
    drop(operator);
    let before = cluster.definitions().await;
    let webhook = cluster.json(&["get", "webhook", "first"]).await;

    let release = cluster.release("upgrade", CHART, &values);
    cluster.holds(&release).await;
    let after = cluster.definitions().await;
    let uids = |crds: &[Value]| crds.iter().map(|crd| crd["metadata"]["uid"].to_string()).collect::<BTreeSet<_>>();
    assert_eq!((before.len(), uids(&before)), (3, uids(&after)));
    let columns =
        |crds: &[Value]| crds.iter().map(|crd| crd.to_string().matches("\"Presence\"").count()).sum::<usize>();
    assert_eq!((columns(&before), columns(&after)), (0, 1), "the definition is upgraded too");
    assert_eq!(cluster.json(&["get", "webhook", "first"]).await, webhook, "nothing touches a Webhook");
    let operator = cluster.operator(of_kind(&release, "Deployment")).await;
    cluster.main_job("default", "second").await;
    drop(operator);

    let kept = cluster.json(&["get", "webhooks"]).await["items"].clone();
    cluster.helm(&["uninstall", "orion-operator"]);
    assert!(
        !cluster
            .is_there(&[
                "deployment,clusterrole,serviceaccount",
                "-n",
                OWN,
                "-l",
                "app.kubernetes.io/part-of=orion-operator"
            ])
            .await
    );
    let left = cluster.definitions().await;
    assert_eq!(uids(&left), uids(&before));
    assert!(left.iter().all(|crd| crd["metadata"]["deletionTimestamp"].is_null()), "{left:?}");
    assert_eq!(cluster.json(&["get", "webhooks"]).await["items"], kept);

    // A release of the same name takes over what it kept.
    let gone: Vec<&str> = values.iter().copied().chain(["crds.keep=false"]).collect();
    let release = cluster.release("install", CHART, &gone);
    assert_eq!(uids(&cluster.definitions().await), uids(&before));
    let operator = cluster.operator(of_kind(&release, "Deployment")).await;
    cluster.kubectl(&["delete", "webhooks", "--all", "--timeout=50s"]).await;
    assert_eq!(cluster.sim.webhooks().len(), 0);
    drop(operator);
    cluster.helm(&["uninstall", "orion-operator"]);
    until("the definitions are gone", async || cluster.definitions().await.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn helm_4_installs_upgrades_and_uninstalls() {
    lives("helm_4_installs_upgrades_and_uninstalls", "helm4").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn helm_3_installs_upgrades_and_uninstalls() {
    lives("helm_3_installs_upgrades_and_uninstalls", "helm3").await;
}

/// Roles only; and what is rendered where its definition is there.
#[tokio::test(flavor = "multi_thread")]
async fn some_namespaces_and_monitors_where_they_are_known() {
    let Some(cluster) = Cluster::start("some_namespaces_and_monitors_where_they_are_known", "helm4").await else {
        return;
    };
    cluster.plane.install_crds(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/crds"))).await.unwrap();
    cluster.kubectl(&["create", "namespace", "team-a"]).await;
    let url = format!("orion.url={}", cluster.sim.url());
    let [metrics, probes] = ports();
    let values = [
        url.as_str(),
        // As the simulator has it.
        "orion.auth=password",
        "orion.username=demo",
        "orion.password=demo-password",
        &metrics,
        &probes,
        "crds.enabled=false",
        "watchNamespaces={team-a}",
        "metrics.serviceMonitor.enabled=true",
    ];
    let release = cluster.release("install", CHART, &values);
    let kinds = |release: &[Value]| {
        release.iter().map(|object| object["kind"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let expected = ["Deployment", "Role", "RoleBinding", "Secret", "Service", "ServiceAccount"];
    assert_eq!(kinds(&release), expected.map(str::to_owned).into());
    cluster.holds(&release).await;
    cluster.admits(&of_kind(&release, "Deployment")["spec"]["template"]).await.unwrap();
    let operator = cluster.operator(of_kind(&release, "Deployment")).await;
    cluster.main_job("team-a", "mine").await;
    drop(operator);

    let strict: Vec<&str> = values.iter().copied().chain(["metrics.serviceMonitor.renderMode=failIfMissing"]).collect();
    let strict: Vec<&str> = strict.iter().flat_map(|value| ["--set", value]).collect();
    let args = [&["upgrade", "orion-operator", CHART, "-n", OWN][..], &strict].concat();
    let refused = run(cluster.helm.command(cluster.plane.admin_kubeconfig()).args(&args));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("the cluster has no ServiceMonitor"), "{refused:?}");
    // A stand-in for the definition of the Prometheus operator.
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "servicemonitors.monitoring.coreos.com", "annotations": {"api-approved.kubernetes.io": "unapproved"}},
        "spec": {
            "group": "monitoring.coreos.com", "scope": "Namespaced",
            "names": {"kind": "ServiceMonitor", "plural": "servicemonitors", "singular": "servicemonitor"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
        },
    });
    cluster.plane.apply(&crd.to_string()).await.unwrap();
    cluster
        .kubectl(&[
            "wait",
            "--for=condition=Established",
            "--timeout=30s",
            "crd",
            "servicemonitors.monitoring.coreos.com",
        ])
        .await;
    let release = cluster.release("upgrade", CHART, &values);
    assert!(kinds(&release).contains("ServiceMonitor"));
    cluster.holds(&release).await;
}

/// The apiserver takes every set of values, and so does kubeconform with the apiserver's own schemas.
#[tokio::test(flavor = "multi_thread")]
async fn the_apiserver_takes_every_set_of_values() {
    let test = "the_apiserver_takes_every_set_of_values";
    let Some(cluster) = Cluster::start(test, "helm4").await else { return };
    cluster.plane.install_crds(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/crds"))).await.unwrap();
    for namespace in ["team-a", "team-b"] {
        cluster.kubectl(&["create", "namespace", namespace]).await;
    }
    let schemas = cluster.directory.path().join("schemas");
    std::fs::create_dir(&schemas).unwrap();
    let openapi = serde_json::from_str(&cluster.kubectl(&["get", "--raw", "/openapi/v2"]).await).unwrap();
    assert!(schemas::write(&openapi, &schemas) > 100);
    let locations = schemas::locations(&schemas).map(|location| ["-schema-location".to_owned(), location]).concat();
    let kubeconform = tool(test, "kubeconform");
    let conforms = |file: &str| {
        // There are no schemas of these kinds here.
        let skipped = "ServiceMonitor,PodMonitor,PrometheusRule";
        let args = ["-strict", "-skip", skipped, file];
        kubeconform.as_ref().map(|path| run(Command::new(path).args(&locations).args(args)))
    };
    for values in sets_of_values() {
        let rendered = cluster.helm.template(&["-f", values.to_str().unwrap()]);
        let all = cluster.directory.path().join("all.yaml");
        std::fs::write(&all, &rendered).unwrap();
        if let Some(output) = conforms(all.to_str().unwrap()) {
            assert!(output.status.success(), "{values:?}: {}", String::from_utf8_lossy(&output.stdout));
        }
        // What the apiserver has definitions of.
        let known = objects(&rendered).into_iter().filter(|object| object["apiVersion"] != "monitoring.coreos.com/v1");
        let list = json!({"apiVersion": "v1", "kind": "List", "items": known.collect::<Vec<_>>()});
        let file = cluster.directory.path().join("known.json");
        std::fs::write(&file, list.to_string()).unwrap();
        let file = file.to_str().unwrap();
        let args = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", file];
        cluster.kubectl(&args).await;
        let deployment = of_kind(list["items"].as_array().unwrap(), "Deployment").clone();
        cluster.admits(&deployment["spec"]["template"]).await.unwrap();
    }
    // The check finds what it is for.
    let wrong = cluster.directory.path().join("wrong.yaml");
    let rendered = cluster.helm.template(&[]).replace("revisionHistoryLimit:", "revisionHistoryLimits:");
    std::fs::write(&wrong, rendered).unwrap();
    if let Some(output) = conforms(wrong.to_str().unwrap()) {
        assert!(!output.status.success(), "{output:?}");
    }
}

/// For people without Helm: as docs/install.md says. And who has the role edit may use Webhooks, not their status.
#[tokio::test(flavor = "multi_thread")]
async fn plain_manifests_do_the_main_job() {
    let Some(cluster) = Cluster::start("plain_manifests_do_the_main_job", "helm4").await else { return };
    Desk::new(&cluster).follow(&cluster, &commands("Without Helm")[0], &[]);
    let installed = cluster.json(&["get", "deployment", "orion-operator", "-n", OWN]).await;
    let image = &installed["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(image, "registry.example.com/orion-operator:0.1.0");
    let file = format!("{ROOT}/examples/install.yaml");
    cluster.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &file]).await;
    let manifests = objects(&std::fs::read_to_string(&file).unwrap());
    cluster.holds(&manifests).await;
    let mut deployment = of_kind(&manifests, "Deployment").clone();
    cluster.admits(&deployment["spec"]["template"]).await.unwrap();
    // The file's ports may be taken on this machine.
    let container = &mut deployment["spec"]["template"]["spec"]["containers"][0];
    for (index, old) in [8080, 8081].into_iter().enumerate() {
        let new = free_port();
        assert_eq!(container["ports"][index]["containerPort"], old);
        container["ports"][index]["containerPort"] = json!(new);
        for argument in container["args"].as_array_mut().unwrap() {
            *argument = json!(argument.as_str().unwrap().replace(&format!(":{old}"), &format!(":{new}")));
        }
    }
    let _operator = cluster.operator(&deployment).await;
    cluster.main_job("default", "plain").await;

    for (role, user) in [("edit", "editor"), ("view", "viewer")] {
        let (role, who) = (format!("--clusterrole={role}"), format!("--user={user}"));
        cluster.kubectl(&["create", "rolebinding", user, "-n", "default", &role, &who]).await;
    }
    let may = async |user: &str, args: &[&str]| {
        let user = format!("--as={user}");
        cluster.plane.kubectl_ok(&[&["auth", "can-i", "-n", "default", &user], args].concat()).await.is_ok()
    };
    let (webhooks, connections) = ("webhooks.orion-operator.dev", "orionconnections.orion-operator.dev");
    until("the roles are gathered", async || may("editor", &["create", webhooks]).await).await;
    until("the roles are gathered", async || may("viewer", &["list", webhooks]).await).await;
    assert!(may("editor", &["delete", connections]).await);
    assert!(!may("editor", &["patch", webhooks, "--subresource=status"]).await);
    assert!(!may("editor", &["create", "clusterorionconnections.orion-operator.dev"]).await);
    assert!(!may("viewer", &["create", webhooks]).await);
}
