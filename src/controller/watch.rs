//! Watches, and the loop that reconciles what they bring.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::{mpsc, oneshot};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt, future, stream};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::background::keep;
use super::clock::{Clock, watch_backoff};
use super::connections::{self, ConnectionHandle, ConnectionKey, ConnectionObject, ConnectionWatch, Terms, Users};
use super::context::{Caches, Context, ContextConfig, Guarded};
use super::name::WebhookName;
use super::orphans::watch_for_orphans;
use super::pruned::prune_guarded;
use super::queue;
use super::reconcile::Reconciles;
use super::shown::{shown, tells_when_filled};
use crate::api::{ClusterOrionConnection, OrionConnection};
use crate::health::Phase;
use crate::metrics::{Counted, Metrics};

/// How long the client of the apiserver may hear nothing on a connection that it waits on. Longer than a watch that has
/// nothing to tell (290 s), which the apiserver itself ends; without it, a list whose answer never comes, on a connection
/// that broke without a word, would hold its watch up for ever.
pub const APISERVER_SILENCE: Duration = Duration::from_secs(295);

/// What is watched, and how much at once.
#[derive(Clone, Debug)]
pub struct Watching {
    /// The namespaces; `None` for all.
    pub namespaces: Option<BTreeSet<String>>,
    /// Label selector of Webhooks.
    pub label_selector: Option<String>,
}

impl Watching {
    fn scopes(&self) -> Vec<Option<String>> {
        self.namespaces.as_ref().map_or_else(|| vec![None], |names| names.iter().cloned().map(Some).collect())
    }

    fn webhooks(&self) -> watcher::Config {
        self.label_selector
            .as_deref()
            .map_or_else(watcher::Config::default, |labels| watcher::Config::default().labels(labels))
    }
}

/// Watches and reconciles until `stop`, then finishes what is in flight.
pub async fn run(config: ContextConfig, watching: Watching, metrics: Arc<Metrics>, stop: CancellationToken) {
    let (mut loops, mut filled, mut connections) = (Vec::new(), Vec::new(), Vec::new());
    let mut caches = Caches { webhooks: Vec::new(), secrets: Vec::new(), namespaces: None, wakes: Vec::new() };
    let mut secrets = Vec::new();
    let clock = &Arc::clone(&config.clock);
    for scope in watching.scopes() {
        let (store, webhooks, is_filled) =
            watch_webhooks(scoped(&config.client, scope.as_deref()), watching.webhooks(), clock);
        let (wake, changes) = mpsc::unbounded();
        let (reader, events) = watch_metadata::<Secret>(scoped(&config.client, scope.as_deref()), "Secrets", clock);
        secrets.push((reader.clone(), events, scope.clone()));
        caches.webhooks.push(store);
        caches.secrets.push(reader);
        caches.wakes.push(wake);
        filled.push(is_filled);
        connections.push((
            scope.clone(),
            connections::watch::<OrionConnection>(scoped(&config.client, scope.as_deref()), clock),
        ));
        loops.push((webhooks, changes));
    }
    let is_everywhere = watching.namespaces.is_none();
    let clusters =
        is_everywhere.then(|| connections::watch::<ClusterOrionConnection>(Api::all(config.client.clone()), clock));
    let namespaces =
        is_everywhere.then(|| watch_metadata::<Namespace>(Api::all(config.client.clone()), "Namespaces", clock));
    caches.namespaces = namespaces.as_ref().map(|(reader, _)| reader.clone());
    let concurrency = config.concurrency;
    let default = config.default_connection.as_ref().map(|(handle, _)| Arc::clone(handle));
    let context = Arc::new(Context::new(config, &watching, caches, Arc::clone(&metrics), stop.clone()));
    metrics.line.at_most(concurrency);
    let counted: Arc<dyn Counted> = Arc::clone(&context) as Arc<dyn Counted>;
    metrics.asks(Arc::downgrade(&counted));
    if let Some(handle) = default {
        tend_default(&context, handle);
    }

    // Who uses what changes: Secrets bring Webhooks and connections back, labels of namespaces Webhooks.
    let mut users = Vec::new();
    for (index, (_, events, scope)) in secrets.into_iter().enumerate() {
        let of_connections = connections.iter().find(|(of, _)| *of == scope).map(|(_, watch)| watch.users());
        users.push(follow_secrets(
            &context,
            index,
            events,
            of_connections,
            clusters.as_ref().map(ConnectionWatch::users),
        ));
    }
    users.extend(namespaces.map(|(_, events)| follow_namespaces(&context, events)));
    for user in users {
        keep(&context.health, stop.clone(), "watches of Secrets and Namespaces", user);
    }

    // A scope begins when its Secrets are known by name, whatever becomes of the others. Not when Namespaces are: what
    // depends on their labels waits by itself, and the rest is served where they may not be read.
    info!("filling the cache of Secrets (metadata only)");
    let mut running = Vec::new();
    let mut clusters = clusters;
    for (index, ((scope, watch), (events, changes))) in connections.into_iter().zip(loops).enumerate() {
        let (Some(secrets), Some(webhooks)) =
            (context.secrets.get(index).cloned(), context.webhooks.get(index).cloned())
        else {
            continue;
        };
        let (connections, is_known) = serve_connections(&context, watch, move |context, known| {
            context.registry.namespaced_are_known(scope, known.into_iter());
        });
        filled.push(is_known);
        let mut scope_runs = vec![connections, reconcile_webhooks(&context, webhooks, events, changes)];
        if let Some(watch) = clusters.take() {
            let (connections, is_known) = serve_connections(&context, watch, |context, known| {
                context.registry.clusters_are_known(known.into_iter());
            });
            filled.push(is_known);
            scope_runs.push(connections);
        }
        let stop = stop.clone();
        running.push(async move {
            let is_filled = stop.run_until_cancelled(secrets.wait_until_ready()).await;
            if is_filled.is_some_and(|filled| filled.is_ok()) {
                future::join_all(scope_runs).await;
            }
        });
    }
    let health = Arc::clone(&context.health);
    tokio::spawn(async move {
        if future::join_all(filled).await.iter().all(Result::is_ok) {
            info!("caches are filled");
            health.enter(Phase::Serving);
        }
    });
    future::join_all(running).await;
    info!("stopped: nothing is in flight");
}

