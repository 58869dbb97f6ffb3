//! The reconcile of a connection: make its client, look whether Orion answers, tell the status, wake its Webhooks.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::channel::mpsc::UnboundedSender;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use rand::RngExt;
use tracing::field::Empty;
use tracing::{info, warn};

use super::handle::{ConnectionHandle, Standing};
use super::key::ConnectionKey;
use super::made::{Kept, Made, is_at};
use super::material;
use super::object::{ConnectionObject, newest, path};
use super::registry::{Offer, Problem, Share, Slot};
use super::status::{self, Said};
use super::users;
use crate::api::{CONNECTION_FINALIZER, Reason, State, ready_condition};
use crate::controller::clock::chance;
use crate::controller::context::Context;
use crate::controller::ended::{self, Ended};
use crate::controller::patch::{self, ApiError};
use crate::controller::queue::Again;
use crate::controller::reconcile::ReconcileError;
use crate::controller::{events, undecodable};
use crate::plan::{Boot, backoff};

/// The longest reconcile: a safety net.
const DEADLINE: Duration = Duration::from_secs(360);
/// A look that takes longer is told in the status.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether the last Webhook of a connection that is going is gone.
const HELD_AGAIN: Duration = Duration::from_secs(2);
/// What Orion can do is asked for again after this time, where it could not be told.
const DISCOVERY_AGAIN: Duration = Duration::from_secs(31);
/// The first wait after a refusal that a person must mend; each further one is twice as long.
const REFUSED: Duration = Duration::from_secs(60);
/// The longest such wait.
const REFUSED_AT_MOST: Duration = Duration::from_secs(600);

/// Reconciles the connections of one kind.
pub(in crate::controller) struct Checker<K: ConnectionObject> {
    pub(super) context: Arc<Context>,
    /// Whoever finds that a connection may stand otherwise says so here.
    pub(super) again: UnboundedSender<ObjectRef<DeserializeGuard<K>>>,
    kept: Mutex<HashMap<ConnectionKey, Kept<K>>>,
}

