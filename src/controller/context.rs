//! What all reconciles share.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::events::Recorder;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, ResourceExt};

use tokio::sync::Semaphore;

use super::clock::Clock;
use super::connection::ConnectionHandle;
use super::events;
use crate::api::{Webhook, WebhookSpec};
use crate::metrics::Metrics;
use crate::plan::{Connection, Memory, Settings};

/// A Webhook that may not decode.
pub type Guarded = DeserializeGuard<Webhook>;

/// What is kept of one Webhook between reconciles.
#[derive(Clone, Default)]
pub(super) struct Entry {
    pub uid: String,
    pub memory: Memory,
    /// The object as our last write returned it, while the cache may still lag behind.
    pub latest: Option<Webhook>,
    /// Our finalizer is off: what the cache still shows of the object is old.
    pub released: bool,
    /// Reconciles in a row that ended in an error of ours or of the apiserver.
    pub errors: u32,
}

/// What a [`Context`] is made of.
pub struct ContextConfig {
    /// Client of the apiserver, without automatic retries.
    pub client: Client,
    /// Settings that decisions depend on.
    pub settings: Settings,
    /// The default connection, if there is one.
    pub default_connection: Option<Arc<ConnectionHandle>>,
    /// Clocks.
    pub clock: Arc<dyn Clock>,
    /// The longest time for one call to the apiserver.
    pub apiserver_timeout: Duration,
    /// Reconciles at once, over all namespaces.
    pub concurrency: u16,
}

/// What all reconciles share.
pub struct Context {
    pub(super) client: Client,
    pub(super) settings: Settings,
    pub(super) default_connection: Option<Arc<ConnectionHandle>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) apiserver_timeout: Duration,
    pub(super) recorder: Recorder,
    pub(super) metrics: Arc<Metrics>,
    pub(super) webhooks: Vec<Store<Guarded>>,
    pub(super) secrets: Vec<Store<PartialObjectMeta<Secret>>>,
    pub(super) slots: Semaphore,
    entries: Mutex<HashMap<ObjectRef<Webhook>, Entry>>,
}

impl Context {
    /// A context over the given caches.
    #[must_use]
    pub fn new(
        config: ContextConfig,
        metrics: Arc<Metrics>,
        webhooks: Vec<Store<Guarded>>,
        secrets: Vec<Store<PartialObjectMeta<Secret>>>,
    ) -> Self {
        let ContextConfig { client, settings, default_connection, clock, apiserver_timeout, concurrency } = config;
        let recorder = events::recorder(client.clone());
        Self {
            client,
            settings,
            default_connection,
            clock,
            apiserver_timeout,
            recorder,
            metrics,
            webhooks,
            secrets,
            slots: Semaphore::new(concurrency.into()),
            entries: Mutex::default(),
        }
    }

    /// What is remembered of the object; a new one of the same name starts afresh.
    pub(super) fn recall(&self, key: &ObjectRef<Webhook>, uid: &str) -> Entry {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        // Objects that went without us (a finalizer taken off by hand, say) are swept out now and then.
        let living: usize = self.webhooks.iter().map(Store::len).sum();
        if entries.len() > 2 * living + 64 {
            let is_here = |key: &ObjectRef<Webhook>| {
                let key = ObjectRef::new(&key.name).within(key.namespace.as_deref().unwrap_or_default());
                self.webhooks.iter().any(|store| store.get(&key).is_some())
            };
            entries.retain(|key, _| is_here(key));
        }
        let entry = entries.entry(key.clone()).or_default();
        if entry.uid != uid {
            *entry = Entry { uid: uid.to_owned(), ..Entry::default() };
        }
        entry.clone()
    }

