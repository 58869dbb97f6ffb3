//! `orion-operator doctor` in a cluster: definitions, rights, and connections that are objects.

use std::path::Path;
use std::process::Output;

use devkit::control_plane::{ControlPlane, Options};
use devkit::sim::Operation;
use orion_operator::api::InstanceId;
use serde_json::{Value, json};

use super::world::{TOKEN, World, forms, run};

const PASSWORD: &str = "pass-w0rd-of-the-doctor-1c9a";
const INSECURE: &str = "--allow-insecure-connections";

async fn doctor(kubeconfig: &Path, more: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_orion-operator"));
    command
        .args(["doctor", "--output", "json", "--operator-namespace", "orion-system"])
        .args(["--kubeconfig", kubeconfig.to_str().unwrap()])
        .args(more);
    command.output().await.unwrap()
}

/// What was found.
struct Found {
    code: Option<i32>,
    lines: Vec<(String, String, String)>,
}

async fn found(kubeconfig: &Path, more: &[&str]) -> Found {
    let output = doctor(kubeconfig, more).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    for form in [TOKEN, PASSWORD].iter().flat_map(|secret| forms(secret)) {
        assert!(!text.contains(&form), "{form} is told: {text}");
    }
    let all: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{text}"));
    let word = |line: &Value, field: &str| line[field].as_str().unwrap_or_default().to_owned();
    let told = |line: &Value| format!("{} -> {}", word(line, "found"), word(line, "todo"));
    let lines = all["checks"].as_array().unwrap().iter();
    let lines = lines.map(|line| (word(line, "check"), word(line, "status"), told(line))).collect();
    Found { code: output.status.code(), lines }
}

impl Found {
    #[track_caller]
    fn says(&self, check: &str, status: &str, words: &[&str]) -> &Self {
        let fits = |line: &(String, String, String)| {
            line.0 == check && line.1 == status && words.iter().all(|word| line.2.contains(word))
        };
        assert!(self.lines.iter().any(fits), "no {check} {status} {words:?}: {:#?}", self.lines);
        self
    }

    /// The first failure is this one.
    #[track_caller]
    fn fails(&self, check: &str, words: &[&str]) -> &Self {
        let first = self.lines.iter().find(|line| line.1 == "fail").map(|line| line.0.as_str());
        assert_eq!((first, self.code), (Some(check), Some(1)), "{:#?}", self.lines);
        self.says(check, "fail", words)
    }

    #[track_caller]
    fn passes(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{:#?}", self.lines);
        self
    }
}

#[test]
fn a_cluster_is_put_right_step_by_step() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let plane = ControlPlane::start(Options::default()).await.unwrap();
        let admin = plane.admin_kubeconfig().to_owned();
        let of_the_operator = &["--service-account", "orion-system/orion-operator"][..];

        let nothing = found(&admin, of_the_operator).await;
        nothing.fails("crds", &["webhooks.orion-operator.dev", "orion-operator crds | kubectl apply"]);
        nothing.says("cluster", "ok", &["v1."]).says("instance", "warn", &["orion-system", "--operator-namespace"]);
        let through = found(&admin, &["--connection", "team-a/acme"]).await;
        through.fails("crds", &["not installed"]).says("connection", "skipped", &["needs crds"]);

        // Who may not read definitions is told as well, by what the apiserver serves.
        plane.kubectl_ok(&["create", "serviceaccount", "nobody", "-n", "default"]).await.unwrap();
        let nobody = plane.service_account_kubeconfig("default", "nobody").await.unwrap();
        found(&nobody, &[]).await.fails("crds", &["not installed", "clusterorionconnections.orion-operator.dev"]);

        plane.install_crds(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/crds"))).await.unwrap();
        let no_rights = found(&admin, of_the_operator).await;
        no_rights.says("crds", "ok", &["3 definitions, with v1alpha1 as this build brings it"]);
        no_rights.fails("rbac", &["orion-system/orion-operator may not get, list, watch secrets", "rbac.yaml"]);

        let rbac = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/install/rbac.yaml");
        plane.kubectl_ok(&["apply", "-f", rbac]).await.unwrap();
        let good = found(&admin, of_the_operator).await;
        let uid = plane
            .kubectl_ok(&["get", "namespace", "orion-system", "-o", "jsonpath={.metadata.uid}"])
            .await
            .unwrap()
            .trim()
            .to_owned();
        good.says("instance", "ok", &[&uid, InstanceId::new(uid.clone()).prefix()]);
        good.passes().says("rbac", "ok", &["rights that the operator needs"]);
        found(&admin, &[]).await.passes().says("rbac", "ok", &["who runs this has all"]);
        let operator = plane.service_account_kubeconfig("orion-system", "orion-operator").await.unwrap();
        let itself = found(&operator, &[]).await;
        itself.passes().says("crds", "warn", &["is served", "may not read"]).says(
            "rbac",
            "ok",
            &["who runs this has all"],
        );
        found(&operator, of_the_operator).await.passes().says("rbac", "warn", &["cannot be asked"]);

        // One right less.
        let rule = r#"[{"op": "remove", "path": "/rules/0"}]"#;
        plane.kubectl_ok(&["patch", "clusterrole", "orion-operator", "--type=json", "-p", rule]).await.unwrap();
        found(&admin, of_the_operator).await.fails("rbac", &["may not"]);
        found(&operator, &[]).await.fails("rbac", &["who runs this may not", "--service-account"]);

        // Some namespaces only.
        let some = [of_the_operator, &["--watch-namespaces", "team-a,team-b"]].concat();
        found(&admin, &some).await.fails("rbac", &["in team-a"]).says("rbac", "fail", &["in team-b"]);

        // A definition of another version.
        let field = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/interval";
        let older = format!(r#"[{{"op": "remove", "path": "{field}"}}]"#);
        let name = "webhooks.orion-operator.dev";
        plane.kubectl_ok(&["patch", "crd", name, "--type=json", "-p", &older]).await.unwrap();
        found(&admin, &[]).await.passes().says("crds", "warn", &[name, "spec.properties.interval", "one version"]);
        plane.stop_apiserver().await;
        found(&admin, &[]).await.fails("cluster", &["cannot be reached", "kubeconfig"]);
    });
}

