//! What the tests share: a control plane, and for each test a namespace with a simulator.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use data_encoding::{BASE64, HEXLOWER};
use devkit::control_plane::{AuditEvent, ControlPlane, Options};
use devkit::sim::{Answered, Config, OpenApi, Operation, RequestRecord, Sim, StoredWebhook};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use orion_operator::api::{ConnectionStatus, OWNER_HEADER, OrionConnection, Webhook, ready_condition};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::operator::Operator;

pub const TOKEN: &str = "static-token-of-the-tests";
/// Long enough for a loaded machine; every wait ends as soon as its condition holds.
pub const PATIENCE: Duration = Duration::from_secs(60);

struct Shared {
    runtime: Runtime,
    plane: ControlPlane,
    kubeconfig: PathBuf,
}

impl Shared {
    /// A control plane with the definitions and the operator's ServiceAccount.
    async fn start() -> (ControlPlane, PathBuf) {
        let plane = ControlPlane::start(Options::default()).await.unwrap();
        plane.install_crds(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/crds"))).await.unwrap();
        let rbac = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/install/rbac.yaml");
        plane.kubectl_ok(&["apply", "-f", rbac]).await.unwrap();
        let kubeconfig = plane.service_account_kubeconfig("orion-system", "orion-operator").await.unwrap();
        (plane, kubeconfig)
    }

    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (plane, kubeconfig) = runtime.block_on(Self::start());
        Self { runtime, plane, kubeconfig }
    }
}

/// The guardian of the control plane ends it with this process: statics are never dropped.
fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(Shared::new)
}

/// Runs one test on a control plane of its own, for what would disturb the others.
pub fn run_alone<F: Future<Output = ()>>(test: impl FnOnce(World) -> F) {
    static ALONE: OnceLock<Shared> = OnceLock::new();
    let alone = ALONE.get_or_init(Shared::new);
    alone.runtime.block_on(async { test(World::new(alone, Config::default()).await).await });
}

/// Runs one test with an operator that may watch all namespaces: alone on a control plane, one after the other.
pub fn run_cluster<F: Future<Output = ()>>(config: Config, test: impl FnOnce(World) -> F) {
    static CLUSTER: OnceLock<Shared> = OnceLock::new();
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let cluster = CLUSTER.get_or_init(Shared::new);
    cluster.runtime.block_on(async { test(World::new(cluster, config).await).await });
}

/// Runs one test.
pub fn run<F: Future<Output = ()>>(test: impl FnOnce(World) -> F) {
    let shared = shared();
    shared.runtime.block_on(async { test(World::new(shared, Config::default()).await).await });
}

/// Runs one test with another Orion.
pub fn run_with<F: Future<Output = ()>>(config: Config, test: impl FnOnce(World) -> F) {
    let shared = shared();
    shared.runtime.block_on(async { test(World::new(shared, config).await).await });
}

/// An Orion that can only create.
pub fn post_only(openapi: OpenApi) -> Config {
    Config { list: false, get: false, put: false, patch: false, delete: false, openapi, ..Config::default() }
}

/// Waits until `check` gives something.
pub async fn until<T>(what: &str, check: impl AsyncFnMut() -> Option<T>) -> T {
    until_each(Duration::from_millis(50), what, check).await
}

/// The same for a moment that is soon over: `check` is asked as often as `pause` says.
pub async fn until_each<T>(pause: Duration, what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = check().await {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {} s: {what}", PATIENCE.as_secs());
        tokio::time::sleep(pause).await;
    }
}

pub struct World {
    pub plane: &'static ControlPlane,
    pub kubeconfig: PathBuf,
    pub client: Client,
    pub sim: Sim,
    pub namespace: String,
    pub token_file: PathBuf,
    _directory: tempfile::TempDir,
}

impl World {
    async fn new(shared: &'static Shared, mut config: Config) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let namespace = format!("test-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let client = shared.plane.admin_client().await.unwrap();
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let object = serde_json::from_value(json!({"metadata": {"name": namespace}})).unwrap();
        namespaces.create(&PostParams::default(), &object).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let token_file = directory.path().join("token");
        std::fs::write(&token_file, TOKEN).unwrap();
        config.static_tokens = vec![TOKEN.into()];
        let sim = Sim::start(config).await.unwrap();
        Self {
            plane: &shared.plane,
            kubeconfig: shared.kubeconfig.clone(),
            client,
            sim,
            namespace,
            token_file,
            _directory: directory,
        }
    }

