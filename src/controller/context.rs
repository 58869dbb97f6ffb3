//! What all reconciles share.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::channel::mpsc;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, ResourceExt};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::connections::{ConnectionHandle, ConnectionKey, Offer, Reached, Registry, Slot, Terms, holds};
use super::events::Events;
use super::name::WebhookName;
use super::reconcile::is_newer;
use super::watch::Watching;
use crate::api::{CREATE_ATTEMPT, Webhook, WebhookSpec};
use crate::fence::Fence;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::plan::{Boot, Memory, Settings};

/// A Webhook that may not decode.
pub type Guarded = DeserializeGuard<Webhook>;

/// What is kept of one Webhook between reconciles.
#[derive(Clone, Default)]
pub(super) struct Entry {
    pub uid: String,
    pub memory: Memory,
    /// The object as our last write returned it, while the cache may still lag behind.
    pub latest: Option<Arc<Webhook>>,
    /// Our finalizer is off: what the cache still shows of the object is old.
    pub released: bool,
    /// Reconciles in a row that ended in an error of ours or of the apiserver.
    pub errors: u32,
    /// Since when it waits to hear of its connection.
    pub waiting: Option<Boot>,
    /// When it was last seen to be right at Orion, or else first met.
    pub checked: Boot,
}

/// What is kept of all, each on its own: a table of these is never full, and its empty places would be as large.
pub(super) type Entries = HashMap<WebhookName, Arc<Entry>>;

/// What a [`Context`] is made of.
pub struct ContextConfig {
    /// Client of the apiserver, without automatic retries.
    pub client: Client,
    /// The same for lists that fill no cache, of which nobody's health depends.
    pub aside: Client,
    /// Settings that decisions depend on.
    pub settings: Settings,
    /// The default connection, if there is one, and who may use it.
    pub default_connection: Option<(Arc<ConnectionHandle>, Terms)>,
    /// Where the Secrets of ClusterOrionConnections are.
    pub operator_namespace: String,
    /// OrionConnections may use http and addresses that are not globally routable.
    pub allow_insecure_connections: bool,
    /// Clocks.
    pub clock: Arc<dyn Clock>,
    /// The longest time for one call to the apiserver.
    pub apiserver_timeout: Duration,
    /// Reconciles at once, over all namespaces.
    pub concurrency: u16,
    /// Until when anything may be changed.
    pub fence: Fence,
    /// Whether this process writes the status of connections: among shards one does.
    pub speaks: watch::Receiver<bool>,
    /// Where it is told how the process is.
    pub health: Arc<Health>,
}

/// Caches of what is watched, and the way to bring a Webhook back; one of each for each scope.
pub(super) struct Caches {
    pub webhooks: Vec<Store<Guarded>>,
    pub secrets: Vec<Store<PartialObjectMeta<Secret>>>,
    /// Only where all namespaces are watched.
    pub namespaces: Option<Store<PartialObjectMeta<Namespace>>>,
    pub wakes: Vec<mpsc::UnboundedSender<WebhookName>>,
}

/// What all reconciles share.
pub struct Context {
    pub(super) client: Client,
    pub(super) aside: Client,
    pub(super) settings: Settings,
    pub(super) operator_namespace: String,
    pub(super) allow_insecure: bool,
    pub(super) registry: Registry,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) apiserver_timeout: Duration,
    pub(super) events: Events,
    pub(super) metrics: Arc<Metrics>,
    pub(super) webhooks: Vec<Store<Guarded>>,
    pub(super) secrets: Vec<Store<PartialObjectMeta<Secret>>>,
    /// Reconciles at once, over all shares.
    pub(super) slots: Arc<Semaphore>,
    /// The namespaces that are watched; `None` for all.
    pub(super) watched: Option<BTreeSet<String>>,
    /// Others may have Webhooks of the same namespaces: this one watches only those with certain labels.
    pub(super) is_shard: bool,
    pub(super) stop: CancellationToken,
    pub(super) fence: Fence,
    pub(super) speaks: watch::Receiver<bool>,
    pub(super) health: Arc<Health>,
    namespaces: Option<Store<PartialObjectMeta<Namespace>>>,
    wakes: Vec<mpsc::UnboundedSender<WebhookName>>,
    entries: Mutex<Entries>,
}

