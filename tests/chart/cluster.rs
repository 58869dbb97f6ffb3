//! A real kube-apiserver with an Orion, and the chart's releases in it. There is no kubelet: the operator's process is
//! started as its pod would be, with the flags, the files and the rights that the rendered objects give it.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use devkit::control_plane::{ControlPlane, Options};
use devkit::sim::{Config, Sim};
use serde_json::{Value, json};

use super::tools::{Helm, arguments, objects, ok};

pub const TOKEN: &str = "token-of-the-chart-tests";
pub const OWN: &str = "orion-system";
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Cluster {
    pub plane: ControlPlane,
    pub helm: Helm,
    pub sim: Arc<Sim>,
    pub directory: tempfile::TempDir,
}

impl Cluster {
    /// A control plane, an Orion that knows one token, and the operator's namespace, which admits restricted pods only.
    pub async fn start(test: &str, helm: &str) -> Option<Self> {
        let sim = Sim::start(Config { static_tokens: vec![TOKEN.into()], ..Config::default() }).await.unwrap();
        Self::start_with(test, helm, Arc::new(sim)).await
    }

    /// The same, with the Orion of another cluster.
    pub async fn start_with(test: &str, helm: &str, sim: Arc<Sim>) -> Option<Self> {
        let helm = Helm::new(test, helm)?;
        let plane = ControlPlane::start(Options { quiet: true, ..Options::default() }).await.unwrap();
        let cluster = Self { plane, helm, sim, directory: tempfile::tempdir().unwrap() };
        cluster.kubectl(&["create", "namespace", OWN]).await;
        cluster.kubectl(&["label", "namespace", OWN, "pod-security.kubernetes.io/enforce=restricted"]).await;
        Some(cluster)
    }

    pub async fn kubectl(&self, args: &[&str]) -> String {
        self.plane.kubectl_ok(args).await.unwrap()
    }

