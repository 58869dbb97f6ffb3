//! What a GitOps tool is tried with: a control plane, a simulated Orion, the operator as the tool has installed it, and
//! what else runs. The tests of one program share it, one after the other.

#![allow(dead_code, reason = "each tool uses its part")]

pub mod git;
pub mod operator;
pub mod process;

use std::future::Future;
use std::ops::Deref;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use devkit::control_plane::{AuditEvent, ControlPlane, Options};
use devkit::sim::{Config, Sim, StoredWebhook};
use kube::{Api, Client};
use orion_operator::api::Webhook;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use process::{Process, ROOT, Tools, free_port, skip};

pub const OPERATORS: &str = "orion-system";
pub const PATIENCE: Duration = Duration::from_secs(90);
pub const TOKEN: &str = "token-of-the-tests-with-gitops-tools";

pub struct Rig {
    pub plane: ControlPlane,
    pub sim: Sim,
    pub client: Client,
    pub tools: Tools,
    pub directory: tempfile::TempDir,
    /// Of metrics and probes: the chart's own may be taken on this machine.
    ports: [u16; 2],
    operator: Mutex<Option<Process>>,
    processes: Mutex<Vec<Process>>,
}

/// What a rig is part of, made by the first test that needs it.
pub struct Stage<T> {
    begun: AtomicBool,
    stack: OnceLock<Result<(Runtime, T), String>>,
    turn: Mutex<()>,
}

impl<T: Deref<Target = Rig>> Stage<T> {
    pub const fn new() -> Self {
        Self { begun: AtomicBool::new(false), stack: OnceLock::new(), turn: Mutex::new(()) }
    }

    /// Runs one test, while no other runs; or skips it, where `start` says why.
    pub fn run<'a, F: Future<Output = ()>>(
        &'a self,
        name: &str,
        start: impl AsyncFnOnce() -> Result<T, String>,
        test: impl FnOnce(&'a T) -> F,
    ) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let is_lost = self.begun.swap(true, Ordering::Relaxed) && self.stack.get().is_none();
        assert!(!is_lost, "nothing to try it with: the test that ran first says why");
        let stack = self.stack.get_or_init(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            let stack = runtime.block_on(start())?;
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
}

/// Of all processes, where a test fails.
struct LastWords<'a>(&'a Rig);

impl Drop for LastWords<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let operator = self.0.operator.lock().unwrap_or_else(PoisonError::into_inner);
            let processes = self.0.processes.lock().unwrap_or_else(PoisonError::into_inner);
            for process in processes.iter().chain(operator.iter()) {
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

/// A Webhook as YAML, whose name is its presence name.
pub fn webhook(name: &str, team: &str) -> Value {
    json!({
        "apiVersion": "orion-operator.dev/v1alpha1", "kind": "Webhook", "metadata": {"name": name},
        "spec": {
            "url": "https://hooks.example.com/orion", "userId": "user-42", "presenceName": name,
            "headers": [{"name": "X-Team", "value": team}],
        },
    })
}

impl Rig {
    pub async fn start(tools: Tools) -> Self {
        let plane = ControlPlane::start(Options { quiet: true, ..Options::default() }).await.unwrap();
        let sim = Sim::start(Config { static_tokens: vec![TOKEN.into()], ..Config::default() }).await.unwrap();
        let token = format!("--from-literal=token={TOKEN}");
        for args in [
            &["create", "namespace", OPERATORS][..],
            &["label", "namespace", OPERATORS, "pod-security.kubernetes.io/enforce=restricted"],
            &["create", "secret", "generic", "orion", "-n", OPERATORS, &token],
        ] {
            plane.kubectl_ok(args).await.unwrap();
        }
        let client = plane.admin_client().await.unwrap();
        Self {
            plane,
            sim,
            client,
            tools,
            directory: tempfile::tempdir().unwrap(),
            ports: [free_port(), free_port()],
            operator: Mutex::new(None),
            processes: Mutex::default(),
        }
    }

    /// Starts a process that runs as long as the control plane.
    pub fn run(&self, name: &str, command: &mut Command) {
        let log = self.directory.path().join(format!("{name}.log"));
        self.processes.lock().unwrap().push(Process::start(command, self.plane.process_group(), log));
    }

    /// Puts into the chart's values what this machine asks for.
    pub fn values_here(&self, values: &mut Value) {
        values["orion"]["url"] = json!(self.sim.url());
        values["metrics"] = json!({"port": self.ports[0]});
        values["probes"] = json!({"port": self.ports[1]});
        // As an operator of the tests: what is not known is looked at soon, and Orion is on this machine.
        values["extraArgs"] = json!(["--create-settle=4s", "--allow-insecure-connections"]);
    }

    /// Starts the operator as its Deployment says, which is waited for.
    pub async fn operator_starts(&self) {
        let deployment = until(PATIENCE, "the Deployment is there", async || {
            let args = ["get", "deployment", "orion-operator", "-n", OPERATORS, "-o", "json"];
            self.plane.kubectl_ok(&args).await.ok()
        })
        .await;
        let deployment: Value = serde_json::from_str(&deployment).unwrap();
        let process = operator::start(&self.plane, &deployment, self.directory.path()).await;
        *self.operator.lock().unwrap() = Some(process);
    }

    pub fn operator_ends(&self) {
        self.operator.lock().unwrap().take();
    }

    /// The UIDs of the operator's definitions.
    pub async fn definitions(&self) -> Vec<String> {
        let path = r"jsonpath={range .items[?(@.spec.group=='orion-operator.dev')]}{.metadata.uid}{'\n'}{end}";
        let list = self.plane.kubectl_ok(&["get", "crd", "-o", path]).await.unwrap();
        list.lines().map(str::to_owned).collect()
    }

    pub fn webhooks(&self, namespace: &str) -> Api<Webhook> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The webhooks at Orion with this presence name.
    pub fn at_orion(&self, presence: &str) -> Vec<StoredWebhook> {
        self.sim.webhooks().into_iter().filter(|webhook| webhook.presence_name == presence).collect()
    }

    /// The `X-Team` that [`webhook`] has at Orion.
    pub fn team_at_orion(&self, presence: &str) -> Vec<String> {
        let webhooks = self.at_orion(presence);
        let headers = webhooks.iter().flat_map(|webhook| &webhook.headers);
        headers.filter(|header| header.name == "X-Team").map(|header| header.value.clone()).collect()
    }

    /// What kube-apiserver was asked for about objects of ours, dry runs and reads aside.
    pub fn writes(&self) -> Vec<AuditEvent> {
        let events = self.plane.audit_events().unwrap();
        let is_kept = |event: &AuditEvent| event.is_write() && !event.request_uri.contains("dryRun=");
        let is_ours = |event: &AuditEvent| event.api_group == "orion-operator.dev";
        events.into_iter().filter(|event| is_ours(event) && is_kept(event)).collect()
    }
}
