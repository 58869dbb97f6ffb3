//! One reconcile: gather, plan, carry out, until the plan settles. At most one change at Orion.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use kube::{Resource, ResourceExt};
use rand::RngExt;
use rand::distr::{Alphanumeric, SampleString};
use rand::rngs::StdRng;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tracing::field::{Empty, display};
use tracing::{Span, debug, warn};

use super::clock::chance;
use super::connections::{ConnectionHandle, Reached, Share};
use super::context::{Context, Entry, Guarded};
use super::ended::{self, Ended};
use super::name::WebhookName;
use super::patch::{self, ApiError};
use super::pruned::prune;
use super::queue::{Again, Work};
use super::undecodable;
use crate::api::Webhook;
use crate::plan::{Connection, Guard, Round, Step, View, backoff, plan, progressing};

/// The longest reconcile. Longer than any chain of calls with their own time-outs should take: only a safety net, and
/// even then nothing is lost, because what was sent is remembered before it is sent.
const DEADLINE: Duration = Duration::from_secs(180);
/// A step that takes longer is told in the status.
const PATIENCE: Duration = Duration::from_secs(5);
/// A reconcile whose connection has changed under it begins anew after this time.
const CUT_OFF: Duration = Duration::from_millis(100);
/// A connection that is not there yet may come within this time.
const TOGETHER: Duration = Duration::from_secs(2);
/// A Webhook that waits for a connection is looked at at least so often.
const STILL_WAITING: Duration = Duration::from_secs(30);
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

/// Reconciles of Webhooks, as work for the loop.
pub(super) struct Reconciles(pub(super) Arc<Context>);

impl Work<WebhookName> for Reconciles {
    /// One that does not decode has no share: nothing is sent for it.
    type Share = Option<Share>;
    type Place = [Option<OwnedSemaphorePermit>; 2];

    fn share(&self, name: &WebhookName) -> Option<Self::Share> {
        self.0.cached(name).map(|guarded| guarded.0.as_ref().ok().and_then(Share::of))
    }

    fn places(&self, share: &Self::Share) -> usize {
        self.0.registry.number_of_places(share.as_ref())
    }

    fn place(&self, share: &Self::Share) -> impl Future<Output = Self::Place> + Send + 'static {
        let share = share.as_ref().map(|share| self.0.registry.places(share));
        let all = Arc::clone(&self.0.slots);
        async move {
            // In this order: who waits for its share takes no place from others.
            let of_share = match share {
                Some(share) => share.acquire_owned().await.ok(),
                None => None,
            };
            [of_share, all.acquire_owned().await.ok()]
        }
    }

    fn begin(&self, name: &WebhookName) -> Option<impl Future<Output = Again> + Send + 'static> {
        // As it is now, not as it was when the wait began.
        let guarded = self.0.cached(name)?;
        let (context, name) = (Arc::clone(&self.0), name.clone());
        Some(async move {
            // The error was told by the reconcile itself.
            reconcile(&name, &guarded, &context)
                .await
                .unwrap_or_else(|_| Again::after(backoff(context.count_error(&name), chance(&*context.clock).random())))
        })
    }

    fn gone(&self, name: &WebhookName) {
        self.0.forget(name);
    }
}

#[tracing::instrument(name = "reconcile", skip_all, fields(
    kind = %"Webhook",
    object = %name,
    generation = guarded.meta().generation,
    step = Empty,
    outcome = Empty,
    milliseconds = Empty,
))]
async fn reconcile(name: &WebhookName, guarded: &Guarded, context: &Context) -> Result<Again, ReconcileError> {
    let under_way = context.metrics.webhooks.begins();
    let work = async {
        match &guarded.0 {
            Ok(cached) => Reconcile::new(context, name.clone(), cached).run().await,
            Err(invalid) => {
                // The decoder's own words can quote the object's values, so they are left out.
                warn!("the stored object does not decode as a Webhook; the others are served on");
                Ok(Ended::done(undecodable::reconcile(context, &invalid.metadata).await?))
            }
        }
    };
    let result = match tokio::time::timeout(DEADLINE, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(ReconcileError::Panic),
        Err(_) => Err(ReconcileError::Deadline),
    };
    ended::end(&context.metrics.webhooks, under_way, result)
}

/// One reconcile under way. `execute` has its verbs.
pub(super) struct Reconcile<'a> {
    pub(super) context: &'a Context,
    pub(super) key: WebhookName,
    pub(super) entry: Entry,
    pub(super) webhook: Arc<Webhook>,
    pub(super) handle: Option<Arc<ConnectionHandle>>,
    pub(super) connection: Connection,
    pub(super) round: Round,
    pub(super) fresh: bool,
    pub(super) jitter: f64,
    pub(super) token: String,
    pub(super) patience: Option<Instant>,
}