    pub async fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.kubectl(&[args, &["-o", "json"]].concat()).await).unwrap()
    }

    pub async fn is_there(&self, args: &[&str]) -> bool {
        !self.kubectl(&[&["get", "--ignore-not-found", "-o", "name"], args].concat()).await.is_empty()
    }

    pub async fn token_secret(&self, more: &str) {
        let token = format!("--from-literal=token={TOKEN}");
        let args = ["create", "secret", "generic", "orion", "-n", OWN, &token, more];
        self.kubectl(&args[..if more.is_empty() { 7 } else { 8 }]).await;
    }

    /// `helm … -n orion-system …`
    pub fn helm(&self, args: &[&str]) -> String {
        ok(self.helm.command(self.plane.admin_kubeconfig()).args(args).args(["--namespace", OWN]))
    }

    /// Installs or upgrades; gives the objects of the release.
    pub fn release(&self, verb: &str, chart: &str, values: &[&str]) -> Vec<Value> {
        let values: Vec<&str> = values.iter().flat_map(|value| ["--set", value]).collect();
        self.helm(&[&[verb, "orion-operator", chart][..], &values].concat());
        objects(&self.helm(&["get", "manifest", "orion-operator"]))
    }

    /// Every object of a release is in the cluster.
    pub async fn holds(&self, release: &[Value]) {
        for object in release {
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let group = text("/apiVersion").split_once('/').map(|(group, _)| format!(".{group}")).unwrap_or_default();
            let kind = format!("{}{group}", text("/kind"));
            let mut args = vec![kind.as_str(), text("/metadata/name")];
            if !text("/metadata/namespace").is_empty() {
                args.extend(["-n", text("/metadata/namespace")]);
            }
            assert!(self.is_there(&args).await, "{args:?}");
        }
    }

    /// Whether a pod of this template would be let into the operator's namespace.
    pub async fn admits(&self, template: &Value) -> anyhow::Result<()> {
        let mut pod = template.clone();
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"]["name"] = json!("try");
        pod["metadata"]["namespace"] = json!(OWN);
        let file = self.directory.path().join("pod.json");
        std::fs::write(&file, pod.to_string())?;
        self.plane.kubectl_ok(&["create", "--dry-run=server", "-f", &file.to_string_lossy()]).await.map(|_| ())
    }

    /// Starts the operator as the pod of this Deployment would be, and waits until it is ready.
    pub async fn operator(&self, deployment: &Value) -> Operator {
        let pod = &deployment["spec"]["template"]["spec"];
        let account = pod["serviceAccountName"].as_str().unwrap();
        let kubeconfig = self.plane.service_account_kubeconfig(OWN, account).await.unwrap();
        let mount = &pod["containers"][0]["volumeMounts"][0];
        let files = self.directory.path().join(format!("files-{}", free_port()));
        std::fs::create_dir(&files).unwrap();
        for source in pod["volumes"][0]["projected"]["sources"].as_array().unwrap() {
            let name = source["secret"]["name"].as_str().unwrap();
            for item in source["secret"]["items"].as_array().unwrap() {
                let content = self.secret(name, item["key"].as_str().unwrap()).await;
                std::fs::write(files.join(item["path"].as_str().unwrap()), content).unwrap();
            }
        }
        // The files are elsewhere than in a pod; all else is as rendered.
        let path = format!("{}/", mount["mountPath"].as_str().unwrap());
        let here = format!("{}/", files.display());
        let arguments: Vec<String> =
            arguments(deployment).iter().map(|argument| argument.replace(&path, &here)).collect();
        let log = files.join("log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_orion-operator"));
        command.env_clear().env("KUBECONFIG", kubeconfig).args(&arguments).stdin(Stdio::null());
        for variable in pod["containers"][0]["env"].as_array().map_or(&[][..], Vec::as_slice) {
            let value = match variable["value"].as_str() {
                Some(value) => value.replace(&path, &here),
                None => {
                    let from = &variable["valueFrom"]["secretKeyRef"];
                    let value = self.secret(from["name"].as_str().unwrap(), from["key"].as_str().unwrap()).await;
                    String::from_utf8(value).unwrap()
                }
            };
            command.env(variable["name"].as_str().unwrap(), value);
        }
        command
            .stdout(std::fs::File::create(&log).unwrap())
            .stderr(std::fs::File::create(files.join("log-2")).unwrap());
        let operator = Operator { child: command.spawn().unwrap(), logs: files };
        let port = |name: &str| {
            let ports = pod["containers"][0]["ports"].as_array().unwrap();
            ports.iter().find(|port| port["name"] == name).and_then(|port| port["containerPort"].as_u64()).unwrap()
        };
        let probe = &pod["containers"][0]["readinessProbe"]["httpGet"];
        let url =
            format!("http://127.0.0.1:{}{}", port(probe["port"].as_str().unwrap()), probe["path"].as_str().unwrap());
        until("the operator is ready", async || get(&url).await.is_some()).await;
        let metrics = get(&format!("http://127.0.0.1:{}/metrics", port("metrics"))).await.unwrap();
        assert!(metrics.contains("orion_operator_build_info"), "what `helm test` looks for");
        operator
    }

    pub async fn secret(&self, name: &str, key: &str) -> Vec<u8> {
        let secret = self.json(&["get", "secret", name, "-n", OWN]).await;
        BASE64.decode(secret["data"][key].as_str().unwrap().as_bytes()).unwrap()
    }

    /// Applies a Webhook, waits until it is Ready, and looks for it at Orion.
    pub async fn main_job(&self, namespace: &str, name: &str) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hook-secret", "namespace": namespace},
            "stringData": {"token": "a-header-of-the-chart-tests"},
        });
        self.plane.apply(&secret.to_string()).await.unwrap();
        let header =
            json!({"name": "X-Webhook-Secret", "valueFrom": {"secretKeyRef": {"name": "hook-secret", "key": "token"}}});
        let webhook = json!({
            "apiVersion": "orion-operator.dev/v1alpha1", "kind": "Webhook",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "url": "https://hooks.example.com/orion", "userId": "user-42", "presenceName": name, "headers": [header],
            },
        });
        self.plane.apply(&webhook.to_string()).await.unwrap();
        let wait = ["wait", "--for=condition=Ready", "--timeout=50s", "-n", namespace, "webhook", name];
        self.kubectl(&wait).await;
        assert_eq!(self.at_orion(name), 1);
    }

    pub fn at_orion(&self, presence: &str) -> usize {
        self.sim.webhooks().iter().filter(|webhook| webhook.presence_name == presence).count()
    }

    pub async fn definitions(&self) -> Vec<Value> {
        let all = self.json(&["get", "crd"]).await;
        let of_ours = |crd: &&Value| crd["spec"]["group"] == "orion-operator.dev";
        all["items"].as_array().unwrap().iter().filter(of_ours).cloned().collect()
    }
}

pub struct Operator {
    child: Child,
    logs: PathBuf,
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            for name in ["log", "log-2"] {
                let log = std::fs::read_to_string(self.logs.join(name)).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                eprintln!("--- the operator's {name}\n{}", lines[lines.len().saturating_sub(20)..].join("\n"));
            }
        }
    }
}

pub async fn until(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !check().await {
        assert!(Instant::now() < deadline, "not within {} s: {what}", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The body of a 200.
pub async fn get(url: &str) -> Option<String> {
    let answer = reqwest::Client::new().get(url).timeout(Duration::from_secs(5)).send().await.ok()?;
    if answer.status() == 200 { answer.text().await.ok() } else { None }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Ports that are free on this machine, as values.
pub fn ports() -> [String; 2] {
    [format!("metrics.port={}", free_port()), format!("probes.port={}", free_port())]
}
