//! Carries out one step of a plan: I/O and bookkeeping, no decisions.

use std::future::Future;
use std::sync::Arc;

use kube::ResourceExt;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::clock::chance;
use super::context::Entry;
use super::patch::{self, ApiError};
use super::pruned::prune;
use super::queue::Again;
use super::reconcile::{Reconcile, new_token};
use super::{events, gather};
use crate::api::{Failure, InstanceId, Reason, Webhook, ready_condition};
use crate::plan::{Boot, Call, CallKind, Guard, SecretValues, Settlement, Step, attempt_text, desired, progressing};

impl Reconcile<'_> {
    /// Carries out one step. `Some` ends the reconcile.
    pub(super) async fn carry_out(&mut self, step: Step) -> Result<Option<Again>, ApiError> {
        let context = self.context;
        match step {
            Step::Refresh => self.refresh().await?,
            Step::ReadSecrets => {
                let namespace = self.webhook.namespace().unwrap_or_default();
                self.round.secret_versions = Some(context.secret_versions(&namespace, &self.webhook.spec));
                let read = gather::header_values(&context.client, context.apiserver_timeout, &self.webhook);
                self.round.secrets = Some(read.await?);
            }
            Step::Get { id } => self.get(id).await,
            Step::List { begun_after } => self.list(begun_after).await,
            Step::LookAtOthers => self.look_at_others().await,
            Step::LookAtNamespace => {
                let is_terminating = patch::namespace_is_terminating(context, &self.webhook).await;
                self.entry.memory.looked_at_namespace(is_terminating, context.clock.boot());
                self.round.namespace_is_terminating = Some(is_terminating);
            }
            Step::Prepare => {
                if let Some(handle) = self.handle.clone() {
                    // Waiting for one's turn under our own rate limit is no work that takes long.
                    let begun = Instant::now();
                    let prepare = context.stop.run_until_cancelled(handle.orion.prepare());
                    let Some(result) = prepare.await else { return Ok(Some(Again::on_change())) };
                    self.patience = self.patience.map(|patience| patience + begun.elapsed());
                    handle.note_failure(&result);
                    self.round.prepared = Some(result);
                }
            }
            Step::BeginAttempt { token, resolved } => {
                let text = self.with_view(&self.entry.memory, |view| attempt_text(view, &token));
                let asked = context.clock.boot();
                let updated = patch::begin_attempt(context, &self.webhook, &text, resolved).await?;
                self.entry.memory.attempt_begun(&token, asked);
                // The next attempt, if one follows in this reconcile, is another one.
                self.token = new_token(&mut chance(&*context.clock));
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
            Step::Release { why, left_behind } => {
                let id = self.webhook.status.as_ref().and_then(|status| status.webhook_id.clone());
                patch::release(context, &self.webhook).await?;
                info!(why, id, "let the Webhook go");
                if let Some(note) = left_behind {
                    warn!(id, "{note}");
                    context.metrics.left_behind();
                    events::left_behind(context, &self.webhook, note);
                }
                let uid = std::mem::take(&mut self.entry.uid);
                self.entry = Entry { uid, released: true, ..Entry::default() };
                return Ok(Some(Again::on_change()));
            }
            Step::Settle(settlement) => return self.settle(*settlement).await.map(Some),
        }
        Ok(None)
    }

    async fn refresh(&mut self) -> Result<(), ApiError> {
        let asked = self.context.clock.boot();
        let webhook = patch::call(
            self.context,
            "read the Webhook",
            patch::api(self.context, &self.webhook).get(&self.webhook.name_any()),
        )
        .await?;
        if webhook.uid() != self.webhook.uid() {
            return Err(ApiError::Changed);
        }
        if webhook.metadata.generation != self.webhook.metadata.generation {
            // The values were read for another spec.
            self.round.secrets = None;
        }
        self.entry.memory.refreshed(&webhook, asked);
        self.webhook = Arc::new(webhook);
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
        // The same id at another endpoint may be another webhook: it proves no account.
        let endpoint = self.webhook.status.as_ref().and_then(|status| status.endpoint.as_deref());
        if stored && result.is_ok() && endpoint == Some(handle.orion.endpoint().as_str()) {
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
        let result = self.patiently(handle.list(begun_after, || context.stored_ids(&handle.key, &endpoint))).await;
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
        let stored = self.context.stored_ids(&handle.key, handle.orion.endpoint().as_str());
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
        // A status write that says that this takes long brings the object back, perhaps edited meanwhile.
        let sent = Arc::clone(&self.webhook);
        let is_young = self
            .entry
            .memory
            .carrying
            .as_ref()
            .is_some_and(|carrying| carrying.is_confirmed(self.context.clock.boot()));
        if !is_young {
            self.entry.memory.not_posted();
            return;
        }
        // Before it is sent: what changes meanwhile may be what it is sent with, and then counts as a change.
        let account = handle.facts().account();
        let result = self.patiently(handle.orion.create(&body, &token)).await;
        handle.note(&result);
        match &result {
            Ok(id) => info!(id, token, "created at Orion"),
            Err(failure) => warn!(token, class = ?failure.class, "{}", failure.message),
        }
        self.entry.memory.posted(&result, &sent, &values, account, self.context.clock.boot());
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
            (CallKind::Post { .. } | CallKind::Update { .. } | CallKind::Unmark { .. }, Ok(id)) => {
                info!(id, "updated at Orion")
            }
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
    async fn settle(&mut self, settlement: Settlement) -> Result<Again, ApiError> {
        let differs = self.webhook.status.as_ref() != Some(&settlement.status);
        if differs {
            let updated =
                match patch::write_status(self.context, &self.webhook, &settlement.status, &settlement.guard).await {
                    Err(ApiError::Changed) if settlement.guard != Guard::ResourceVersion => {
                        self.refresh().await?;
                        if !self.entry.memory.is_ours(&self.webhook) {
                            // Another process took the attempt over: what we made is found by its marker.
                            warn!(
                                id = settlement.status.webhook_id,
                                "the attempt is no longer ours; the id is left to be found by its marker"
                            );
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
        if let Some(checked) = self.checked(&settlement) {
            self.entry.checked = checked;
        }
        self.entry.memory.settled(&settlement);
        Ok(settlement
            .wake
            .map_or_else(Again::on_change, |wake| Again::after(wake.saturating_sub(self.context.clock.boot()))))
    }

    /// When Orion's side was last seen to be as declared, or was put right.
    fn checked(&self, settlement: &Settlement) -> Option<Boot> {
        if settlement.readiness.reason != Reason::Synced || settlement.failed {
            return None;
        }
        let was_read = matches!(self.round.remote, Some((_, Ok(_))));
        let was_put_right = matches!(self.round.call, Some(Call { result: Ok(_), .. }));
        match &self.round.list {
            _ if was_read || was_put_right => Some(self.context.clock.boot()),
            Some(Ok(snapshot)) => Some(snapshot.begun),
            Some(Err(_)) | None => None,
        }
    }

    fn wrote(&mut self, mut updated: Webhook) {
        prune(&mut updated);
        let updated = Arc::new(updated);
        self.entry.latest = Some(Arc::clone(&updated));
        self.webhook = updated;
    }

    /// Waits for `work`; after 5 s in all, says in the status that it is not finished. The work goes on meanwhile.
    pub(super) async fn patiently<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        let Some(patience) = self.patience else { return work.await };
        tokio::select! {
            result = &mut work => return result,
            () = tokio::time::sleep_until(patience) => self.patience = None,
        }
        if let Some(status) = self.with_view(&self.entry.memory, progressing) {
            // The work is polled on while the status is written: its answer must not wait.
            let webhook = Arc::clone(&self.webhook);
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
