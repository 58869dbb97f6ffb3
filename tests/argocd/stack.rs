//! Argo CD, with which the operator is installed.

use std::ops::Deref;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::application::Application;
use super::rig::git::{Git, files};
use super::rig::process::{ROOT, Tools, free_port, module};
use super::rig::{PATIENCE, Rig, Stage, example, operator, until};

pub const ARGOCD: &str = "argocd";

pub struct Stack {
    rig: Rig,
    pub git: Git,
}

impl Deref for Stack {
    type Target = Rig;

    fn deref(&self) -> &Rig {
        &self.rig
    }
}

/// Runs one test, while no other runs.
pub fn run<'a, F: Future<Output = ()>>(name: &str, test: impl FnOnce(&'a Stack) -> F) {
    static STAGE: Stage<Stack> = Stage::new();
    STAGE.run(name, Stack::start, test);
}

impl Stack {
    async fn start() -> Result<Self, String> {
        let tools = Tools::find(&["argocd", "redis", "helm3"])?;
        let module = module("argocd", "github.com/argoproj/argo-cd/v3")?;
        let rig = Rig::start(tools).await;
        let git = Git::serve(rig.directory.path().join("git")).await;
        let stack = Self { rig, git };
        stack.configure(&module).await;
        stack.serve();
        stack.install().await;
        Ok(stack)
    }

    /// As Argo CD is installed, and then ours is added to it.
    async fn configure(&self, module: &Path) {
        let install = module.join("manifests/install.yaml");
        let health = format!("{ROOT}/examples/gitops/argocd/argocd-cm.yaml");
        // What the server would make, which is not run here.
        let secret = json!({"stringData": {"server.secretkey": "of-these-tests"}}).to_string();
        for args in [
            &["create", "namespace", ARGOCD][..],
            &["apply", "--server-side", "-n", ARGOCD, "-f", &install.to_string_lossy()],
            &["patch", "secret", "argocd-secret", "-n", ARGOCD, "-p", &secret],
            &["patch", "configmap", "argocd-cm", "-n", ARGOCD, "--patch-file", &health],
            &["wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"],
        ] {
            self.plane.kubectl_ok(args).await.unwrap();
        }
        let all = json!([{"namespace": "*", "server": "*"}]);
        let any = json!([{"group": "*", "kind": "*"}]);
        let project = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "default", "namespace": ARGOCD},
            "spec": {"sourceRepos": ["*"], "destinations": all, "clusterResourceWhitelist": any},
        });
        self.plane.apply(&project.to_string()).await.unwrap();
    }

    /// Starts Argo CD's processes. One program is all of them, by its name.
    fn serve(&self) {
        let programs = self.directory.path().join("bin");
        std::fs::create_dir(&programs).unwrap();
        let link = |tool: &str, name: &str| -> PathBuf {
            let path = programs.join(name);
            symlink(self.tools.get(tool), &path).unwrap();
            path
        };
        link("helm3", "helm");
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        let [redis, server] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
        self.run("redis", Command::new(self.tools.get("redis")).arg(&redis));
        let temporary = self.directory.path().join("tmp");
        std::fs::create_dir(&temporary).unwrap();
        let started = |name: &str| {
            let mut command = Command::new(link("argocd", name));
            command.env("PATH", &path).env("HOME", self.directory.path()).env("TMPDIR", &temporary);
            command.args(["--redis", &redis, "--metrics-port", &free_port().to_string()]);
            command
        };
        let mut repositories = started("argocd-repo-server");
        repositories.env("ARGOCD_GPG_ENABLED", "false").args(["--disable-tls", "--metrics-address", "127.0.0.1"]);
        repositories.env("ARGOCD_ASK_PASS_SOCK", temporary.join("ask"));
        let (address, port) = server.split_once(':').unwrap();
        repositories.env("KUBECONFIG", self.plane.admin_kubeconfig()).args(["--address", address, "--port", port]);
        self.run("repo-server", &mut repositories);
        let mut controller = started("argocd-application-controller");
        // So https://kubernetes.default.svc is the cluster of the kubeconfig.
        controller.env("ARGOCD_FAKE_IN_CLUSTER", "true").env("KUBECONFIG", self.plane.admin_kubeconfig());
        controller.env("ARGOCD_SYNC_WAVE_DELAY", "1").args(["--namespace", ARGOCD]);
        controller.args(["--repo-server", &server, "--repo-server-plaintext", "--app-resync", "15"]);
        // Of each resource too, where tests can read it.
        controller.arg("--persist-resource-health");
        self.run("application-controller", &mut controller);
    }

    /// What an example says, with what this machine asks for.
    pub fn here(&self, object: &Value) -> Value {
        let mut object = object.clone();
        if object["kind"] == "Application" {
            let source = &mut object["spec"]["source"];
            let name =
                source["repoURL"].as_str().unwrap().rsplit('/').next().unwrap().trim_end_matches(".git").to_owned();
            source["repoURL"] = json!(self.git.url(&name));
            if !source["helm"].is_null() {
                self.values_here(&mut source["helm"]["valuesObject"]);
            }
        }
        if object["kind"] == "OrionConnection" {
            object["spec"]["url"] = json!(self.sim.url());
        }
        object
    }

    /// Lets Argo CD install the operator, and starts it.
    pub async fn install(&self) {
        let directory = Path::new(ROOT).join("charts/orion-operator");
        let chart: Vec<(String, String)> =
            files(&directory).into_iter().map(|(path, text)| (format!("charts/orion-operator/{path}"), text)).collect();
        let chart: Vec<(&str, String)> = chart.iter().map(|(path, text)| (path.as_str(), text.clone())).collect();
        self.git.commit("orion-operator", &chart);
        let app = Application::of(self, self.here(&example("gitops/argocd/applications.yaml")[0])).await;
        self.operator_starts().await;
        until(PATIENCE, "the operator's Application is healthy", async || {
            operator::pods_are_ready(&self.plane).await;
            // By itself it would look at the definitions again after a minute, which were not established at first.
            app.refresh().await;
            app.state().await.is_well().then_some(())
        })
        .await;
    }
}