    /// Keeps what is remembered. Called before each effect, so that a panic or a deadline cannot lose it.
    pub(super) fn remember(&self, key: &ObjectRef<Webhook>, entry: &Entry) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), entry.clone());
    }

    /// Forgets an object that is gone.
    pub(super) fn forget(&self, key: &ObjectRef<Webhook>) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// One more reconcile of the object ended in an error; says how many in a row.
    pub(super) fn count_error(&self, key: &ObjectRef<Webhook>) -> u32 {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get_mut(key).map_or(0, |entry| {
            entry.errors = entry.errors.saturating_add(1);
            entry.errors - 1
        })
    }

    /// The connection of a Webhook, with what a decision may depend on.
    pub(super) async fn connection(&self, webhook: &Webhook) -> (Option<Arc<ConnectionHandle>>, Connection) {
        if let Some(reference) = &webhook.spec.connection_ref {
            let kind = reference.kind.unwrap_or_default();
            let message = format!(
                "There is no {kind:?} named {}. Create it, or take spec.connectionRef out of a new Webhook to use the default connection",
                reference.name
            );
            return (None, Connection::Missing { message, lost: false });
        }
        let Some(handle) = &self.default_connection else {
            let message = "The operator has no default connection. Start it with --orion-url, or name a connection in spec.connectionRef";
            return (None, Connection::Missing { message: message.into(), lost: false });
        };
        let namespace = webhook.namespace().unwrap_or_default();
        if handle.settings.namespaces.as_ref().is_some_and(|allowed| !allowed.contains(&namespace)) {
            let message = format!(
                "The default connection does not serve the namespace {namespace}. Ask its administrator to add it to --default-connection-namespaces"
            );
            return (None, Connection::NotAllowed { message });
        }
        handle.discover().await;
        (Some(Arc::clone(handle)), Connection::Usable(Box::new(handle.facts())))
    }

    /// What `pick` gives for the Webhooks in the caches.
    fn pick<T>(&self, mut pick: impl FnMut(&Webhook) -> Option<T>) -> impl Iterator<Item = T> {
        self.webhooks
            .iter()
            .flat_map(|store| store.state())
            .filter_map(move |guarded| guarded.0.as_ref().ok().and_then(&mut pick))
    }

    /// Namespace and name of the Webhooks in the caches, also of those that do not decode.
    pub(super) fn names(&self) -> Vec<(String, String)> {
        let name = |guarded: &Arc<Guarded>| (guarded.namespace().unwrap_or_default(), guarded.name_any());
        self.webhooks.iter().flat_map(|store| store.state()).map(|guarded| name(&guarded)).collect()
    }

    /// Ids that Webhooks have stored for an endpoint. One that is going may be gone at Orion already, and rightly.
    pub(super) fn stored_ids(&self, endpoint: &str) -> BTreeSet<String> {
        self.pick(|webhook| {
            let status = webhook.status.as_ref().filter(|_| webhook.metadata.deletion_timestamp.is_none())?;
            status.webhook_id.clone().filter(|_| status.endpoint.as_deref() == Some(endpoint))
        })
        .collect()
    }

    /// The other Webhook that holds an id of an endpoint.
    pub(super) fn holder(&self, endpoint: &str, id: &str, but: &ObjectRef<Webhook>) -> Option<String> {
        let holds = |webhook: &Webhook| {
            let status = webhook.status.as_ref()?;
            let is_held = status.webhook_id.as_deref() == Some(id) && status.endpoint.as_deref() == Some(endpoint);
            let is_another = is_held && ObjectRef::from_obj(webhook) != *but;
            is_another.then(|| format!("{}/{}", webhook.namespace().unwrap_or_default(), webhook.name_any()))
        };
        self.pick(holds).next()
    }

    /// resourceVersions of the Secrets that a spec refers to, as the cache has them.
    pub(super) fn secret_versions(&self, namespace: &str, spec: &WebhookSpec) -> BTreeMap<String, Option<String>> {
        spec.secret_names()
            .into_iter()
            .map(|name| {
                let key = ObjectRef::new(name).within(namespace);
                let secret = self.secrets.iter().find_map(|store| store.get(&key));
                (name.to_owned(), secret.and_then(|secret| secret.resource_version()))
            })
            .collect()
    }
}