/// The loop over the Webhooks of one scope.
fn reconcile_webhooks(
    context: &Arc<Context>,
    store: Store<Guarded>,
    events: impl Stream<Item = watcher::Result<Event<Guarded>>> + Send + 'static,
    changes: mpsc::UnboundedReceiver<WebhookName>,
) -> BoxFuture<'static, ()> {
    let watching = Arc::clone(context);
    let seen = move |guarded: &Guarded| {
        let name = WebhookName::of(guarded);
        watching.caught_up(&name, guarded);
        name
    };
    let changed = shown(store, events, seen)
        .filter_map(|name| future::ready(name.inspect_err(|error| tell_watch_error("Webhooks", error)).ok()));
    let context = Arc::clone(context);
    async move {
        let (names, work) = (stream::select(changed, changes), Reconciles(Arc::clone(&context)));
        // A task of its own: each reconcile begins here, and should not wait for what goes on with connections.
        let serving = async move { queue::serve(names, context.stop.clone(), &context.metrics.line, work).await };
        if let Err(broken) = AbortOnDropHandle::new(tokio::spawn(serving)).await
            && let Ok(panic) = broken.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }
    .boxed()
}

/// The loop over connections. `tell` hears of all of them once they are known by name, and so does the receiver.
fn serve_connections<K: ConnectionObject>(
    context: &Arc<Context>,
    watch: ConnectionWatch<K>,
    tell: impl FnOnce(&Context, Vec<(ConnectionKey, Terms)>) + Send + 'static,
) -> (BoxFuture<'static, ()>, oneshot::Receiver<()>) {
    let (sender, receiver) = oneshot::channel();
    let (running, is_filled, store) = watch.run(Arc::clone(context));
    let context = Arc::clone(context);
    tokio::spawn(async move {
        if is_filled.await.is_ok() {
            tell(&context, connections::known(&store));
            context.wake_those(|webhook| webhook.spec.connection_ref.is_some());
            let _nobody_asks = sender.send(()).is_err();
        }
    });
    (running, receiver)
}

/// What goes on around the default connection. Its objects' have theirs from their reconcile.
fn tend_default(context: &Arc<Context>, handle: Arc<ConnectionHandle>) {
    let (mut revisions, stop) = (handle.subscribe(), context.stop.clone());
    let (tended, token) = (Arc::clone(&handle), stop.clone());
    let tending = async move { tended.tend(token).await };
    let (waking, key) = (Arc::clone(context), handle.key.clone());
    let wakes = async move {
        while revisions.changed().await.is_ok() {
            waking.wake(&key);
        }
    };
    let orphans = watch_for_orphans(Arc::clone(context), handle, stop.clone());
    keep(&context.health, stop.clone(), "news of the default connection", wakes);
    keep(&context.health, stop.clone(), "waits of the default connection", tending);
    keep(&context.health, stop, "orphans of the default connection", orphans);
}

