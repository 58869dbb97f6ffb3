//! What the tests share, one after the other: a control plane with Flux and, installed by it, the operator.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use devkit::control_plane::{AuditEvent, ControlPlane, Options};
use devkit::sim::{Config, Sim, StoredWebhook};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Api, Client};
use orion_operator::api::Webhook;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::operator;
use super::processes::{Process, ROOT, Tools, definitions, free_port, ok, skip};

pub const FLUX: &str = "flux-system";
pub const OPERATORS: &str = "orion-system";
pub const PATIENCE: Duration = Duration::from_secs(90);
const TOKEN: &str = "token-of-the-tests-with-flux";
const CONTROLLERS: [&str; 3] = ["source-controller", "kustomize-controller", "helm-controller"];

pub struct Stack {
    pub plane: ControlPlane,
    pub sim: Sim,
    client: Client,
    tools: Tools,
    registry: String,
    /// Of metrics and probes: the chart's own may be taken on this machine.
    ports: [u16; 2],
    operator: Mutex<Option<Process>>,
    processes: Vec<Process>,
    directory: tempfile::TempDir,
}

/// Runs one test, while no other runs.
pub fn run<'a, F: Future<Output = ()>>(name: &str, test: impl FnOnce(&'a Stack) -> F) {
    static STACK: OnceLock<Result<(Runtime, Stack), String>> = OnceLock::new();
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let stack = STACK.get_or_init(|| {
        let tools = Tools::find()?;
        let definitions = CONTROLLERS.iter().map(|name| definitions(name)).collect::<Result<Vec<_>, _>>()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let stack = runtime.block_on(Stack::start(tools, &definitions));
        Ok((runtime, stack))
    });
    match stack {
        Err(why) => skip(name, why),
        Ok((runtime, stack)) => {
            let _words = LastWords(stack);
            runtime.block_on(test(stack));
        }
    }
}

/// Of all processes, where a test fails.
struct LastWords<'a>(&'a Stack);

impl Drop for LastWords<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let operator = self.0.operator.lock().unwrap_or_else(PoisonError::into_inner);
            for process in self.0.processes.iter().chain(operator.iter()) {
                eprint!("{}", process.last_words());
            }
        }
    }
}

