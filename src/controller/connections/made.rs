//! A connection at run time as its reconcile keeps it: made once, and made anew where its spec leads to another client.

use std::sync::Arc;

use kube::ResourceExt;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::ObjectRef;
use tokio_util::sync::CancellationToken;

use super::check::Checker;
use super::handle::{ConnectionHandle, ConnectionSettings};
use super::key::ConnectionKey;
use super::material::{self, Material, Shape, Versions};
use super::object::ConnectionObject;
use super::registry::Problem;
use super::status::Said;
use crate::api::REQUESTED_AT;
use crate::controller::background::keep;
use crate::controller::orphans::watch_for_orphans;
use crate::orion::{GivenCell, Oversight};
use crate::plan::Boot;

/// What is kept of one connection between reconciles.
#[derive(Clone)]
pub(super) struct Kept<K> {
    pub(super) uid: String,
    pub(super) latest: Option<K>,
    /// What the client was made of.
    pub(super) generation: Option<i64>,
    pub(super) versions: Option<Versions>,
    pub(super) problem: Option<Problem>,
    pub(super) made: Option<Arc<Made>>,
    /// What was told last: another shard may tell something else, and is not written over.
    pub(super) said: Option<Said>,
    /// What the annotation said that asks for a look, when it was looked at last.
    pub(super) requested: Option<String>,
    /// Looks in a row that failed, and when the next one is due.
    pub(super) failures: u32,
    pub(super) due: Boot,
    /// Reconciles in a row that ended in an error of ours or of the apiserver.
    pub(super) errors: u32,
    pub(super) released: bool,
}

impl<K> Kept<K> {
    pub(super) fn of(uid: String) -> Self {
        Self {
            uid,
            latest: None,
            generation: None,
            versions: None,
            problem: None,
            made: None,
            said: None,
            requested: None,
            failures: 0,
            due: Boot::ZERO,
            errors: 0,
            released: false,
        }
    }
}

impl<K: ConnectionObject> Kept<K> {
    /// The annotation asks for a look, and has not done so before. The contract has no place in the status to answer it in.
    pub(super) fn is_asked_by(&mut self, object: &K) -> bool {
        let requested = object.annotations().get(REQUESTED_AT);
        if requested.is_none() || requested == self.requested.as_ref() {
            return false;
        }
        self.requested = requested.cloned();
        true
    }
}

/// A connection at run time, and what it was made of. Its tasks end with it.
pub(super) struct Made {
    pub(super) shape: Shape,
    pub(super) handle: Arc<ConnectionHandle>,
    pub(super) cell: Arc<GivenCell>,
    pub(super) tasks: CancellationToken,
}

impl Drop for Made {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

impl<K: ConnectionObject> Checker<K> {
    /// The client, or new credentials for it.
    pub(super) async fn make(
        &self,
        key: &ConnectionKey,
        object: &K,
        kept: &mut Kept<K>,
        Material { shape, given }: Material,
        changed: &mut bool,
    ) -> Result<(), Problem> {
        if let Some(made) = kept.made.as_ref().filter(|made| made.shape == shape && !made.tasks.is_cancelled()) {
            made.cell.set(Ok(given));
            *changed |= made.handle.notice_credentials().await | kept.problem.is_some();
            return Ok(());
        }
        *changed = true;
        let settings = ConnectionSettings { ownership: shape.marking, timeout: shape.timeout };
        let is_another = match kept.made.as_ref() {
            Some(made) => !made.cell.holds(&given).await || made.shape.endpoint != shape.endpoint,
            None => false,
        };
        if let Some(made) = &kept.made {
            // What goes on around the old one must not go on beside the new one.
            made.tasks.cancel();
        }
        let (fence, calls) = (self.context.fence.clone(), self.context.metrics.orion.clone());
        let oversight = Oversight { fence, calls, witness: None };
        let (orion, cell) = material::client(&shape, given, oversight)?;
        let mut handle = ConnectionHandle::new(key.clone(), Arc::new(orion), settings, Arc::clone(&self.context.clock));
        if let Some(made) = &kept.made {
            handle = handle.after(&made.handle, is_another);
        }
        let handle = Arc::new(handle);
        handle.notice_credentials().await;
        let tasks = self.tend(key, object, &handle);
        kept.made = Some(Arc::new(Made { shape, handle, cell, tasks }));
        Ok(())
    }

    /// What goes on around a connection until the answer is cancelled.
    fn tend(&self, key: &ConnectionKey, object: &K, handle: &Arc<ConnectionHandle>) -> CancellationToken {
        let stop = self.context.stop.child_token();
        let (mut stirs, mut revisions) = (handle.stirs(), handle.subscribe());
        let (again, this) = (self.again.clone(), ObjectRef::from_obj(&DeserializeGuard(Ok(object.clone()))));
        let (context, key) = (Arc::clone(&self.context), key.clone());
        let wakes = async move {
            loop {
                tokio::select! {
                    Ok(()) = stirs.changed() => drop(again.unbounded_send(this.clone())),
                    Ok(()) = revisions.changed() => context.wake(&key),
                    else => return,
                }
            }
        };
        let (tended, token) = (Arc::clone(handle), stop.clone());
        let tending = async move { tended.tend(token).await };
        let orphans = watch_for_orphans(Arc::clone(&self.context), Arc::clone(handle), stop.clone());
        let health = &self.context.health;
        keep(health, stop.clone(), "news of a connection", wakes);
        keep(health, stop.clone(), "waits of a connection", tending);
        keep(health, stop.clone(), "orphans of a connection", orphans);
        stop
    }
}

/// The spec leads where `shape` does.
pub(super) fn is_at<K: ConnectionObject>(object: &K, shape: &Shape) -> bool {
    object.spec().endpoint().is_ok_and(|endpoint| endpoint == shape.endpoint)
}