    /// An operator for this namespace, ready to work.
    pub async fn operator(&self, more: &[&str]) -> Operator {
        Operator::start(self, more).await
    }

    /// The same, with another URL of Orion.
    pub async fn operator_at(&self, url: &str, more: &[&str]) -> Operator {
        Operator::start_at(self, url, more).await
    }

    pub fn webhooks(&self) -> Api<Webhook> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub async fn create(&self, name: &str, spec: Value) -> Webhook {
        let object = object(name, spec);
        self.webhooks().create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap()
    }

    pub async fn create_labelled(&self, name: &str, spec: Value, labels: Value) {
        let mut object = object(name, spec);
        object["metadata"]["labels"] = labels;
        self.webhooks().create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    }

    pub async fn get(&self, name: &str) -> Webhook {
        self.webhooks().get(name).await.unwrap()
    }

    pub async fn merge(&self, name: &str, patch: Value) -> Webhook {
        self.webhooks().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap()
    }

    pub async fn annotate(&self, name: &str, key: &str, value: &str) {
        self.merge(name, json!({"metadata": {"annotations": {key: value}}})).await;
    }

    pub async fn delete(&self, name: &str) {
        self.webhooks().delete(name, &DeleteParams::default()).await.unwrap();
    }

    pub async fn deleted(&self, name: &str) {
        self.delete(name).await;
        until("the object is gone", async || self.webhooks().get_opt(name).await.unwrap().is_none().then_some(()))
            .await;
    }

    pub async fn secret(&self, name: &str, data: Value) {
        self.secret_in(&self.namespace, name, data).await;
    }

    pub async fn secret_in(&self, namespace: &str, name: &str, data: Value) {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(object)).await.unwrap();
    }

    /// Applies an OrionConnection to the simulator; `more` is merged into its spec.
    pub async fn connection(&self, name: &str, more: Value) {
        let mut spec =
            json!({"url": self.sim.url(), "timeout": "1s", "rateLimit": {"requestsPerSecond": 1000, "burst": 1000}});
        merge(&mut spec, more);
        let object = json!({
            "apiVersion": "orion-operator.dev/v1alpha1", "kind": "OrionConnection",
            "metadata": {"name": name, "namespace": self.namespace}, "spec": spec,
        });
        self.plane.apply(&object.to_string()).await.unwrap();
    }

    pub fn connections(&self) -> Api<OrionConnection> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Waits until Ready of the connection's current generation has this status and reason; gives its message.
    pub async fn connection_is(&self, name: &str, status: &str, reason: &str) -> String {
        is(&self.connections(), |it| it.status.clone(), name, status, reason).await
    }

    /// Waits until Ready of the current generation has this status and reason.
    pub async fn ready(&self, name: &str, status: &str, reason: &str) -> Webhook {
        let last = std::cell::RefCell::new(String::new());
        let wait = until("conditions", async || {
            let webhook = self.get(name).await;
            let generation = webhook.metadata.generation;
            let seen = webhook.status.clone().unwrap_or_default();
            let ready = ready_condition(&seen.conditions);
            *last.borrow_mut() =
                format!("{:?} {:?}", seen.observed_generation, ready.map(|r| (&r.status, &r.reason, &r.message)));
            let fits = ready.is_some_and(|ready| ready.status == status && ready.reason == reason);
            (fits && seen.observed_generation == generation).then_some(webhook)
        });
        tokio::time::timeout(PATIENCE - Duration::from_secs(1), wait)
            .await
            .unwrap_or_else(|_| panic!("{name} is not {status}/{reason} but {}", last.borrow()))
    }

    pub async fn synced(&self, name: &str) -> Webhook {
        self.ready(name, "True", "Synced").await
    }

    /// The webhooks at Orion with this presence name.
    pub fn at_orion(&self, presence: &str) -> Vec<StoredWebhook> {
        self.sim.webhooks().into_iter().filter(|webhook| webhook.presence_name == presence).collect()
    }

    /// Waits until a POST with each of these presence names is in flight.
    pub async fn in_flight(&self, presences: &[&str]) {
        let is_pending = |presence: &&str| self.posts(presence).iter().any(|post| post.status == Answered::Pending);
        let all = async || presences.iter().all(is_pending).then_some(());
        until_each(Duration::from_millis(5), "the POSTs are in flight", all).await;
    }

    /// The POSTs with this presence name, oldest first.
    pub fn posts(&self, presence: &str) -> Vec<RequestRecord> {
        let of_presence = |body: &Value| body["presence_name"] == presence;
        let fits = |it: &RequestRecord| it.operation == Operation::Create && it.body.as_ref().is_some_and(of_presence);
        self.sim.requests().into_iter().filter(fits).collect()
    }

    pub fn calls(&self, operation: Operation) -> u64 {
        self.sim.count(operation)
    }

    /// What the operator wrote in this namespace, Events aside.
    pub fn writes(&self) -> Vec<AuditEvent> {
        self.audit().into_iter().filter(AuditEvent::is_write).collect()
    }

    /// Waits until so many writes are in the audit log, which lags behind the answers a little; gives how many there are.
    pub async fn audited(&self, writes: usize) -> usize {
        until("the writes are in the audit log", async || (self.writes().len() >= writes).then_some(())).await;
        self.writes().len()
    }

    fn audit(&self) -> Vec<AuditEvent> {
        let events = self.plane.audit_events().unwrap();
        events
            .into_iter()
            .filter(|event| event.user == "system:serviceaccount:orion-system:orion-operator")
            .filter(|event| event.namespace == self.namespace)
            .filter(|event| event.resource != "events")
            .collect()
    }
}

