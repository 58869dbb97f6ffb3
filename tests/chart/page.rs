//! What `docs/install.md` tells to do, done: its blocks are run by bash as they are, but for the address of Orion, the
//! token, and what this machine asks for.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use devkit::sim::Operation;
use serde_json::{Value, json};

use super::cluster::{Cluster, OWN, Operator, TOKEN, free_port, until};
use super::tools::{ROOT, ok, run};

const PAGE: &str = include_str!("../../docs/install.md");
const ORION: &str = "https://your-orion.example.com";

/// The blocks of commands below a heading.
pub fn commands(heading: &str) -> Vec<String> {
    let page = PAGE.replace("\n### ", "\n## ");
    let section = page.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let fenced = section.split("\n```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
    fenced.filter(|(language, _)| language.is_empty()).map(|(_, text)| text.to_owned()).collect()
}

/// A folder to work in: with the repository's files that the page names, and the page's own.
pub struct Desk {
    folder: tempfile::TempDir,
    ports: [u16; 2],
}

impl Desk {
    pub fn new(cluster: &Cluster) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["charts", "crds", "examples"] {
            symlink(Path::new(ROOT).join(name), folder.path().join(name)).unwrap();
        }
        let bin = folder.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        let kubectl = PathBuf::from(cluster.plane.kubectl().as_std().get_program());
        symlink(kubectl, bin.join("kubectl")).unwrap();
        symlink(&cluster.helm.path, bin.join("helm")).unwrap();
        symlink(env!("CARGO_BIN_EXE_orion-operator"), bin.join("orion-operator")).unwrap();
        let desk = Self { folder, ports: [free_port(), free_port()] };
        desk.write("token", TOKEN);
        for yaml in PAGE.split("```yaml\n# ").skip(1) {
            let (name, rest) = yaml.split_once('\n').unwrap();
            let mut text = rest.split("```").next().unwrap().replace(ORION, &cluster.sim.url());
            if name == "values.yaml" {
                let [metrics, probes] = desk.ports;
                text += &format!("metrics: {{port: {metrics}}}\nprobes: {{port: {probes}}}\n");
                text += "extraArgs: [--create-settle=4s, --orion-timeout=1s, --interval=2s, --min-interval=1s]\n";
            }
            desk.write(name, &text);
        }
        desk
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// Does what a block of commands says; gives what it printed.
    pub fn follow(&self, cluster: &Cluster, block: &str, variables: &[(&str, &str)]) -> String {
        let text = block.replace(ORION, &cluster.sim.url()).replace("YOUR-TOKEN", TOKEN);
        // It is there already, with the label of a strict one.
        let text = text.replace("kubectl create namespace orion-system", "kubectl get namespace orion-system");
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", &text]).current_dir(self.folder.path());
        for (name, value) in cluster.helm.command(cluster.plane.admin_kubeconfig()).get_envs() {
            bash.env(name, value.unwrap());
        }
        let path = std::env::var("PATH").unwrap();
        bash.env("PATH", format!("{}:{path}", self.folder.path().join("bin").display()));
        ok(bash.envs(variables.iter().copied()))
    }
}

/// A cluster where the operator was installed with Helm as the page says, and runs.
async fn installed(test: &str, helm: &str) -> Option<(Cluster, Desk, Operator)> {
    let cluster = Cluster::start(test, helm).await?;
    let desk = Desk::new(&cluster);
    desk.follow(&cluster, &commands("With Helm")[0], &[]);
    let operator = operator(&cluster).await;
    Some((cluster, desk, operator))
}

async fn operator(cluster: &Cluster) -> Operator {
    let deployment = cluster.json(&["get", "deployment", "orion-operator", "-n", OWN]).await;
    cluster.operator(&deployment).await
}

/// The ids in the status of every Webhook, by name.
async fn ids(cluster: &Cluster) -> BTreeMap<String, String> {
    let all = cluster.json(&["get", "webhooks", "-A"]).await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let pair = |it: &Value| (text(&it["metadata"]["name"]), text(&it["status"]["webhookId"]));
    all["items"].as_array().unwrap().iter().map(pair).collect()
}

async fn all_are_ready(cluster: &Cluster) {
    cluster.kubectl(&["wait", "--for=condition=Ready", "--timeout=55s", "webhooks", "-A", "--all"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn install_upgrade_uninstall() {
    let Some((cluster, desk, operator)) = installed("install_upgrade_uninstall", "helm3").await else { return };
    let image = cluster.json(&["get", "deployment", "orion-operator", "-n", OWN]).await;
    let image = image["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned();
    assert!(image.starts_with("registry.example.com/orion-operator@sha256:"), "{image}");
    cluster.main_job("default", "first").await;
    let before = ids(&cluster).await;
    desk.follow(&cluster, &commands("Upgrade")[0], &[]);
    assert_eq!(ids(&cluster).await, before);
    desk.follow(&cluster, &commands("Uninstall")[0], &[]);
    assert!(cluster.sim.webhooks().is_empty());
    assert!(cluster.definitions().await.is_empty());
    drop(operator);
}

#[tokio::test(flavor = "multi_thread")]
async fn some_namespaces_only() {
    let Some(cluster) = Cluster::start("some_namespaces_only", "helm4").await else { return };
    let desk = Desk::new(&cluster);
    for namespace in ["team-a", "team-b"] {
        cluster.kubectl(&["create", "namespace", namespace]).await;
    }
    cluster.token_secret("").await;
    desk.follow(&cluster, &commands("Some namespaces only")[0], &[]);
    let roles = ["clusterroles,clusterrolebindings", "-l", "app.kubernetes.io/part-of=orion-operator"];
    assert!(!cluster.is_there(&roles).await);
    let _operator = operator(&cluster).await;
    cluster.main_job("team-a", "a").await;
    cluster.main_job("team-b", "b").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_is_gone_already() {
    let Some((cluster, desk, operator)) = installed("the_operator_is_gone_already", "helm4").await else { return };
    let name = "job-notifications";
    cluster.main_job("default", name).await;
    let id = ids(&cluster).await[name].clone();
    drop(operator);
    cluster.helm(&["uninstall", "orion-operator"]);
    cluster.kubectl(&["annotate", "webhook", name, "orion-operator.dev/resolve=abandon"]).await;
    cluster.kubectl(&["delete", "webhook", name, "--wait=false"]).await;
    assert!(cluster.is_there(&["webhook", name]).await, "nobody acts on the annotation");
    let [patch, orphans] = commands("The operator is gone already").try_into().unwrap();
    desk.follow(&cluster, &patch, &[]);
    assert!(!cluster.is_there(&["webhook", name]).await);
    assert_eq!(cluster.at_orion(name), 1, "it stays");
    let uid = cluster.kubectl(&["get", "namespace", OWN, "-o", "jsonpath={.metadata.uid}"]).await;
    let told = desk.follow(&cluster, &orphans, &[("INSTANCE_ID", &uid), ("ID", &id)]);
    assert!(told.contains(&id), "{told}");
    assert_eq!(cluster.at_orion(name), 0);
}

/// Namespaces and Secrets of the old cluster, in the new one.
async fn secrets_are_brought_along(old: &Cluster, new: &Cluster) {
    for (namespace, name) in [(OWN, "orion"), ("default", "hook-secret")] {
        let secret = old.json(&["get", "secret", name, "-n", namespace]).await;
        let metadata = json!({"name": name, "namespace": namespace});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": secret["data"]});
        new.plane.apply(&secret.to_string()).await.unwrap();
    }
}

fn there_is_jq(test: &str) -> bool {
    let is_there = run(Command::new("bash").args(["-c", "command -v jq"])).status.success();
    if !is_there {
        super::tools::skip(test, "there is no jq");
    }
    is_there
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_creates_nothing() {
    let test = "a_move_creates_nothing";
    if !there_is_jq(test) {
        return;
    }
    let Some((old, desk, operator)) = installed(test, "helm4").await else { return };
    old.main_job("default", "moved").await;
    old.main_job("default", "from-git").await;
    let before = ids(&old).await;
    drop(operator);
    let [export, import] = commands("Move to another cluster").try_into().unwrap();
    desk.follow(&old, &export, &[]);

    let Some(new) = Cluster::start_with(test, "helm4", Arc::clone(&old.sim)).await else { return };
    secrets_are_brought_along(&old, &new).await;
    let there = Desk::new(&new);
    let mut objects: Value = serde_json::from_str(&desk.read("objects.json")).unwrap();
    let objects = objects["items"].as_array_mut().unwrap();
    let mut from_git = objects.remove(objects.iter().position(|it| it["metadata"]["name"] == "from-git").unwrap());
    assert_eq!(objects.len(), 1);
    there.write("objects.json", &json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string());
    there.write("instance-id", &desk.read("instance-id"));
    there.follow(&new, &import, &[]);
    assert_eq!(ids(&new).await["moved"], "", "no status came along");
    let _operator = self::operator(&new).await;
    all_are_ready(&new).await;
    // With Orion's list at hand, the marker is enough: no annotation says that there was an attempt.
    from_git["metadata"].as_object_mut().unwrap().remove("annotations");
    new.plane.apply(&from_git.to_string()).await.unwrap();
    all_are_ready(&new).await;
    assert_eq!(ids(&new).await, before);
    assert_eq!((old.sim.count(Operation::Create), old.sim.webhooks().len()), (2, 2));
}

/// Without annotations, and before Orion's list was read: there may be two, and then there is one.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_from_git_leaves_one() {
    let test = "a_move_from_git_leaves_one";
    let Some((old, _, operator)) = installed(test, "helm4").await else { return };
    old.main_job("default", "hook").await;
    drop(operator);
    let mut hook = old.json(&["get", "webhook", "hook"]).await;
    hook["metadata"] = json!({"name": "hook"});

    let Some(new) = Cluster::start_with(test, "helm4", Arc::clone(&old.sim)).await else { return };
    secrets_are_brought_along(&old, &new).await;
    let desk = Desk::new(&new);
    let uid = old.kubectl(&["get", "namespace", OWN, "-o", "jsonpath={.metadata.uid}"]).await;
    desk.write("instance-id", &uid);
    let [_, import] = commands("Move to another cluster").try_into().unwrap();
    desk.write("objects.json", &hook.to_string());
    desk.follow(&new, &import, &[]);
    let _operator = self::operator(&new).await;
    until("one is left, and its id is known", async || {
        let recorded = ids(&new).await["hook"].clone();
        let left: Vec<String> = new.sim.webhooks().into_iter().map(|webhook| webhook.id).collect();
        left == [recorded]
    })
    .await;
    all_are_ready(&new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_makes_webhooks_of_its_own() {
    let test = "a_clone_makes_webhooks_of_its_own";
    let Some((original, _, _operator)) = installed(test, "helm4").await else { return };
    original.main_job("default", "hook").await;
    let before = ids(&original).await;

    let Some(clone) = Cluster::start_with(test, "helm4", Arc::clone(&original.sim)).await else { return };
    let desk = Desk::new(&clone);
    desk.follow(&clone, &commands("With Helm")[0], &[]);
    // As a copy of etcd would have it: with finalizer, annotation and status.
    let mut hook = original.json(&["get", "webhook", "hook"]).await;
    for field in ["uid", "resourceVersion"] {
        hook["metadata"].as_object_mut().unwrap().remove(field);
    }
    clone.plane.apply(&hook.to_string()).await.unwrap();
    let status = json!([{"op": "add", "path": "/status", "value": hook["status"]}]).to_string();
    clone.kubectl(&["patch", "webhook", "hook", "--subresource=status", "--type=json", "-p", &status]).await;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hook-secret"},
        "stringData": {"token": "a-header-of-the-copy"},
    });
    clone.plane.apply(&secret.to_string()).await.unwrap();
    assert_eq!(ids(&clone).await, before);

    desk.follow(&clone, &commands("A cloned cluster")[0], &[]);
    let _its_operator = operator(&clone).await;
    until("the copy has one of its own", async || {
        all_are_ready(&clone).await;
        let own = ids(&clone).await;
        !own["hook"].is_empty() && own != before
    })
    .await;
    clone.kubectl(&["delete", "webhooks", "--all", "--timeout=50s"]).await;
    let left: Vec<String> = original.sim.webhooks().into_iter().map(|webhook| webhook.id).collect();
    assert_eq!(left, [before["hook"].clone()], "the original's is still there, and nothing else");
    assert_eq!(ids(&original).await, before);
}

/// What is told to do is done by some test: those above, `live` (without Helm), `tests/image` (an image).
#[test]
fn every_block_of_commands_is_run() {
    let headings = [
        "An image",
        "With Helm",
        "Without Helm",
        "Some namespaces only",
        "Upgrade",
        "Uninstall",
        "The operator is gone already",
        "Move to another cluster",
        "A cloned cluster",
    ];
    let known: usize = headings.iter().map(|heading| commands(heading).len()).sum();
    let all = PAGE.split("\n```").skip(1).step_by(2).filter(|block| block.starts_with('\n')).count();
    assert_eq!(known, all);
}