impl Context {
    /// A context over the given caches.
    pub(super) fn new(
        config: ContextConfig,
        watching: &Watching,
        caches: Caches,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) -> Self {
        let events = Events::new(config.client.clone());
        let Caches { webhooks, secrets, namespaces, wakes } = caches;
        let default = config.default_connection.map(|(handle, terms)| {
            handle.allow_adoption(terms.adoption);
            Slot { terms, offer: Offer::Usable, handle: Some(handle), deleting: false, refused: false }
        });
        Self {
            client: config.client,
            aside: config.aside,
            settings: config.settings,
            operator_namespace: config.operator_namespace,
            allow_insecure: config.allow_insecure_connections,
            registry: Registry::new(default, watching.namespaces.is_none(), config.concurrency),
            clock: config.clock,
            apiserver_timeout: config.apiserver_timeout,
            events,
            metrics,
            webhooks,
            secrets,
            slots: Arc::new(Semaphore::new(config.concurrency.into())),
            watched: watching.namespaces.clone(),
            is_shard: watching.label_selector.is_some(),
            stop,
            fence: config.fence,
            speaks: config.speaks,
            health: config.health,
            namespaces,
            wakes,
            entries: Mutex::default(),
        }
    }

    /// The object as the cache of its scope has it.
    pub(super) fn cached(&self, key: &WebhookName) -> Option<Arc<Guarded>> {
        let key = key.to_ref();
        self.webhooks.iter().find_map(|store| store.get(&key))
    }

    /// What is remembered of all objects.
    pub(super) fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is remembered of the object; a new one of the same name starts afresh.
    pub(super) fn recall(&self, key: &WebhookName, uid: &str) -> Entry {
        let mut entries = self.entries();
        // Objects that went without us (a finalizer taken off by hand, say) are swept out now and then.
        let living: usize = self.webhooks.iter().map(Store::len).sum();
        if entries.len() > 2 * living + 64 {
            entries.retain(|key, _| self.cached(key).is_some());
        }
        let entry = entries.entry(key.clone()).or_default();
        if entry.uid != uid {
            *entry = Arc::new(Entry { uid: uid.to_owned(), checked: self.clock.boot(), ..Entry::default() });
        }
        Entry::clone(entry)
    }

    /// Keeps what is remembered. Called before each effect, so that a panic or a deadline cannot lose it.
    pub(super) fn remember(&self, key: &WebhookName, entry: &Entry) {
        let mut entry = entry.clone();
        if entry.latest.is_some() {
            let cached = self.cached(key);
            entry.latest = entry.latest.filter(|latest| cached.is_none_or(|cached| is_ahead(latest, &cached)));
        }
        self.entries().insert(key.clone(), Arc::new(entry));
    }

    /// The cache has the object in this version now: a copy that is no newer is of no use.
    pub(super) fn caught_up(&self, key: &WebhookName, cached: &Guarded) {
        let mut entries = self.entries();
        let known = entries.get_mut(key);
        if let Some(entry) = known
            && entry.latest.as_ref().is_some_and(|latest| !is_ahead(latest, cached))
        {
            Arc::make_mut(entry).latest = None;
        }
    }

    /// Forgets an object that is gone.
    pub(super) fn forget(&self, key: &WebhookName) {
        self.entries().remove(key);
    }

    /// One more reconcile of the object ended in an error; says how many in a row.
    pub(super) fn count_error(&self, key: &WebhookName) -> u32 {
        let mut entries = self.entries();
        entries.get_mut(key).map_or(0, |entry| {
            let entry = Arc::make_mut(entry);
            entry.errors = entry.errors.saturating_add(1);
            entry.errors - 1
        })
    }

    /// What a Webhook finds at this moment.
    pub(super) fn reached(&self, webhook: &Webhook) -> Reached {
        let namespace = ObjectRef::new(&webhook.namespace().unwrap_or_default());
        let namespace = self.namespaces.as_ref().and_then(|store| store.get(&namespace));
        let none = BTreeMap::new();
        let labels = namespace.as_ref().map(|namespace| namespace.metadata.labels.as_ref().unwrap_or(&none));
        self.registry.reach(webhook, labels)
    }