impl<K: ConnectionObject> Checker<K> {
    pub(super) fn new(context: Arc<Context>, again: UnboundedSender<ObjectRef<DeserializeGuard<K>>>) -> Self {
        Self { context, again, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<ConnectionKey, Kept<K>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more reconcile ended in an error; says how many in a row there were before.
    pub(super) fn count_error(&self, key: &ConnectionKey) -> u32 {
        let mut all = self.kept();
        let kept = all.entry(key.clone()).or_insert_with(|| Kept::of(String::new()));
        kept.errors = kept.errors.saturating_add(1);
        kept.errors - 1
    }

    /// The object is gone.
    pub(super) fn forget(&self, key: &ConnectionKey) {
        self.kept().remove(key);
        if self.context.registry.remove(key) {
            self.context.wake(key);
        }
    }

    /// Brings one connection to rest.
    ///
    /// # Errors
    /// Only trouble with the apiserver and bugs; what goes wrong at Orion is told in the status.
    #[tracing::instrument(skip_all, fields(
        kind = %K::kind(&()),
        object = %path(Resource::meta(&*guarded)),
        generation = Resource::meta(&*guarded).generation,
        outcome = Empty,
        milliseconds = Empty,
    ))]
    pub(super) async fn reconcile(
        guarded: Arc<DeserializeGuard<K>>,
        checker: Arc<Self>,
    ) -> Result<Action, ReconcileError> {
        let reconciles = K::reconciles(&checker.context.metrics);
        let under_way = reconciles.begins();
        ended::end(reconciles, under_way, checker.bounded(&guarded).await).map(Action::from)
    }

    async fn bounded(&self, guarded: &DeserializeGuard<K>) -> Result<Ended, ReconcileError> {
        let work = AssertUnwindSafe(self.checked(guarded)).catch_unwind();
        match tokio::time::timeout(DEADLINE, work).await {
            Ok(Ok(Err(ApiError::Changed))) => {
                // Mostly a lost race. Again and again, it is an admission policy that refuses our writes.
                let times = self.count_error(&K::key_of(Resource::meta(guarded)));
                if times >= 3 {
                    warn!(
                        times,
                        "the apiserver refuses to write this connection: has an admission policy something against it?"
                    );
                }
                let wait = if times == 0 { Duration::from_millis(500) } else { self.backoff(times) };
                Ok(Ended::again(wait))
            }
            Ok(Ok(result)) => Ok(Ended::done(result?)),
            Ok(Err(_)) => Err(ReconcileError::Panic),
            Err(_) => Err(ReconcileError::Deadline),
        }
    }

    pub(super) fn backoff(&self, times: u32) -> Duration {
        backoff(times, chance(&*self.context.clock).random())
    }

    async fn checked(&self, guarded: &DeserializeGuard<K>) -> Result<Again, ApiError> {
        match &guarded.0 {
            Ok(object) => self.check(object.clone()).await,
            Err(invalid) => {
                // The decoder's own words can quote the object's values, so they are left out.
                warn!("the stored object does not decode as a connection; the others are served on");
                let key = K::key_of(&invalid.metadata);
                let message =
                    "The stored object does not decode: compare its spec with kubectl explain, and apply it again";
                self.offer_nothing(&key, Problem::new(Reason::InvalidSpec, message));
                if let Some(made) = self.kept().get_mut(&key).and_then(|kept| kept.made.take()) {
                    made.tasks.cancel();
                }
                let is_going = invalid.metadata.deletion_timestamp.is_some() && !self.context.settings.dry_run;
                let users = if is_going { Some(users::count(&self.context, &key).await?) } else { None };
                undecodable::tell_connection::<K>(&self.context, &invalid.metadata, users).await
            }
        }
    }

    async fn check(&self, cached: K) -> Result<Again, ApiError> {
        let (key, uid) = (cached.key(), cached.uid().unwrap_or_default());
        let mut kept = self.kept().get(&key).filter(|kept| kept.uid == uid).cloned().unwrap_or_else(|| Kept::of(uid));
        let errors = self.kept().get(&key).map_or(0, |kept| kept.errors);
        kept.errors = errors;
        self.kept().insert(key.clone(), kept.clone());
        if kept.released {
            return Ok(Again::on_change());
        }
        let mut object = newest(kept.latest.take(), cached);
        let is_held = object.finalizers().iter().any(|finalizer| finalizer == CONNECTION_FINALIZER);
        let mut users = None;
        if object.meta().deletion_timestamp.is_some() {
            if !is_held {
                // Others hold it: for us it is gone.
                if self.context.registry.remove(&key) {
                    self.context.wake(&key);
                }
                kept.made = None;
                self.kept().insert(key, kept);
                return Ok(Again::on_change());
            }
            if self.context.registry.close(&key) {
                // Who was about to begin to use it has its finalizer on before anybody counts.
                self.context.wake(&key);
                return Ok(Again::after(HELD_AGAIN));
            }
            let number = users::count(&self.context, &key).await?;
            if number == 0 && !self.context.settings.dry_run {
                patch::release_connection(&self.context, &object).await?;
                info!("no Webhook uses the connection any more: let it go");
                kept = Kept { released: true, ..Kept::of(kept.uid) };
                self.kept().insert(key.clone(), kept);
                if self.context.registry.remove(&key) {
                    self.context.wake(&key);
                }
                return Ok(Again::on_change());
            }
            users = Some(number);
        } else if !is_held && !self.context.settings.dry_run {
            object = patch::hold_connection(&self.context, &object).await.inspect_err(|error| {
                self.cannot(&key, &object, error);
            })?;
        }
        kept.latest = Some(object.clone());
        let result = self.examine(&key, &object, &mut kept, users).await;
        kept.errors = if result.is_ok() { 0 } else { kept.errors };
        self.kept().insert(key, kept);
        result
    }

    /// Makes what is to be made, looks if there is reason to, and tells.
    async fn examine(
        &self,
        key: &ConnectionKey,
        object: &K,
        kept: &mut Kept<K>,
        users: Option<usize>,
    ) -> Result<Again, ApiError> {
        let context = &self.context;
        let namespace = K::secrets_namespace(object.meta(), &context.operator_namespace);
        let versions = material::versions(&context.secrets, &namespace, object.spec());
        let generation = object.meta().generation;
        let may_pass =
            users.is_none() && kept.problem.as_ref().is_some_and(|problem| problem.reason.state() == State::Retrying);
        let is_new = kept.generation != generation || kept.versions.as_ref() != Some(&versions);
        let mut changed = false;
        if is_new || may_pass {
            let reach = K::reach(context.allow_insecure);
            let read = material::read(context, object.spec(), &namespace, key, reach).await.inspect_err(|error| {
                self.cannot(key, object, error);
            })?;
            kept.problem = match read {
                Ok(material) => self.make(key, object, kept, material, &mut changed).await.err(),
                Err(problem) => Some(problem),
            };
            (kept.generation, kept.versions) = (generation, Some(versions));
            // Nothing goes to an endpoint that the spec does not name any more, though its successor cannot be made yet.
            if let Some(made) = kept.made.as_ref().filter(|made| !is_at(object, &made.shape)) {
                made.tasks.cancel();
            }
        }
        if changed {
            (kept.failures, kept.due) = (0, Boot::ZERO);
        }
        let mut patience = Box::pin(tokio::time::sleep(PATIENCE));
        if let (None, Some(made)) = (&kept.problem, kept.made.clone()) {
            let mut standing = made.handle.standing();
            if standing == Standing::Good && !made.handle.is_discovered() {
                made.handle.discover().await;
            }
            let is_asked = kept.is_asked_by(object);
            if standing == Standing::Good && (is_asked || made.handle.is_idle(self.idle())) {
                standing = Standing::Unknown;
            }
            // Trouble that Orion's wait or the handle's own question ends is left to them.
            let is_due = !made.handle.is_waiting() && (is_asked || kept.due <= context.clock.boot());
            if standing == Standing::Unknown || (standing != Standing::Good && is_due) {
                if (changed || context.registry.get(key).is_none()) && !self.is_the_same_handle(key, &made) {
                    self.put(key, object, kept, Offer::Pending);
                }
                let looks = context.registry.places(&Share::of_looks(key));
                let Some(_look) = context.stop.run_until_cancelled(looks.acquire()).await else {
                    return Ok(Again::on_change());
                };
                let stored = || context.stored_ids(key, made.handle.orion.endpoint().as_str());
                let look = made.handle.look(stored);
                tokio::pin!(look);
                let stop = context.stop.clone();
                let result = tokio::select! {
                    result = &mut look => result,
                    () = stop.cancelled() => return Ok(Again::on_change()),
                    () = &mut patience => {
                        if object.status().and_then(|status| status.observed_generation) != generation {
                            let readiness = status::readiness(None, None, users);
                            self.tell(object, kept, self.said(object, kept, readiness)).await?;
                        }
                        let Some(result) = stop.run_until_cancelled(look).await else { return Ok(Again::on_change()) };
                        result
                    }
                };
                kept.failures = if result.is_ok() { 0 } else { kept.failures.saturating_add(1) };
                kept.due = context.clock.boot() + self.next_look(kept);
                if changed {
                    // Only now: what this look has read is what they look at.
                    context.wake(key);
                }
            }
        }
        let handle = kept.made.as_ref().map(|made| &*made.handle);
        let stalled = handle.and_then(ConnectionHandle::is_stalled);
        let offer = match (&kept.problem, handle, stalled) {
            (Some(problem), _, _) => Offer::Problem(problem.clone()),
            (None, None, _) => Offer::Pending,
            (None, Some(_), Some(trouble)) => Offer::Stalled(trouble),
            (None, Some(_), None) => Offer::Usable,
        };
        self.put(key, object, kept, offer);
        let readiness = status::readiness(kept.problem.as_ref(), handle, users);
        let object = kept.latest.clone().unwrap_or_else(|| object.clone());
        self.tell(&object, kept, self.said(&object, kept, readiness)).await?;
        Ok(self.next(kept, users))
    }

    fn is_the_same_handle(&self, key: &ConnectionKey, made: &Made) -> bool {
        let slot = self.context.registry.get(key);
        slot.and_then(|slot| slot.handle).is_some_and(|handle| Arc::ptr_eq(&handle, &made.handle))
    }

    /// What the connection offers from now on; its Webhooks look again if that is news.
    fn offer(&self, key: &ConnectionKey, slot: Slot) {
        if self.context.registry.put(key, slot) {
            self.context.wake(key);
        }
    }

    fn put(&self, key: &ConnectionKey, object: &K, kept: &Kept<K>, offer: Offer) {
        // Credentials never go to an old endpoint, not even to clean up.
        let is_here = |made: &&Arc<Made>| is_at(object, &made.shape);
        let slot = Slot {
            terms: object.terms(),
            offer,
            handle: kept.made.as_ref().filter(is_here).map(|made| Arc::clone(&made.handle)),
            deleting: object.meta().deletion_timestamp.is_some(),
            refused: kept.made.as_ref().is_some_and(|made| made.handle.is_stalled().is_some()),
        };
        self.offer(key, slot);
    }

    /// The apiserver does not let us do our part: the Webhooks are told, if they know of nothing better.
    fn cannot(&self, key: &ConnectionKey, object: &K, error: &ApiError) {
        let is_known = self.context.registry.get(key).is_some_and(|slot| slot.offer != Offer::Pending);
        if matches!(error, ApiError::Changed) || is_known {
            return;
        }
        let message =
            format!("{error}. Check the operator's ClusterRole or Roles, and the apiserver; trying again by itself");
        let offer = Offer::Problem(Problem::passing(Reason::Progressing, message));
        let slot = Slot { terms: object.terms(), offer, handle: None, deleting: false, refused: false };
        self.offer(key, slot);
    }

    /// The stored object says nothing that can be used. Who may use it stays as it was known.
    fn offer_nothing(&self, key: &ConnectionKey, problem: Problem) {
        let known = self.context.registry.get(key);
        let terms = known.as_ref().map_or_else(ConnectionKey::terms_of_nothing, |slot| slot.terms.clone());
        let handle = known.and_then(|slot| slot.handle);
        let slot = Slot { terms, offer: Offer::Problem(problem), handle, deleting: false, refused: false };
        self.offer(key, slot);
    }

    fn said(&self, object: &K, kept: &Kept<K>, readiness: crate::api::Readiness) -> Said {
        let capabilities = kept.made.as_ref().map(|made| made.handle.orion.capabilities()).unwrap_or_default();
        Said {
            readiness,
            endpoint: object.spec().endpoint().ok().map(|endpoint| endpoint.as_str().to_owned()),
            capabilities: status::capabilities(capabilities),
            generation: object.meta().generation.unwrap_or_default(),
        }
    }

    /// Writes the status if it says something new, and if this is the process that speaks for connections.
    async fn tell(&self, object: &K, kept: &mut Kept<K>, said: Said) -> Result<(), ApiError> {
        if !*self.context.speaks.borrow() {
            // Whoever speaks may say something else meanwhile: the next word of this process is a new one.
            kept.said = None;
            return Ok(());
        }
        let known = object.status();
        let wanted = said.status(known, self.context.clock.wall());
        let is_told = known == Some(&wanted);
        // Another shard's word of this generation stands as long as ours is none that is new.
        let is_another_word = kept.said.as_ref() == Some(&said)
            && known.is_some_and(|status| {
                status.observed_generation == Some(said.generation) && ready_condition(&status.conditions).is_some()
            });
        if !is_told && !is_another_word {
            let updated = patch::connection_status(&self.context, object, &wanted).await?;
            let reason = |object: &K| {
                object.status().and_then(|status| ready_condition(&status.conditions)).map(|ready| ready.reason.clone())
            };
            if reason(&updated) != reason(object) {
                info!(reason = %said.readiness.reason, "{}", said.readiness.message);
                events::publish(&self.context, &updated, &said.readiness);
            }
            kept.latest = Some(updated);
        }
        kept.said = Some(said);
        Ok(())
    }

    /// A connection that nobody uses is looked at so often; drift checks look at the others.
    fn idle(&self) -> Duration {
        self.context.settings.interval(None) * 3 / 2
    }

    /// After a failed look.
    fn next_look(&self, kept: &Kept<K>) -> Duration {
        let stalled = kept.made.as_ref().and_then(|made| made.handle.is_stalled());
        match stalled {
            Some(_) => {
                let doubled = 2_u32.saturating_pow(kept.failures.saturating_sub(1));
                // A moment more than the session waits between logins.
                REFUSED.saturating_mul(doubled).min(REFUSED_AT_MOST) + Duration::from_secs(1)
            }
            None => self.backoff(kept.failures),
        }
    }

    fn next(&self, kept: &Kept<K>, users: Option<usize>) -> Again {
        match users {
            // --dry-run lets nothing go.
            Some(0) => return Again::on_change(),
            // The cache tells when they are gone; without it the apiserver is asked, and less often.
            Some(_) if self.context.is_shard => return Again::after(10 * HELD_AGAIN),
            Some(_) => return Again::after(HELD_AGAIN),
            None => {}
        }
        if let Some(problem) = &kept.problem {
            return match problem.reason.state() {
                // A Secret that comes is seen at once.
                State::Retrying => Again::after(self.backoff(8)),
                State::Ready | State::Unknown | State::Stalled | State::Suspended => Again::on_change(),
            };
        }
        let Some(made) = &kept.made else { return Again::on_change() };
        match made.handle.standing() {
            Standing::Good if !made.handle.is_discovered() => Again::after(DISCOVERY_AGAIN),
            Standing::Good => Again::after(self.idle()),
            // It was stirred meanwhile, which brings it back.
            Standing::Unknown => Again::after(PATIENCE),
            Standing::Failing(_) if made.handle.is_waiting() => Again::on_change(),
            Standing::Failing(_) => Again::after(kept.due.saturating_sub(self.context.clock.boot())),
        }
    }
}