/// Waits until Ready of a connection's current generation has this status and reason; gives its message.
pub async fn is<K>(
    api: &Api<K>,
    status_of: impl Fn(&K) -> Option<ConnectionStatus>,
    name: &str,
    status: &str,
    reason: &str,
) -> String
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let mut last = String::new();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let object = api.get(name).await.unwrap();
        let seen = status_of(&object).unwrap_or_default();
        if let Some(ready) = ready_condition(&seen.conditions) {
            last = format!("{}/{} {}", ready.status, ready.reason, ready.message);
            let is_current = seen.observed_generation == object.meta().generation;
            if is_current && ready.status == status && ready.reason == reason {
                return ready.message.clone();
            }
        }
        assert!(Instant::now() < deadline, "{name} is not {status}/{reason} but {last}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Merges `more` into `value`.
pub fn merge(value: &mut Value, more: Value) {
    match (value, more) {
        (Value::Object(fields), Value::Object(more)) => {
            for (name, value) in more {
                merge(fields.entry(name).or_insert(Value::Null), value);
            }
        }
        (value, more) => *value = more,
    }
}

/// Every form in which a secret could show: raw, encoded, and the first 8 characters of each.
pub fn forms(secret: &str) -> Vec<String> {
    let whole = [
        secret.to_owned(),
        BASE64.encode(secret.as_bytes()).trim_end_matches('=').to_owned(),
        HEXLOWER.encode(secret.as_bytes()),
        url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
    ];
    let begun = whole.clone().map(|form| form.chars().take(8).collect());
    whole.into_iter().chain(begun).collect()
}

/// A spec that uses a connection.
pub fn through(presence: &str, kind: &str, name: &str) -> Value {
    let mut declared = spec(presence);
    declared["connectionRef"] = json!({"kind": kind, "name": name});
    declared
}

/// A Webhook as JSON.
pub fn object(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "orion-operator.dev/v1alpha1", "kind": "Webhook", "metadata": {"name": name}, "spec": spec})
}

/// A spec with nothing special, whose presence name is `presence`.
pub fn spec(presence: &str) -> Value {
    json!({"url": "https://hooks.example.com/orion", "userId": "user-42", "presenceName": presence})
}

/// The headers at Orion without the owner marker, and the marker.
pub fn headers(webhook: &StoredWebhook) -> (Vec<(String, String)>, Option<String>) {
    let (markers, users): (Vec<_>, Vec<_>) = webhook.headers.iter().partition(|header| header.name == OWNER_HEADER);
    let users = users.into_iter().map(|header| (header.name.clone(), header.value.clone())).collect();
    (users, markers.first().map(|header| header.value.clone()))
}

pub fn id(webhook: &Webhook) -> String {
    webhook
        .status
        .as_ref()
        .and_then(|status| status.webhook_id.clone())
        .unwrap_or_else(|| panic!("{} has no id", webhook.name_any()))
}

pub fn condition(webhook: &Webhook, type_: &str) -> Option<String> {
    let status = webhook.status.as_ref()?;
    status.conditions.iter().find(|condition| condition.type_ == type_).map(|condition| condition.status.clone())
}

pub fn message(webhook: &Webhook) -> String {
    let status = webhook.status.clone().unwrap_or_default();
    ready_condition(&status.conditions).map(|ready| ready.message.clone()).unwrap_or_default()
}
