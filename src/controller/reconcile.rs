//! One reconcile: gather, plan, carry out, until the plan settles. At most one change at Orion.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use kube::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use rand::distr::{Alphanumeric, SampleString};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::connection::ConnectionHandle;
use super::context::{Context, Entry, Guarded};
use super::patch::{self, ApiError};
use super::{events, gather, undecodable};
use crate::api::{Attempt, CREATE_ATTEMPT, Failure, InstanceId, Webhook, ready_condition};
use crate::plan::{
    Call, CallKind, Connection, Guard, Round, SecretValues, Settlement, Step, View, attempt_text, backoff, desired,
    is_confirmed, plan, progressing,
};

/// The longest reconcile. Longer than any chain of calls with their own time-outs should take: only a safety net, and
/// even then nothing is lost, because what was sent is remembered before it is sent.
const DEADLINE: Duration = Duration::from_secs(180);
/// A step that takes longer is told in the status.
const PATIENCE: Duration = Duration::from_secs(5);
/// More steps than any plan takes: a guard against a plan that does not settle.
const STEPS_AT_MOST: usize = 64;

/// A reconcile that did not settle. Tried again after a back-off of its own.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The apiserver did not do its part.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A panic; the other Webhooks go on.
    #[error("a panic in the reconcile of this Webhook")]
    Panic,
    /// It took too long.
    #[error("the reconcile took longer than {} s", DEADLINE.as_secs())]
    Deadline,
    /// The plan does not settle.
    #[error("the plan did not settle after {STEPS_AT_MOST} steps")]
    Restless,
}

/// Brings one Webhook a step further, or to rest.
///
/// # Errors
/// Only trouble with the apiserver and bugs; what goes wrong at Orion is told in the status.
#[tracing::instrument(skip_all, fields(namespace = guarded_namespace(&guarded), name = guarded_name(&guarded)))]
pub async fn reconcile(guarded: Arc<Guarded>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let cached = match &guarded.0 {
        Ok(webhook) => webhook.clone(),
        Err(invalid) => {
            // The decoder's own words can quote the object's values, so they are left out.
            warn!("the stored object does not decode as a Webhook; the others are served on");
            return Ok(undecodable::reconcile(&context, &invalid.metadata).await?);
        }
    };
    let key = ObjectRef::from_obj(&cached);
    let Ok(_slot) = context.slots.acquire().await else { return Ok(Action::await_change()) };
    let work = AssertUnwindSafe(Reconcile::new(&context, key, cached).run()).catch_unwind();
    match tokio::time::timeout(DEADLINE, work).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(ReconcileError::Panic),
        Err(_) => Err(ReconcileError::Deadline),
    }
}

fn guarded_name(guarded: &Guarded) -> String {
    guarded.name_any()
}

fn guarded_namespace(guarded: &Guarded) -> String {
    guarded.namespace().unwrap_or_default()
}

struct Reconcile<'a> {
    context: &'a Context,
    key: ObjectRef<Webhook>,
    entry: Entry,
    webhook: Webhook,
    handle: Option<Arc<ConnectionHandle>>,
    connection: Connection,
    round: Round,
    fresh: bool,
    jitter: f64,
    token: String,
    patience: Option<Instant>,
    released: bool,
}

impl<'a> Reconcile<'a> {
    fn new(context: &'a Context, key: ObjectRef<Webhook>, cached: Webhook) -> Self {
        let mut entry = context.recall(&key, &cached.uid().unwrap_or_default());
        let webhook = match entry.latest.take() {
            Some(latest) if is_newer(&latest, &cached) => {
                entry.latest = Some(latest.clone());
                latest
            }
            Some(_) | None => cached,
        };
        Self {
            context,
            key,
            entry,
            webhook,
            handle: None,
            connection: Connection::Missing { message: String::new() },
            round: Round::default(),
            fresh: false,
            jitter: rand::random(),
            token: Alphanumeric.sample_string(&mut rand::rng(), 20).to_ascii_lowercase(),
            patience: Some(Instant::now() + PATIENCE),
            released: false,
        }
    }