impl<'a> Reconcile<'a> {
    fn new(context: &'a Context, key: WebhookName, cached: &Webhook) -> Self {
        let mut entry = context.recall(&key, &cached.uid().unwrap_or_default());
        // Looked up after what is remembered: what was dropped of that a moment ago, the cache has by now.
        let now = context.cached(&key);
        let now = now.as_ref().and_then(|guarded| guarded.0.as_ref().ok());
        let cached = now.filter(|now| now.uid() == cached.uid()).unwrap_or(cached);
        let webhook = match entry.latest.take() {
            Some(latest) if is_newer(&latest, cached) => {
                entry.latest = Some(Arc::clone(&latest));
                latest
            }
            Some(_) | None => Arc::new(cached.clone()),
        };
        let mut chance = chance(&*context.clock);
        Self {
            context,
            key,
            entry,
            webhook,
            handle: None,
            connection: Connection::Missing { message: String::new(), lost: false },
            round: Round::default(),
            fresh: false,
            jitter: chance.random(),
            token: new_token(&mut chance),
            patience: Some(Instant::now() + PATIENCE),
        }
    }

    async fn run(mut self) -> Result<Ended, ReconcileError> {
        let context = self.context;
        if self.entry.released {
            return Ok(Ended::done(Again::on_change()));
        }
        let webhook = Arc::clone(&self.webhook);
        match self.patiently(context.reach(&webhook)).await {
            Reached::Found(None, Connection::Missing { .. }) if self.may_still_come() => {
                return Ok(Ended::done(self.wait_for_connection().await?));
            }
            Reached::Found(handle, connection) => (self.handle, self.connection) = (handle, connection),
            Reached::Pending => return Ok(Ended::done(self.wait_for_connection().await?)),
        }
        self.entry.waiting = None;
        for _ in 0..STEPS_AT_MOST {
            let step = self.next();
            Span::current().record("step", display(step.name()));
            debug!("step");
            if context.stop.is_cancelled() && begins_something(&step) {
                debug!("the process was asked to stop");
                context.remember(&self.key, &self.entry);
                return Ok(Ended::done(Again::on_change()));
            }
            if self.is_cut_off(&step) {
                debug!("the connection is another one by now, or not for this Webhook any more");
                context.remember(&self.key, &self.entry);
                return Ok(Ended::again(CUT_OFF));
            }
            match self.carry_out(step).await {
                Ok(Some(action)) => {
                    self.entry.errors = 0;
                    context.remember(&self.key, &self.entry);
                    return Ok(Ended::done(action));
                }
                Ok(None) => context.remember(&self.key, &self.entry),
                Err(ApiError::Changed) => {
                    // Mostly a lost race. Again and again, it is an admission policy that refuses our writes.
                    let times = self.entry.errors;
                    if times >= 3 {
                        warn!(
                            times,
                            "the apiserver refuses to write this Webhook: has an admission policy something against it?"
                        );
                    }
                    self.entry.errors = times.saturating_add(1);
                    self.entry.latest = None;
                    context.remember(&self.key, &self.entry);
                    let wait = if times == 0 { Duration::from_millis(500) } else { backoff(times, self.jitter) };
                    return Ok(Ended::again(wait));
                }
                Err(error) => {
                    context.remember(&self.key, &self.entry);
                    return Err(error.into());
                }
            }
        }
        Err(ReconcileError::Restless)
    }

    /// The step changes something over a connection that is not what it was at the beginning: gone, closed, edited to lead
    /// elsewhere, or not for this Webhook any more. What was waited for meanwhile must not go there.
    fn is_cut_off(&self, step: &Step) -> bool {
        let changes = match step {
            Step::BeginAttempt { .. }
            | Step::Hold
            | Step::Post { .. }
            | Step::Update { .. }
            | Step::Unmark { .. }
            | Step::Delete { .. } => true,
            Step::Refresh
            | Step::ReadSecrets
            | Step::Get { .. }
            | Step::List { .. }
            | Step::LookAtOthers
            | Step::LookAtNamespace
            | Step::Prepare
            | Step::ClearResolve
            | Step::Release { .. }
            | Step::Settle(_) => false,
        };
        let Some(handle) = self.handle.as_ref().filter(|_| changes) else { return false };
        match self.context.reached(&self.webhook) {
            Reached::Found(Some(now), _) => !Arc::ptr_eq(&now, handle),
            Reached::Found(None, _) | Reached::Pending => true,
        }
    }

    /// A Webhook and its connection may have been applied together.
    fn may_still_come(&mut self) -> bool {
        let status = self.webhook.status.as_ref();
        let is_new = status.is_none_or(|status| status.conditions.is_empty());
        let now = self.context.clock.boot();
        let since = *self.entry.waiting.get_or_insert(now);
        is_new && self.webhook.spec.connection_ref.is_some() && now.saturating_sub(since) < TOGETHER
    }

    /// It is not known yet how the connection stands: whoever finds out brings the Webhook back. What takes longer is told.
    async fn wait_for_connection(&mut self) -> Result<Again, ApiError> {
        let now = self.context.clock.boot();
        let since = *self.entry.waiting.get_or_insert(now);
        let waited = now.saturating_sub(since);
        if waited >= PATIENCE
            && let Some(status) = self.with_view(&self.entry.memory, progressing)
        {
            match patch::write_status(self.context, &self.webhook, &status, &Guard::ResourceVersion).await {
                Ok(mut updated) => {
                    prune(&mut updated);
                    self.entry.latest = Some(Arc::new(updated));
                }
                Err(ApiError::Changed) => self.entry.latest = None,
                Err(error) => return Err(error),
            }
        }
        self.context.remember(&self.key, &self.entry);
        let again = [TOGETHER, PATIENCE].into_iter().find(|wait| *wait > waited);
        Ok(Again::after(again.map_or(STILL_WAITING, |wait| wait - waited)))
    }

