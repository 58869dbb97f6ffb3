//! Watches, and the loop that reconciles what they bring.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::{mpsc, oneshot};
use futures::{Stream, StreamExt, TryStreamExt, future, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use rand::RngExt;
use tokio::sync::watch::{Receiver, Sender};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::clock::chance;
use super::context::{Context, ContextConfig, Guarded};
use super::orphans::watch_for_orphans;
use super::reconcile::{ReconcileError, log_error, reconcile};
use crate::api::Webhook;
use crate::metrics::Metrics;
use crate::plan::backoff;

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

/// Watches and reconciles until `stop`, then finishes what is in flight. `ready` turns true when all caches are filled.
pub async fn run(
    config: ContextConfig,
    watching: Watching,
    metrics: Arc<Metrics>,
    ready: Sender<bool>,
    stop: CancellationToken,
) {
    let (mut loops, mut webhooks, mut secrets, mut filled) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for scope in watching.scopes() {
        let (store, events, is_filled) = watch_webhooks(scoped(&config.client, scope.as_deref()), watching.webhooks());
        let controller = Controller::for_stream(events, store.clone())
            .with_config(controller::Config::default().concurrency(config.concurrency));
        let (reader, changes) = watch_secrets(scoped(&config.client, scope.as_deref()), store.clone(), &stop);
        webhooks.push(store);
        secrets.push(reader);
        filled.push(is_filled);
        loops.push((controller, changes));
    }
    let connections: Vec<_> = config.default_connection.iter().cloned().collect();
    let context = Arc::new(Context::new(config, Arc::clone(&metrics), webhooks, secrets.clone()));
    for connection in &connections {
        let (connection, stop) = (Arc::clone(connection), stop.clone());
        tokio::spawn(async move { connection.tend(stop).await });
    }

    info!("filling the cache of Secrets (metadata only)");
    let secrets = future::join_all(secrets.iter().map(|store| store.wait_until_ready()));
    if stop.run_until_cancelled(secrets).await.is_none() {
        return;
    }
    tokio::spawn(async move {
        if future::join_all(filled).await.iter().all(Result::is_ok) {
            info!("caches are filled");
            ready.send_replace(true);
        }
    });
    for connection in &connections {
        let (context, connection) = (Arc::clone(&context), Arc::clone(connection));
        let (namespaces, metrics) = (watching.namespaces.clone(), Arc::clone(&metrics));
        tokio::spawn(watch_for_orphans(context, connection, namespaces, metrics, stop.clone()));
    }

    let running = loops.into_iter().map(|(controller, changes)| {
        let wakes = stream::select_all(connections.iter().map(|connection| changes_of(connection.subscribe()).boxed()));
        let (context, metrics) = (Arc::clone(&context), Arc::clone(&metrics));
        let results = controller
            .reconcile_on(changes)
            .reconcile_all_on(wakes)
            .graceful_shutdown_on(stop.clone().cancelled_owned())
            .run(reconcile, error_policy, Arc::clone(&context));
        results.for_each(move |result| {
            take_note(&context, &metrics, result);
            future::ready(())
        })
    });
    future::join_all(running).await;
    info!("stopped: nothing is in flight");
}

fn error_policy(guarded: Arc<Guarded>, error: &ReconcileError, context: Arc<Context>) -> Action {
    log_error(&guarded, error);
    Action::requeue(backoff(context.count_error(&key_of(&guarded)), chance(&*context.clock).random()))
}

fn take_note(
    context: &Context,
    metrics: &Metrics,
    result: Result<(ObjectRef<Guarded>, Action), controller::Error<ReconcileError, watcher::Error>>,
) {
    match result {
        Ok(_) => metrics.reconciled("success"),
        // Its end was told by the error policy.
        Err(controller::Error::ReconcilerFailed(..)) => metrics.reconciled("error"),
        Err(controller::Error::ObjectNotFound(gone)) => {
            let namespace = gone.namespace.unwrap_or_default();
            context.forget(&ObjectRef::new(&gone.name).within(&namespace));
        }
        Err(controller::Error::QueueError(error)) => tell_watch_error("Webhooks", &error),
        Err(controller::Error::RunnerError(error)) => warn!(%error, "the reconcile queue is in trouble"),
    }
}

/// Says what is wrong with a watch, and what to do. The watch itself is repeated with a back-off.
fn tell_watch_error(what: &str, error: &watcher::Error) {
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

/// Watches Webhooks. The receiver hears once that the cache is filled: the store's own `wait_until_ready` wakes only the
/// last of those who wait for it, and the controller is one of them.
fn watch_webhooks(
    api: Api<Guarded>,
    config: watcher::Config,
) -> (Store<Guarded>, impl Stream<Item = watcher::Result<Guarded>> + Send + 'static, oneshot::Receiver<()>) {
    let (store, writer) = reflector::store();
    let (sender, receiver) = oneshot::channel();
    let mut sender = Some(sender);
    let events = watcher(api, config)
        .default_backoff()
        .modify(|guarded| guarded.meta_mut().managed_fields = None)
        .reflect(writer)
        .inspect_ok(move |event| {
            if let Some(sender) = sender.take_if(|_| matches!(event, Event::InitDone)) {
                let _nobody_asks = sender.send(()).is_err();
            }
        })
        .applied_objects();
    (store, events, receiver)
}

/// Watches the metadata of Secrets, and sends the Webhooks that refer to one that changed. Values are never cached.
fn watch_secrets(
    api: Api<PartialObjectMeta<Secret>>,
    webhooks: Store<Guarded>,
    stop: &CancellationToken,
) -> (Store<PartialObjectMeta<Secret>>, mpsc::UnboundedReceiver<ObjectRef<Guarded>>) {
    let (reader, writer) = reflector::store();
    let (sender, receiver) = mpsc::unbounded();
    let events = watcher(api, watcher::Config::default())
        .default_backoff()
        .modify(|secret| {
            secret.metadata.managed_fields = None;
            secret.metadata.annotations = None;
            secret.metadata.labels = None;
        })
        .reflect(writer);
    let stop = stop.clone();
    tokio::spawn(async move {
        let mut is_filled = false;
        let watching = events.inspect_err(|error| tell_watch_error("Secrets", error)).for_each(|event| {
            let users = match event {
                Ok(Event::Apply(secret) | Event::Delete(secret)) => users_of(&webhooks, Some(&secret)),
                // A watch that begins anew does not say what has changed meanwhile. The first list changes nothing:
                // every Webhook is reconciled at the start.
                Ok(Event::InitDone) if std::mem::replace(&mut is_filled, true) => users_of(&webhooks, None),
                Ok(Event::Init | Event::InitApply(_) | Event::InitDone) | Err(_) => Vec::new(),
            };
            for webhook in users {
                let _receiver_is_gone = sender.unbounded_send(webhook).is_err();
            }
            future::ready(())
        });
        stop.run_until_cancelled(watching).await;
    });
    (reader, receiver)
}

/// The Webhooks that refer to `secret`, or to any.
fn users_of(webhooks: &Store<Guarded>, secret: Option<&PartialObjectMeta<Secret>>) -> Vec<ObjectRef<Guarded>> {
    let uses = |guarded: &Arc<Guarded>| {
        let names = guarded.0.as_ref().map(|webhook| webhook.spec.secret_names()).unwrap_or_default();
        match secret {
            Some(secret) => guarded.namespace() == secret.namespace() && names.contains(&secret.name_any().as_str()),
            None => !names.is_empty(),
        }
    };
    webhooks
        .state()
        .iter()
        .filter(|guarded| uses(guarded))
        .map(|guarded| ObjectRef::from_obj(guarded.as_ref()))
        .collect()
}

/// One item for each change of a watched number.
fn changes_of(receiver: Receiver<u64>) -> impl Stream<Item = ()> + Send {
    stream::unfold(receiver, |mut receiver| async move {
        receiver.changed().await.ok()?;
        Some(((), receiver))
    })
}

fn key_of(guarded: &DeserializeGuard<Webhook>) -> ObjectRef<Webhook> {
    ObjectRef::new(&guarded.name_any()).within(&guarded.namespace().unwrap_or_default())
}

pub(super) fn scoped<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    namespace.map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace))
}