    async fn run(mut self) -> Result<Action, ReconcileError> {
        let context = self.context;
        let webhook = self.webhook.clone();
        (self.handle, self.connection) = self.patiently(context.connection(&webhook)).await;
        for _ in 0..STEPS_AT_MOST {
            let step = self.next();
            debug!(step = step.name(), "step");
            match self.carry_out(step).await {
                Ok(Some(action)) if self.released => {
                    context.forget(&self.key);
                    return Ok(action);
                }
                Ok(Some(action)) => {
                    self.entry.errors = 0;
                    context.remember(&self.key, &self.entry);
                    return Ok(action);
                }
                Ok(None) => context.remember(&self.key, &self.entry),
                Err(ApiError::Changed) => {
                    // Mostly a lost race. Again and again, it is an admission policy that refuses our writes.
                    let times = self.entry.errors;
                    if times >= 3 {
                        warn!(times, "the apiserver refuses to write this Webhook: has an admission policy something against it?");
                    }
                    self.entry.errors = times.saturating_add(1);
                    self.entry.latest = None;
                    context.remember(&self.key, &self.entry);
                    let wait = if times == 0 { Duration::from_millis(500) } else { backoff(times, self.jitter) };
                    return Ok(Action::requeue(wait));
                }
                Err(error) => {
                    context.remember(&self.key, &self.entry);
                    return Err(error.into());
                }
            }
        }
        Err(ReconcileError::Restless)
    }

    /// The facts of this moment, and what to do.
    fn next(&mut self) -> Step {
        if let (Some(handle), Connection::Usable(facts)) = (&self.handle, &mut self.connection) {
            // What a verdict depends on is that of the beginning: a call that was made with credentials of before must
            // not stand under those that came meanwhile.
            let (credentials, recoveries) = (facts.credentials, facts.recoveries);
            **facts = crate::plan::ConnectionFacts { credentials, recoveries, ..handle.facts() };
        }
        let mut memory = std::mem::take(&mut self.entry.memory);
        let (inputs, doubtful, now) = self.with_view(&memory, |view| (view.inputs(), view.doubtful(), view.now));
        memory.observe(&inputs, doubtful, now);
        let step = self.with_view(&memory, plan);
        self.entry.memory = memory;
        step
    }