/// Waits until `check` gives something.
pub async fn until<T>(patience: Duration, what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = check().await {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {} s: {what}", patience.as_secs());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The objects of a file in `examples/`.
pub fn example(file: &str) -> Vec<Value> {
    objects(&std::fs::read_to_string(format!("{ROOT}/examples/{file}")).unwrap())
}

pub fn objects(yaml: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(yaml).map(|document| Value::deserialize(document).unwrap()).collect()
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
    async fn start(tools: Tools, definitions: &[PathBuf]) -> Self {
        let plane = ControlPlane::start(Options { quiet: true, ..Options::default() }).await.unwrap();
        let sim = Sim::start(Config { static_tokens: vec![TOKEN.into()], ..Config::default() }).await.unwrap();
        for directory in definitions {
            let apply = ["apply", "--server-side", "-f", &directory.to_string_lossy()];
            plane.kubectl_ok(&apply).await.unwrap();
        }
        plane.kubectl_ok(&["wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"]).await.unwrap();
        let token = format!("--from-literal=token={TOKEN}");
        for args in [
            &["create", "namespace", FLUX][..],
            &["create", "namespace", OPERATORS],
            &["label", "namespace", OPERATORS, "pod-security.kubernetes.io/enforce=restricted"],
            &["create", "secret", "generic", "orion", "-n", OPERATORS, &token],
        ] {
            plane.kubectl_ok(args).await.unwrap();
        }
        let client = plane.admin_client().await.unwrap();
        let mut stack = Self {
            plane,
            sim,
            client,
            tools,
            registry: format!("127.0.0.1:{}", free_port()),
            ports: [free_port(), free_port()],
            operator: Mutex::new(None),
            processes: Vec::new(),
            directory: tempfile::tempdir().unwrap(),
        };
        stack.serve().await;
        stack.install().await;
        stack
    }

    /// Starts a registry with the chart in it, and Flux.
    async fn serve(&mut self) {
        let group = self.plane.process_group();
        let log = |name: &str| self.directory.path().join(format!("{name}.log"));
        let mut registry = Command::new(self.tools.get("crane"));
        registry.args(["registry", "serve", "--address", &self.registry]);
        let mut processes = vec![Process::start(&mut registry, group, log("registry"))];
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
            processes.push(Process::start(&mut controller, group, log(name)));
        }
        self.processes = processes;
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
            let values = &mut object["spec"]["values"];
            values["orion"]["url"] = json!(self.sim.url());
            values["metrics"] = json!({"port": self.ports[0]});
            values["probes"] = json!({"port": self.ports[1]});
            // As an operator of the tests: what is not known is looked at soon.
            values["extraArgs"] = json!(["--create-settle=4s"]);
        }
        object
    }

    /// Lets Flux install the operator, and starts it. Gives what Ready of the release was while the pod was not.
    pub async fn install(&self) -> (String, String, String) {
        for object in example("gitops/flux/helmrelease.yaml") {
            self.plane.apply(&self.here(&object).to_string()).await.unwrap();
        }
        let deployment = until(PATIENCE, "the Deployment is there", async || {
            let args = ["get", "deployment", "orion-operator", "-n", OPERATORS, "-o", "json"];
            self.plane.kubectl_ok(&args).await.ok()
        })
        .await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = ready(&self.get("HelmRelease", FLUX, "orion-operator").await.unwrap());
        self.start_operator(&serde_json::from_str(&deployment).unwrap()).await;
        let is_ready = async || {
            operator::pods_are_ready(&self.plane).await;
            let release = ready(&self.get("HelmRelease", FLUX, "orion-operator").await.unwrap());
            (release.0 == "True").then_some(release.1)
        };
        assert_eq!(until(PATIENCE, "the release is Ready", is_ready).await, "InstallSucceeded");
        before
    }

    async fn start_operator(&self, deployment: &Value) {
        let process = operator::start(&self.plane, deployment, self.directory.path()).await;
        *self.operator.lock().unwrap() = Some(process);
    }

    pub async fn operator_starts(&self) {
        let args = ["get", "deployment", "orion-operator", "-n", OPERATORS, "-o", "json"];
        let deployment = self.plane.kubectl_ok(&args).await.unwrap();
        self.start_operator(&serde_json::from_str(&deployment).unwrap()).await;
    }

    pub fn operator_ends(&self) {
        self.operator.lock().unwrap().take();
    }

    /// An object of Flux's, if it is there.
    pub async fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<DynamicObject> {
        self.api(kind, namespace).get_opt(name).await.unwrap()
    }

    fn api(&self, kind: &str, namespace: &str) -> Api<DynamicObject> {
        let (group, version) = match kind {
            "OCIRepository" => ("source.toolkit.fluxcd.io", "v1"),
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

    /// Waits until no object of that name is in Flux's namespace.
    pub async fn is_gone(&self, kind: &str, name: &str) {
        let gone = async || self.get(kind, FLUX, name).await.is_none().then_some(());
        until(PATIENCE, "the object is gone", gone).await;
    }

    pub async fn delete(&self, kind: &str, name: &str) {
        self.api(kind, FLUX).delete(name, &Default::default()).await.unwrap();
    }

    pub fn webhooks(&self, namespace: &str) -> Api<Webhook> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The webhooks at Orion with this presence name.
    pub fn at_orion(&self, presence: &str) -> Vec<StoredWebhook> {
        self.sim.webhooks().into_iter().filter(|webhook| webhook.presence_name == presence).collect()
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

    /// What kube-apiserver was asked for about objects of ours, Flux's dry runs and reads aside.
    pub fn writes(&self) -> Vec<AuditEvent> {
        let events = self.plane.audit_events().unwrap();
        let is_read = |event: &AuditEvent| matches!(event.verb.as_str(), "get" | "list" | "watch");
        let is_kept = |event: &AuditEvent| !is_read(event) && !event.request_uri.contains("dryRun=");
        let is_ours = |event: &AuditEvent| event.api_group == "orion-operator.dev";
        events.into_iter().filter(|event| is_ours(event) && is_kept(event)).collect()
    }
}