/// Says what is wrong with a watch, and what to do. The watch itself is repeated with a back-off.
pub(super) fn tell_watch_error(what: &str, error: &watcher::Error) {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status)
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => Some(status),
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => None,
    };
    match status.map(|status| status.code) {
        Some(404) => warn!(
            "cannot watch {what}: the CRD is not installed. Install it with: orion-operator crds | kubectl apply -f -"
        ),
        Some(403) => {
            warn!("cannot watch {what}: the ServiceAccount may not list and watch them. Check its ClusterRole or Roles")
        }
        Some(410) => info!("the watch of {what} begins anew"),
        Some(code) => warn!(code, "cannot watch {what}"),
        None => warn!("cannot watch {what}: {error}"),
    }
}

/// Watches Webhooks. The receiver hears once that the cache is filled.
fn watch_webhooks(
    api: Api<Guarded>,
    config: watcher::Config,
    clock: &Arc<dyn Clock>,
) -> (Store<Guarded>, impl Stream<Item = watcher::Result<Event<Guarded>>> + Send + use<>, oneshot::Receiver<()>) {
    let (store, writer) = reflector::store();
    let events = watcher(api, config).backoff(watch_backoff(clock)).modify(prune_guarded).reflect(writer);
    let (events, filled) = tells_when_filled(events);
    (store, events, filled)
}

/// A stream of what happens to objects of which only the metadata is kept.
type Metadata<K> = BoxStream<'static, watcher::Result<Event<PartialObjectMeta<K>>>>;

/// Watches the metadata of a kind. Values of Secrets are never cached.
fn watch_metadata<K>(
    api: Api<PartialObjectMeta<K>>,
    what: &'static str,
    clock: &Arc<dyn Clock>,
) -> (Store<PartialObjectMeta<K>>, Metadata<K>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    let (reader, writer) = reflector::store();
    let events = watcher(api, watcher::Config::default())
        .backoff(watch_backoff(clock))
        .modify(|object| {
            object.metadata.managed_fields = None;
            object.metadata.annotations = None;
        })
        .reflect(writer)
        .inspect_err(move |error| tell_watch_error(what, error));
    (reader, events.boxed())
}

/// Brings back whoever refers to a Secret that changed: Webhooks of the scope at `index`, and connections.
fn follow_secrets(
    context: &Arc<Context>,
    index: usize,
    events: Metadata<Secret>,
    of_namespaces: Option<Users<OrionConnection>>,
    of_cluster: Option<Users<ClusterOrionConnection>>,
) -> BoxFuture<'static, ()> {
    let context = Arc::clone(context);
    let mut is_filled = false;
    let follow = move |event: watcher::Result<Event<PartialObjectMeta<Secret>>>| {
        let secret = match event {
            Ok(Event::Apply(secret) | Event::Delete(secret)) => Some(secret),
            // A watch that begins anew does not say what has changed meanwhile. The first list changes nothing: everything
            // is reconciled at the start.
            Ok(Event::InitDone) if std::mem::replace(&mut is_filled, true) => None,
            Ok(Event::Init | Event::InitApply(_) | Event::InitDone) | Err(_) => return future::ready(()),
        };
        let named = secret.as_ref().map(|secret| (secret.namespace().unwrap_or_default(), secret.name_any()));
        let named = named.as_ref().map(|(namespace, name)| (namespace.as_str(), name.as_str()));
        context.wake_users_of(index, named);
        if let Some(users) = &of_namespaces {
            users.wake(named, &context.operator_namespace);
        }
        if let Some(users) = &of_cluster {
            users.wake(named, &context.operator_namespace);
        }
        future::ready(())
    };
    events.for_each(follow).boxed()
}

/// Brings back the Webhooks of a namespace whose labels may have changed, where labels decide.
fn follow_namespaces(context: &Arc<Context>, events: Metadata<Namespace>) -> BoxFuture<'static, ()> {
    let context = Arc::clone(context);
    let follow = move |event: watcher::Result<Event<PartialObjectMeta<Namespace>>>| {
        match event {
            Ok(Event::Apply(namespace) | Event::Delete(namespace)) if context.registry.depends_on_labels() => {
                context.wake_namespace(&namespace.name_any());
            }
            // The first list may be what some wait for, a later one does not say what has changed.
            Ok(Event::InitDone) => context.wake_those(|webhook| webhook.spec.connection_ref.is_some()),
            Ok(Event::Apply(_) | Event::Delete(_) | Event::Init | Event::InitApply(_)) | Err(_) => {}
        }
        future::ready(())
    };
    events.for_each(follow).boxed()
}

pub(super) fn scoped<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    namespace.map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace))
}