    fn with_view<T>(&self, memory: &crate::plan::Memory, use_it: impl FnOnce(&View<'_>) -> T) -> T {
        let context = self.context;
        let namespace = self.webhook.namespace().unwrap_or_default();
        let secret_versions = context.secret_versions(&namespace, &self.webhook.spec);
        let endpoint = self.handle.as_ref().map(|handle| handle.orion.endpoint().as_str().to_owned()).unwrap_or_default();
        let held_by = |id: &str| context.holder(&endpoint, id, &self.key);
        use_it(&View {
            webhook: &self.webhook,
            fresh: self.fresh,
            now: context.clock.boot(),
            clock: context.clock.wall(),
            jitter: self.jitter,
            token: &self.token,
            settings: &context.settings,
            connection: &self.connection,
            secret_versions: &secret_versions,
            held_by: &held_by,
            memory,
            round: &self.round,
        })
    }

    /// Carries out one step. `Some` ends the reconcile.
    async fn carry_out(&mut self, step: Step) -> Result<Option<Action>, ApiError> {
        let context = self.context;
        match step {
            Step::Refresh => self.refresh().await?,
            Step::ReadSecrets => {
                let namespace = self.webhook.namespace().unwrap_or_default();
                self.round.secret_versions = Some(context.secret_versions(&namespace, &self.webhook.spec));
                self.round.secrets = Some(gather::header_values(context, &self.webhook).await?);
            }
            Step::Get { id } => self.get(id).await,
            Step::List { begun_after } => self.list(begun_after).await,
            Step::LookAtOthers => self.look_at_others().await,
            Step::Prepare => {
                if let Some(handle) = self.handle.clone() {
                    let result = self.patiently(handle.orion.prepare()).await;
                    handle.note_failure(&result);
                    self.round.prepared = Some(result);
                }
            }
            Step::BeginAttempt { token, resolved } => {
                let text = self.with_view(&self.entry.memory, |view| attempt_text(view, &token));
                let asked = context.clock.boot();
                let updated = patch::begin_attempt(context, &self.webhook, &text, resolved).await?;
                self.entry.memory.attempt_begun(&token, asked);
                self.wrote(updated);
            }
            Step::Hold => {
                let updated = patch::add_finalizer(context, &self.webhook).await?;
                self.entry.memory.held = true;
                self.wrote(updated);
            }
            Step::ClearResolve => {
                let updated = patch::clear_resolve(context, &self.webhook).await?;
                self.wrote(updated);
            }
            Step::Post { token } => self.post(token).await,
            Step::Update { id } => self.change(CallKind::Update { id }).await,
            Step::Unmark { id } => self.change(CallKind::Unmark { id }).await,
            Step::Delete { id } => self.change(CallKind::Delete { id }).await,
            Step::Release { why } => {
                let id = self.webhook.status.as_ref().and_then(|status| status.webhook_id.clone());
                patch::release(context, &self.webhook).await?;
                info!(why, id, "let the Webhook go");
                self.released = true;
                return Ok(Some(Action::await_change()));
            }
            Step::Settle(settlement) => return self.settle(*settlement).await.map(Some),
        }
        Ok(None)
    }

    async fn refresh(&mut self) -> Result<(), ApiError> {
        let asked = self.context.clock.boot();
        let webhook = patch::call(self.context, "read the Webhook", patch::api(self.context, &self.webhook).get(&self.webhook.name_any())).await?;
        if webhook.uid() != self.webhook.uid() {
            return Err(ApiError::Changed);
        }
        if webhook.metadata.generation != self.webhook.metadata.generation {
            // The values were read for another spec.
            self.round.secrets = None;
        }
        let open = webhook.annotations().get(CREATE_ATTEMPT).map(|text| Attempt::parse(text).token);
        self.entry.memory.refreshed(open.as_deref(), asked);
        self.webhook = webhook;
        self.fresh = true;
        // A refused POST is behind us: what comes next is another one, with credentials read again.
        if let Some(Call { kind: CallKind::Post { .. }, result: Err(_) }) = self.round.call {
            self.round.call = None;
            self.round.prepared = None;
            self.round.logged_in_again = true;
        }
        Ok(())
    }

    async fn get(&mut self, id: String) {
        let Some(handle) = self.handle.clone() else { return };
        let result = self.patiently(handle.get(&id)).await;
        let stored = self.webhook.status.as_ref().is_some_and(|status| status.webhook_id.as_ref() == Some(&id));
        if stored && result.is_ok() {
            handle.seen();
        }
        let get = handle.orion.capabilities().get;
        self.entry.memory.got(stored, &result, get, self.context.clock.boot());
        self.round.remote = Some((id, result));
    }

    async fn list(&mut self, begun_after: crate::plan::Boot) {
        let Some(handle) = self.handle.clone() else { return };
        let context = self.context;
        let endpoint = handle.orion.endpoint().as_str().to_owned();
        let result = self.patiently(handle.list(begun_after, || context.stored_ids(&endpoint))).await;
        if let Ok(snapshot) = &result {
            let owner = handle.settings.ownership.then(|| self.owner(&context.settings.instance));
            let stored = self.webhook.status.as_ref().and_then(|status| status.webhook_id.as_deref());
            self.entry.memory.listed(snapshot, owner.as_ref(), stored, handle.orion.capabilities().get);
        }
        self.round.list = Some(result);
    }

    fn owner(&self, instance: &InstanceId) -> crate::api::Owner {
        instance.owner(&self.webhook.namespace().unwrap_or_default(), &self.webhook.name_any())
    }

    async fn look_at_others(&mut self) {
        let Some(handle) = self.handle.clone() else { return };
        let Some(id) = self.webhook.status.as_ref().and_then(|status| status.webhook_id.clone()) else { return };
        let stored = self.context.stored_ids(handle.orion.endpoint().as_str());
        let interval = self.context.settings.interval;
        let others = self.patiently(handle.look_at_others(&id, &stored, interval)).await;
        self.round.others = Some(others);
    }

    /// The one POST of an attempt, if the apiserver's word that the attempt is ours is still young.
    async fn post(&mut self, token: String) {
        let (Some(handle), Some(Ok(values))) = (self.handle.clone(), self.round.secrets.clone()) else { return };
        self.entry.memory.posting();
        // From here on a crash of this reconcile leaves an attempt whose result is unknown, and is known to.
        self.context.remember(&self.key, &self.entry);
        let owner = handle.settings.ownership.then(|| self.owner(&self.context.settings.instance));
        let body = desired(&self.webhook.spec, &values, owner);
        let spec = self.webhook.spec.clone();
        let is_young = self.entry.memory.carrying.as_ref().is_some_and(|carrying| is_confirmed(carrying, self.context.clock.boot()));
        if !is_young {
            self.entry.memory.not_posted();
            return;
        }
        let result = self.patiently(handle.orion.create(&body, &token)).await;
        handle.note(&result);
        match &result {
            Ok(id) => info!(id, token, "created at Orion"),
            Err(failure) => warn!(token, class = ?failure.class, "{}", failure.message),
        }
        self.entry.memory.posted(&result, &spec, &values, self.context.clock.boot());
        self.called(CallKind::Post { token }, result);
    }

    async fn change(&mut self, kind: CallKind) {
        let Some(handle) = self.handle.clone() else { return };
        let result = match &kind {
            CallKind::Update { id } | CallKind::Unmark { id } => {
                let Some(Ok(values)) = self.round.secrets.clone() else { return };
                let marked = handle.settings.ownership && matches!(kind, CallKind::Update { .. });
                let body = self.body(&values, marked);
                self.patiently(handle.orion.update(id, &body)).await.map(|()| id.clone())
            }
            CallKind::Delete { id } => self.patiently(handle.orion.delete(id)).await.map(|()| id.clone()),
            CallKind::Post { .. } => return,
        };
        handle.note(&result);
        match (&kind, &result) {
            (CallKind::Delete { id }, Ok(_)) => {
                info!(id, "deleted at Orion");
                handle.forget(id);
                self.entry.memory.deleted(id);
            }
            (CallKind::Post { .. } | CallKind::Update { .. } | CallKind::Unmark { .. }, Ok(id)) => info!(id, "updated at Orion"),
            (_, Err(failure)) => warn!(class = ?failure.class, "{}", failure.message),
        }
        self.called(kind, result);
    }

    fn body(&self, values: &SecretValues, marked: bool) -> crate::api::Desired {
        let owner = marked.then(|| self.owner(&self.context.settings.instance));
        desired(&self.webhook.spec, values, owner)
    }

    fn called(&mut self, kind: CallKind, result: Result<String, Failure>) {
        // A change makes everything that was read before it old.
        self.entry.memory.changed(self.context.clock.boot());
        self.round.remote = None;
        self.round.list = None;
        self.round.call = Some(Call { kind, result });
    }

    /// The end: writes the status if it says something new, and remembers the verdict.
    async fn settle(&mut self, settlement: Settlement) -> Result<Action, ApiError> {
        let differs = self.webhook.status.as_ref() != Some(&settlement.status);
        if differs {
            let updated = match patch::write_status(self.context, &self.webhook, &settlement.status, &settlement.guard).await {
                Err(ApiError::Changed) if settlement.guard != Guard::ResourceVersion => {
                    self.refresh().await?;
                    if !self.entry.memory.is_ours(&self.webhook) {
                        // Another process took the attempt over: what we made is found by its marker.
                        warn!(id = settlement.status.webhook_id, "the attempt is no longer ours; the id is left to be found by its marker");
                        self.entry.memory.created = None;
                    }
                    return Err(ApiError::Changed);
                }
                result => result?,
            };
            let reason = |webhook: &Webhook| {
                let status = webhook.status.as_ref()?;
                ready_condition(&status.conditions).map(|ready| ready.reason.clone())
            };
            if reason(&updated) != reason(&self.webhook) {
                info!(reason = %settlement.readiness.reason, "{}", settlement.readiness.message);
                events::publish(self.context, &updated, &settlement.readiness);
            }
            self.wrote(updated);
        }
        self.entry.memory.settled(&settlement);
        Ok(settlement.wake.map_or_else(Action::await_change, |wake| {
            Action::requeue(wake.saturating_sub(self.context.clock.boot()))
        }))
    }

    fn wrote(&mut self, updated: Webhook) {
        self.entry.latest = Some(updated.clone());
        self.webhook = updated;
    }

    /// Waits for `work`; after 5 s in all, says in the status that it is not finished. The work goes on meanwhile.
    async fn patiently<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        let Some(patience) = self.patience else { return work.await };
        tokio::select! {
            result = &mut work => return result,
            () = tokio::time::sleep_until(patience) => self.patience = None,
        }
        if let Some(status) = self.with_view(&self.entry.memory, progressing) {
            // The work is polled on while the status is written: its answer must not wait.
            let webhook = self.webhook.clone();
            let told = patch::write_status(self.context, &webhook, &status, &Guard::ResourceVersion);
            let (result, told) = tokio::join!(&mut work, told);
            match told {
                Ok(updated) => self.wrote(updated),
                Err(error) => debug!(%error, "could not say that this takes long"),
            }
            return result;
        }
        work.await
    }
}

/// `ours` was written after `cached` was read.
fn is_newer(ours: &Webhook, cached: &Webhook) -> bool {
    let number = |webhook: &Webhook| webhook.resource_version().and_then(|version| version.parse::<u64>().ok());
    ours.uid() == cached.uid() && matches!((number(ours), number(cached)), (Some(ours), Some(cached)) if ours > cached)
}

/// Logged once for a stream that ended in an error.
pub(super) fn log_error(key: &ObjectRef<Webhook>, error: &ReconcileError) {
    error!(webhook = %key, %error, "a reconcile did not finish; it is tried again");
}