    /// The facts of this moment, and what to do.
    fn next(&mut self) -> Step {
        if let (Some(handle), Connection::Usable(facts)) = (&self.handle, &mut self.connection) {
            // What a verdict depends on is that of the beginning: a call that was made with credentials of before must
            // not stand under those that came meanwhile.
            let (credentials, recoveries, now) = (facts.credentials, facts.recoveries, handle.facts());
            let proven = now.proven && now.credentials == credentials;
            **facts = crate::plan::ConnectionFacts { credentials, recoveries, proven, ..now };
        }
        let mut memory = std::mem::take(&mut self.entry.memory);
        let (inputs, doubtful, now) = self.with_view(&memory, |view| (view.inputs(), view.doubtful(), view.now));
        memory.observe(&inputs, doubtful, now);
        let step = self.with_view(&memory, plan);
        self.entry.memory = memory;
        step
    }

    pub(super) fn with_view<T>(&self, memory: &crate::plan::Memory, use_it: impl FnOnce(&View<'_>) -> T) -> T {
        let context = self.context;
        let namespace = self.webhook.namespace().unwrap_or_default();
        let secret_versions = context.secret_versions(&namespace, &self.webhook.spec);
        let endpoint =
            self.handle.as_ref().map(|handle| handle.orion.endpoint().as_str().to_owned()).unwrap_or_default();
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
}

/// A process that was asked to stop does not begin this any more. What it has begun it ends: a POST follows its attempt,
/// and what became of a call is written down.
fn begins_something(step: &Step) -> bool {
    match step {
        Step::ReadSecrets
        | Step::Get { .. }
        | Step::List { .. }
        | Step::LookAtOthers
        | Step::LookAtNamespace
        | Step::Prepare
        | Step::BeginAttempt { .. }
        | Step::Hold
        | Step::ClearResolve
        | Step::Update { .. }
        | Step::Unmark { .. }
        | Step::Delete { .. } => true,
        Step::Refresh | Step::Post { .. } | Step::Release { .. } | Step::Settle(_) => false,
    }
}

/// A token for an attempt.
pub(super) fn new_token(chance: &mut StdRng) -> String {
    Alphanumeric.sample_string(chance, 20).to_ascii_lowercase()
}

/// `ours` was written after `cached` was read.
pub(super) fn is_newer(ours: &Webhook, cached: &Webhook) -> bool {
    let number = |webhook: &Webhook| webhook.resource_version().and_then(|version| version.parse::<u64>().ok());
    ours.uid() == cached.uid() && matches!((number(ours), number(cached)), (Some(ours), Some(cached)) if ours > cached)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::connections::ConnectionKey;
    use crate::controller::context::tests::{at, context};

    /// The cache may go on, and our own copy be dropped for that, while a reconcile begins: it works on the newest of all.
    #[tokio::test]
    async fn it_begins_with_the_newest() {
        let guarded = |webhook| kube::core::DeserializeGuard(Ok(webhook));
        let (context, _) = context([guarded(at("5", "0"))].into_iter());
        let key = WebhookName::new("team-0", "hook-0");
        let begins = |uid: &str, latest: Option<&str>| {
            let latest = latest.map(|version| Arc::new(at(version, uid)));
            context.entries().insert(key.clone(), Arc::new(Entry { uid: uid.into(), latest, ..Entry::default() }));
            let webhook = Reconcile::new(&context, key.clone(), &at("4", uid)).webhook;
            webhook.resource_version().unwrap()
        };
        assert_eq!(
            (begins("0", None), begins("0", Some("5")), begins("0", Some("6"))),
            ("5".into(), "5".into(), "6".into())
        );
        assert_eq!(begins("another", None), "4", "another object of this name");
    }

    /// docs/security.md: a quarter of the places for the Webhooks of a team, three quarters for those of a shared connection.
    #[tokio::test]
    async fn shares_leave_places_to_others() {
        let (context, _) = context([].into_iter());
        let work = Reconciles(context);
        let mut taken = Vec::new();
        let mut takes = |share: Option<Share>, most: usize| {
            let places: Vec<_> = (0..most + 1).map_while(|_| work.place(&share).now_or_never()).collect();
            let number = places.len();
            assert!(number <= work.places(&share));
            taken.push(places);
            number
        };
        let (team, shared) = (|name: &str| Some(Share::Team(name.into())), Some(Share::Shared(ConnectionKey::Default)));
        assert_eq!((takes(team("a"), 16), takes(team("b"), 2), takes(shared.clone(), 16)), (4, 3, 9));
        assert_eq!(takes(None, 16), 0, "16 in all");
        drop(taken);
        assert_eq!(work.place(&shared).now_or_never().map(|place| place.iter().flatten().count()), Some(2));
    }
}
