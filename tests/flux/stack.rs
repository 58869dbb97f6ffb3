//! Flux, with which the operator is installed.

use std::ops::Deref;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::{Value, json};

use super::rig::git::Git;
use super::rig::process::{ROOT, Tools, free_port, module, ok};
use super::rig::{PATIENCE, Rig, Stage, example, operator, until};

pub const FLUX: &str = "flux-system";
const CONTROLLERS: [&str; 3] = ["source-controller", "kustomize-controller", "helm-controller"];

pub struct Stack {
    rig: Rig,
    registry: String,
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

/// An object's Ready, if it is about the present generation: status, reason, message.
pub fn ready(object: &DynamicObject) -> (String, String, String) {
    let conditions = object.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let fits = |it: &&Value| it["type"] == "Ready" && it["observedGeneration"] == json!(object.metadata.generation);
    let ready = conditions.iter().find(fits).cloned().unwrap_or_default();
    let text = |field: &str| ready[field].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"), text("message"))
}

impl Stack {
    async fn start() -> Result<Self, String> {
        let tools = Tools::find(&[&CONTROLLERS[..], &["crane", "helm4"]].concat())?;
        let modules = CONTROLLERS.map(|name| module(name, &format!("github.com/fluxcd/{name}")));
        let modules = modules.into_iter().collect::<Result<Vec<_>, _>>()?;
        let rig = Rig::start(tools).await;
        for module in modules {
            let directory = module.join("config/crd/bases");
            let apply = ["apply", "--server-side", "-f", &directory.to_string_lossy()];
            rig.plane.kubectl_ok(&apply).await.unwrap();
        }
        rig.plane.kubectl_ok(&["wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"]).await.unwrap();
        rig.plane.kubectl_ok(&["create", "namespace", FLUX]).await.unwrap();
        let git = Git::serve(rig.directory.path().join("git")).await;
        let stack = Self { rig, registry: format!("127.0.0.1:{}", free_port()), git };
        stack.serve().await;
        stack.install().await;
        Ok(stack)
    }

    /// Starts a registry with the chart in it, and Flux.
    async fn serve(&self) {
        let mut registry = Command::new(self.tools.get("crane"));
        registry.args(["registry", "serve", "--address", &self.registry]);
        self.run("registry", &mut registry);
        let storage = format!("127.0.0.1:{}", free_port());
        let files = self.directory.path().join("storage");
        std::fs::create_dir(&files).unwrap();
        for name in CONTROLLERS {
            let mut controller = Command::new(self.tools.get(name));
            controller.env("RUNTIME_NAMESPACE", FLUX).env("KUBECONFIG", self.plane.admin_kubeconfig());
            controller.env("HOME", self.directory.path());
            controller.args(["--enable-leader-election=false", "--events-addr=", "--requeue-dependency=2s"]);
            controller.args([&format!("--metrics-addr=127.0.0.1:{}", free_port())]);
            controller.args([&format!("--health-addr=127.0.0.1:{}", free_port())]);
            if name == "source-controller" {
                controller.args([format!("--storage-addr={storage}"), format!("--storage-adv-addr={storage}")]);
                controller.arg(format!("--storage-path={}", files.display()));
            }
            self.run(name, &mut controller);
        }
        let is_up = async || std::net::TcpStream::connect(&self.registry).is_ok().then_some(());
        until(PATIENCE, "the registry listens", is_up).await;
        let charts = format!("oci://{}/orion-operator/charts", self.registry);
        let mut publish = Command::new("hack/publish-chart");
        publish.arg(charts).current_dir(ROOT).env("PLAIN_HTTP", "yes").env("SIGN", "no").env_remove("TAG");
        for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            publish.env(variable, self.directory.path());
        }
        ok(&mut publish);
    }

    /// What an example says, with what this machine asks for: a registry without TLS on 127.0.0.1.
    pub fn here(&self, object: &Value) -> Value {
        let mut object = object.clone();
        if object["kind"] == "OCIRepository" {
            let url = object["spec"]["url"].as_str().unwrap().replace("oci://ghcr.io/", "");
            object["spec"]["url"] = json!(format!("oci://{}/{url}", self.registry));
            object["spec"]["insecure"] = json!(true);
        }
        if object["kind"] == "HelmRelease" {
            self.values_here(&mut object["spec"]["values"]);
        }
        object
    }