    /// The connection of a Webhook, with what a decision may depend on.
    pub(super) async fn reach(&self, webhook: &Webhook) -> Reached {
        match self.reached(webhook) {
            // The look at an object's connection has done so already.
            Reached::Found(Some(handle), _) if handle.key == ConnectionKey::Default => {
                handle.discover().await;
                let facts = handle.facts();
                Reached::Found(Some(handle), crate::plan::Connection::Usable(Box::new(facts)))
            }
            reached @ (Reached::Found(..) | Reached::Pending) => reached,
        }
    }

    /// Brings the Webhooks of a connection back.
    pub(super) fn wake(&self, key: &ConnectionKey) {
        self.wake_those(|webhook| ConnectionKey::of(webhook).as_ref() == Some(key));
    }

    /// Brings the Webhooks of a namespace back that use a connection of the cluster: its labels may be others now.
    pub(super) fn wake_namespace(&self, name: &str) {
        self.wake_those(|webhook| {
            let uses_cluster = matches!(ConnectionKey::of(webhook), Some(ConnectionKey::Cluster { .. }));
            uses_cluster && webhook.metadata.namespace.as_deref() == Some(name)
        });
    }

    /// Brings the Webhooks of the scope at `index` back that refer to a Secret, or to any.
    pub(super) fn wake_users_of(&self, index: usize, secret: Option<(&str, &str)>) {
        let (Some(store), Some(wake)) = (self.webhooks.get(index), self.wakes.get(index)) else { return };
        wake_those_in(store, wake, |webhook| {
            let names = webhook.spec.secret_names();
            match secret {
                Some((namespace, name)) => {
                    webhook.metadata.namespace.as_deref() == Some(namespace) && names.contains(&name)
                }
                None => !names.is_empty(),
            }
        });
    }

    /// Brings Webhooks back.
    pub(super) fn wake_those(&self, are_meant: impl Fn(&Webhook) -> bool) {
        for (store, wake) in self.webhooks.iter().zip(&self.wakes) {
            wake_those_in(store, wake, &are_meant);
        }
    }

    /// How many Webhooks in the caches hold something at a connection.
    pub(super) fn users(&self, key: &ConnectionKey) -> usize {
        let holds = |webhook: &Webhook| {
            let has_id = webhook.status.as_ref().is_some_and(|status| status.webhook_id.is_some());
            let is_held = holds(webhook.finalizers(), has_id, webhook.annotations().contains_key(CREATE_ATTEMPT));
            (is_held && ConnectionKey::of(webhook).as_ref() == Some(key)).then_some(())
        };
        self.pick(holds).count()
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

    /// Ids that Webhooks of a connection have stored for its endpoint: another connection to the same place may see another
    /// account. One that is going may be gone at Orion already, and rightly.
    pub(super) fn stored_ids(&self, key: &ConnectionKey, endpoint: &str) -> BTreeSet<String> {
        self.pick(|webhook| {
            if ConnectionKey::of(webhook).as_ref() != Some(key) {
                return None;
            }
            let status = webhook.status.as_ref().filter(|_| webhook.metadata.deletion_timestamp.is_none())?;
            status.webhook_id.clone().filter(|_| status.endpoint.as_deref() == Some(endpoint))
        })
        .collect()
    }

    /// The other Webhook that holds an id of an endpoint.
    pub(super) fn holder(&self, endpoint: &str, id: &str, but: &WebhookName) -> Option<String> {
        let holds = |webhook: &Webhook| {
            let status = webhook.status.as_ref()?;
            let is_held = status.webhook_id.as_deref() == Some(id) && status.endpoint.as_deref() == Some(endpoint);
            is_held.then(|| WebhookName::of(webhook)).filter(|name| name != but).map(|name| name.to_string())
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

/// Our last write is not in the cache yet.
fn is_ahead(latest: &Webhook, cached: &Guarded) -> bool {
    cached.0.as_ref().is_ok_and(|cached| is_newer(latest, cached))
}

fn wake_those_in(
    store: &Store<Guarded>,
    wake: &mpsc::UnboundedSender<WebhookName>,
    are_meant: impl Fn(&Webhook) -> bool,
) {
    for guarded in store.state().iter().filter(|guarded| guarded.0.as_ref().is_ok_and(&are_meant)) {
        let _receiver_is_gone = wake.unbounded_send(WebhookName::of(guarded.as_ref())).is_err();
    }
}

#[cfg(test)]
pub(super) mod tests;