fn path(world: &World) -> String {
    format!("{}/acme", world.namespace)
}

#[test]
fn a_connection_is_looked_at_as_the_operator_would_use_it() {
    run(async |world| {
        let path = path(&world);
        let (admin, connection) = (world.plane.admin_kubeconfig(), ["--connection", path.as_str(), INSECURE]);
        let look = async || found(admin, &connection).await;
        look().await.fails("connection", &[&format!("there is no OrionConnection {path}")]);

        world.connection("acme", json!({"auth": {"tokenSecretRef": {"name": "orion", "key": "token"}}})).await;
        look().await.fails("connection", &["There is no Secret orion", "Create it"]).says("dns", "skipped", &[]);
        world.secret("orion", json!({"token": "not-the-t0ken"})).await;
        look().await.fails("login", &["401", "the Secret that spec.auth names"]);
        world.secret("orion", json!({"token": TOKEN})).await;
        let good = look().await;
        good.passes().says("login", "ok", &["accepts"]).says("connection", "warn", &["no operator has said"]);
        found(admin, &["--connection", &path]).await.fails("connection", &["https", INSECURE]);
        assert!(world.sim.requests().iter().all(|request| request.method == "GET"));
        found(admin, &[&connection[..], &["--write"]].concat()).await.passes().says("cleanup", "ok", &["gone"]);
        assert_eq!((world.calls(Operation::Create), world.sim.webhooks().len()), (1, 0));

        let of_the_operator = found(&world.kubeconfig, &connection).await;
        of_the_operator.passes().says("login", "ok", &["accepts"]);

        world.sim.config(|config| {
            config.username = "ada".into();
            config.password = PASSWORD.into();
        });
        let password = json!({"tokenSecretRef": null, "passwordSecretRef": {"name": "orion"}});
        world.connection("acme", json!({"auth": password, "ownership": "None"})).await;
        world.secret("orion", json!({"username": "ada", "password": "wrong"})).await;
        look().await.fails("login", &["does not accept the username and password", "the Secret orion"]);
        world.secret("orion", json!({"username": "ada", "password": PASSWORD})).await;
        look().await.passes().says("login", "ok", &["username"]).says("marker", "ok", &["ownership is None"]);

        let _operator = world.operator(&[INSECURE]).await;
        world.connection_is("acme", "True", "Synced").await;
        look().await.passes().says("connection", "ok", &["finds it Ready"]);
    });
}

#[test]
fn who_may_not_read_the_secret_is_told() {
    run(async |world| {
        let path = path(&world);
        world.secret("orion", json!({"token": TOKEN})).await;
        world.connection("acme", json!({"auth": {"tokenSecretRef": {"name": "orion", "key": "token"}}})).await;
        let namespace = &world.namespace;
        let role = json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "ada", "namespace": namespace}},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
                "metadata": {"name": "ada", "namespace": namespace},
                "rules": [{"apiGroups": ["orion-operator.dev"], "resources": ["orionconnections"], "verbs": ["get"]}]},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": {"name": "ada", "namespace": namespace},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "ada"},
                "subjects": [{"kind": "ServiceAccount", "name": "ada", "namespace": namespace}]},
        ]});
        world.plane.apply(&role.to_string()).await.unwrap();
        let ada = world.plane.service_account_kubeconfig(namespace, "ada").await.unwrap();
        let told = found(&ada, &["--connection", &path, INSECURE]).await;
        told.fails("connection", &["You may not read the Secret orion", "Use a kubeconfig"]);
        told.says("login", "skipped", &["needs connection"]).says("rbac", "fail", &["who runs this may not"]);
        let cluster = found(&ada, &["--connection", "acme"]).await;
        cluster.fails("connection", &["you may not read the ClusterOrionConnection acme"]);
    });
}