    /// Lets Flux install the operator, and starts it. Gives what Ready of the release was while the pod was not.
    pub async fn install(&self) -> (String, String, String) {
        for object in example("gitops/flux/helmrelease.yaml") {
            self.plane.apply(&self.here(&object).to_string()).await.unwrap();
        }
        until(PATIENCE, "Flux has begun", async || {
            let release = self.get("HelmRelease", FLUX, "orion-operator").await.unwrap();
            let begun = !ready(&release).0.is_empty() && self.definitions().await.len() == 3;
            begun.then_some(())
        })
        .await;
        let before = ready(&self.get("HelmRelease", FLUX, "orion-operator").await.unwrap());
        self.operator_starts().await;
        let is_ready = async || {
            operator::pods_are_ready(&self.plane).await;
            let release = ready(&self.get("HelmRelease", FLUX, "orion-operator").await.unwrap());
            (release.0 == "True").then_some(release.1)
        };
        assert_eq!(until(PATIENCE, "the release is Ready", is_ready).await, "InstallSucceeded");
        before
    }

    /// An object of Flux's, if it is there.
    pub async fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<DynamicObject> {
        self.api(kind, namespace).get_opt(name).await.unwrap()
    }

    fn api(&self, kind: &str, namespace: &str) -> Api<DynamicObject> {
        let (group, version) = match kind {
            "OCIRepository" | "GitRepository" => ("source.toolkit.fluxcd.io", "v1"),
            "Kustomization" => ("kustomize.toolkit.fluxcd.io", "v1"),
            "HelmRelease" => ("helm.toolkit.fluxcd.io", "v2"),
            kind => panic!("{kind}"),
        };
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(self.client.clone(), namespace, &resource)
    }

    /// Waits until Ready of an object in Flux's namespace has this status and reason; gives the message.
    pub async fn is(&self, kind: &str, name: &str, status: &str, reason: &str) -> String {
        let mut last = Default::default();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            last = self.get(kind, FLUX, name).await.map(|object| ready(&object)).unwrap_or_default();
            if last.0 == status && last.1 == reason {
                return last.2;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{kind} {name} is not {status}/{reason} but {last:?}");
    }

    /// As `flux reconcile` does, and waits until it is done.
    pub async fn reconcile(&self, kind: &str, name: &str) {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let token = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string();
        let patch = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": token}}});
        let api = self.api(kind, FLUX);
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        until(PATIENCE, "Flux has looked again", async || {
            let object = api.get(name).await.unwrap();
            (object.data["status"]["lastHandledReconcileAt"] == json!(token)).then_some(())
        })
        .await;
    }

    /// Puts this into the spec of an object in Flux's namespace, as `flux suspend` does.
    pub async fn merge(&self, kind: &str, name: &str, spec: Value) {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.api(kind, FLUX).patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Waits until no object of that name is in Flux's namespace.
    pub async fn is_gone(&self, kind: &str, name: &str) {
        let gone = async || self.get(kind, FLUX, name).await.is_none().then_some(());
        until(PATIENCE, "the object is gone", gone).await;
    }

    pub async fn delete(&self, kind: &str, name: &str) {
        self.api(kind, FLUX).delete(name, &Default::default()).await.unwrap();
    }

    /// Pushes another version of the chart, in which `edit` has changed files of a copy.
    pub fn push_chart(&self, version: &str, edit: impl FnOnce(&Path)) {
        let directory = tempfile::tempdir().unwrap();
        let chart = directory.path().join("chart");
        ok(Command::new("cp").arg("-r").arg(format!("{ROOT}/charts/orion-operator")).arg(&chart));
        edit(&chart);
        let helm = |arguments: &[&str]| {
            let mut helm = Command::new(self.tools.get("helm4"));
            for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
                helm.env(variable, self.directory.path());
            }
            ok(helm.args(arguments).current_dir(directory.path()));
        };
        helm(&["package", "chart", "--version", version, "--app-version", version]);
        let charts = format!("oci://{}/orion-operator/charts", self.registry);
        helm(&["push", &format!("orion-operator-{version}.tgz"), &charts, "--plain-http"]);
    }

    /// Pushes files as the artifact `latest` of your-org; gives its digest.
    pub fn push(&self, artifact: &str, files: &[(&str, String)]) -> String {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        for (name, content) in files {
            std::fs::write(tree.join(name), content).unwrap();
        }
        let archive = directory.path().join("tree.tgz");
        let of = |path: &Path| path.to_str().unwrap().to_owned();
        ok(Command::new("tar").args(["-C", &of(&tree), "-czf", &of(&archive), "."]));
        let tag = format!("{}/your-org/{artifact}:latest", self.registry);
        let args = ["append", "--oci-empty-base", "-f", &of(&archive), "-t", &tag];
        let pushed = ok(Command::new(self.tools.get("crane")).args(args));
        pushed.trim().rsplit_once('@').unwrap().1.to_owned()
    }
}
