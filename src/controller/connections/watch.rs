//! Watches connections, and the loops that reconcile them.

use std::sync::Arc;

use futures::channel::{mpsc, oneshot};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, future};
use kube::Api;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use tracing::warn;

use super::check::Checker;
use super::key::ConnectionKey;
use super::object::{ConnectionObject, Terms};
use crate::controller::background::keep;
use crate::controller::clock::{Clock, watch_backoff};
use crate::controller::context::Context;
use crate::controller::reconcile::ReconcileError;
use crate::controller::shown::{shown, tells_when_filled};
use crate::controller::watch::tell_watch_error;

/// Connections of one kind and scope, not reconciled yet.
pub(in crate::controller) struct ConnectionWatch<K: ConnectionObject> {
    store: Store<DeserializeGuard<K>>,
    filled: oneshot::Receiver<()>,
    again: mpsc::UnboundedSender<ObjectRef<DeserializeGuard<K>>>,
    changes: mpsc::UnboundedReceiver<ObjectRef<DeserializeGuard<K>>>,
    events: BoxStream<'static, watcher::Result<DeserializeGuard<K>>>,
}

/// The connections that refer to Secrets.
pub(in crate::controller) struct Users<K: ConnectionObject> {
    store: Store<DeserializeGuard<K>>,
    again: mpsc::UnboundedSender<ObjectRef<DeserializeGuard<K>>>,
}

impl<K: ConnectionObject> Users<K> {
    /// Brings those back that refer to a Secret (its namespace and name), or to any.
    pub(in crate::controller) fn wake(&self, secret: Option<(&str, &str)>, operators: &str) {
        let uses = |object: &K| match secret {
            Some((namespace, name)) => {
                K::secrets_namespace(object.meta(), operators) == namespace
                    && object.spec().secret_names().contains(&name)
            }
            None => true,
        };
        // What does not decode refers to no Secret, and is brought back only with all.
        let is_meant = |guarded: &DeserializeGuard<K>| guarded.0.as_ref().map_or(secret.is_none(), uses);
        for guarded in self.store.state().iter().filter(|guarded| is_meant(guarded)) {
            let _receiver_is_gone = self.again.unbounded_send(ObjectRef::from_obj(guarded.as_ref())).is_err();
        }
    }
}

/// Begins a watch. Nothing is asked of the apiserver before [`ConnectionWatch::run`].
pub(in crate::controller) fn watch<K: ConnectionObject>(
    api: Api<DeserializeGuard<K>>,
    clock: &Arc<dyn Clock>,
) -> ConnectionWatch<K> {
    let (store, writer) = reflector::store();
    let (again, changes) = mpsc::unbounded();
    let events = watcher(api, watcher::Config::default())
        .backoff(watch_backoff(clock))
        .modify(|guarded| kube::Resource::meta_mut(guarded).managed_fields = None)
        .reflect(writer);
    let (events, filled) = tells_when_filled(events);
    let events = shown(store.clone(), events, Clone::clone).boxed();
    ConnectionWatch { store, filled, again, changes, events }
}

/// Keys of all connections in a cache, with what is known of who may use them.
pub(in crate::controller) fn known<K: ConnectionObject>(
    store: &Store<DeserializeGuard<K>>,
) -> Vec<(ConnectionKey, Terms)> {
    let key_and_terms = |guarded: &Arc<DeserializeGuard<K>>| match &guarded.0 {
        Ok(object) => (object.key(), object.terms()),
        Err(invalid) => {
            let key = K::key_of(&invalid.metadata);
            let terms = ConnectionKey::terms_of_nothing();
            (key, terms)
        }
    };
    store.state().iter().map(key_and_terms).collect()
}

/// The loop, who hears once that the cache is filled, and the cache.
type Running<K> = (BoxFuture<'static, ()>, oneshot::Receiver<()>, Store<DeserializeGuard<K>>);

impl<K: ConnectionObject> ConnectionWatch<K> {
    /// Those that refer to Secrets.
    pub(in crate::controller) fn users(&self) -> Users<K> {
        Users { store: self.store.clone(), again: self.again.clone() }
    }

    /// Reconciles until the operator stops, then finishes what is in flight.
    pub(in crate::controller) fn run(self, context: Arc<Context>) -> Running<K> {
        let Self { store, again, changes, events, filled } = self;
        let stop = context.stop.clone();
        let (users, mut speaks, operators) = (
            Users { store: store.clone(), again: again.clone() },
            context.speaks.clone(),
            context.operator_namespace.clone(),
        );
        let told = async move {
            // What was not said until now is said now.
            while speaks.changed().await.is_ok() {
                users.wake(None, &operators);
            }
        };
        keep(&context.health, stop.clone(), "who speaks for connections", told);
        let checker = Arc::new(Checker::new(context, again));
        let results = Controller::for_stream(events, store.clone())
            .reconcile_on(changes)
            .graceful_shutdown_on(stop.cancelled_owned())
            .run(Checker::reconcile, error_policy, Arc::clone(&checker));
        let noted = results.for_each(move |result| {
            take_note(&checker, result);
            future::ready(())
        });
        (noted.boxed(), filled, store)
    }
}

fn error_policy<K: ConnectionObject>(
    guarded: Arc<DeserializeGuard<K>>,
    _: &ReconcileError,
    checker: Arc<Checker<K>>,
) -> Action {
    // The error was told by the reconcile itself.
    let metadata = kube::Resource::meta(&*guarded);
    Action::requeue(checker.backoff(checker.count_error(&K::key_of(metadata))))
}

/// How a reconcile ended.
type Ended<K> = Result<(ObjectRef<DeserializeGuard<K>>, Action), controller::Error<ReconcileError, watcher::Error>>;

fn take_note<K: ConnectionObject>(checker: &Checker<K>, result: Ended<K>) {
    match result {
        // It has told its end itself.
        Ok(_) | Err(controller::Error::ReconcilerFailed(..)) => {}
        Err(controller::Error::ObjectNotFound(gone)) => {
            let metadata = kube::core::ObjectMeta {
                name: Some(gone.name.clone()),
                namespace: gone.namespace.clone(),
                ..kube::core::ObjectMeta::default()
            };
            checker.forget(&K::key_of(&metadata));
        }
        Err(controller::Error::QueueError(error)) => tell_watch_error(&K::plural(&()), &error),
        Err(controller::Error::RunnerError(error)) => warn!(%error, "the reconcile queue is in trouble"),
    }
}
