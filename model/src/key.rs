//! When two states are the same: a number over everything that can make a difference. Every field is named, so that a new
//! one in `plan` does not compile here before somebody has thought of it.

use std::hash::{BuildHasher, Hash, Hasher};

use ahash::{AHasher, RandomState};
use kube::ResourceExt;

use crate::api::{Failure, RemoteWebhook, Webhook, WebhookStatus};
use crate::plan::{Call, Carrying, Created, Doubt, Memory, Round, Snapshot, Verdict};
use crate::state::{Process, State, Work, version};

impl State {
    pub(crate) fn compute_key(&self) -> u64 {
        let mut hasher = hasher();
        let versions = self.versions_in_order();
        let keyed = Keyed { versions: &versions, stale: self.left.stale > 0 };
        for object in &self.objects {
            object.now.as_ref().map(|now| keyed.webhook(now)).hash(&mut hasher);
            object.old.len().hash(&mut hasher);
            object.old.iter().for_each(|old| keyed.webhook(old).hash(&mut hasher));
            object.comes_back.as_ref().map(|back| keyed.webhook(back)).hash(&mut hasher);
            object.tokens.hash(&mut hasher);
        }
        (&self.remotes, &self.left, self.ids, self.broken).hash(&mut hasher);
        let mut flights: Vec<u64> = self.flights.iter().map(number_of).collect();
        flights.sort_unstable();
        flights.hash(&mut hasher);
        // The processes are alike: which is which makes no difference.
        let mut processes: Vec<u64> = self.processes.iter().map(|process| keyed.process(process)).collect();
        processes.sort_unstable();
        processes.hash(&mut hasher);
        hasher.finish().max(1)
    }

    /// Versions only have an order; how many there were before makes no difference.
    fn versions_in_order(&self) -> Vec<u64> {
        let objects =
            self.objects.iter().flat_map(|object| object.now.iter().chain(&object.old)).map(|webhook| version(webhook));
        let works = self.processes.iter().flat_map(|process| &process.work).flat_map(|work| {
            let running = work.running.as_ref().map(|running| version(&running.webhook));
            let latest = work.latest.as_ref().map(|latest| version(latest));
            running.into_iter().chain(latest).chain(work.seen).chain((self.left.stale > 0).then_some(work.cached))
        });
        let mut versions: Vec<u64> = objects.chain(works).collect();
        versions.sort_unstable();
        versions.dedup();
        versions
    }
}

/// The same for the same state in every run.
fn hasher() -> AHasher {
    RandomState::with_seeds(1, 2, 3, 4).build_hasher()
}

fn number_of(value: impl Hash) -> u64 {
    let mut hasher = hasher();
    value.hash(&mut hasher);
    hasher.finish()
}

struct Keyed<'a> {
    versions: &'a [u64],
    /// An old version may still be shown.
    stale: bool,
}

impl Keyed<'_> {
    fn rank(&self, version: u64) -> Option<usize> {
        self.versions.iter().position(|known| *known == version)
    }

    fn webhook(&self, webhook: &Webhook) -> u64 {
        let mut hasher = hasher();
        self.rank(version(webhook)).hash(&mut hasher);
        (&webhook.metadata.uid, webhook.metadata.generation).hash(&mut hasher);
        (webhook.metadata.deletion_timestamp.is_some(), webhook.finalizers(), webhook.annotations()).hash(&mut hasher);
        webhook.spec.url.hash(&mut hasher);
        if let Some(status) = &webhook.status {
            let WebhookStatus {
                observed_generation,
                webhook_id,
                endpoint,
                settled_attempt,
                applied_secrets: _,
                last_handled_reconcile_at: _,
                conditions,
            } = status;
            (1, observed_generation, webhook_id, endpoint, settled_attempt).hash(&mut hasher);
            for condition in conditions {
                (&condition.type_, &condition.status, &condition.reason, &condition.message).hash(&mut hasher);
                condition.observed_generation.hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    fn process(&self, process: &Process) -> u64 {
        let Process { later, last_list, last_missing, markers_survive, work } = process;
        let mut hasher = hasher();
        (later, last_list.as_ref().map(|list| snapshot(list)), last_missing, markers_survive).hash(&mut hasher);
        for work in work {
            let Work { uid, memory: remembered, latest, running, wake, released, cached, seen, leftover } = work;
            (uid, memory(remembered), latest.as_ref().map(|latest| self.webhook(latest)), wake).hash(&mut hasher);
            (
                released,
                Some(*cached).filter(|_| self.stale).map(|cached| self.rank(cached)),
                seen.map(|seen| self.rank(seen)),
                leftover.as_ref().map(|leftover| round(leftover)),
            )
                .hash(&mut hasher);
            if let Some(running) = running {
                (self.webhook(&running.webhook), round(&running.round), running.fresh, running.asleep)
                    .hash(&mut hasher);
            }
        }
        hasher.finish()
    }
}

fn snapshot(list: &Snapshot) -> u64 {
    let mut hasher = hasher();
    (list.begun, list.is_complete()).hash(&mut hasher);
    list.webhooks().for_each(|webhook| remote(webhook).hash(&mut hasher));
    hasher.finish()
}

fn remote(remote: &RemoteWebhook) -> u64 {
    number_of((&remote.id, &remote.url, remote.owner()))
}

fn failure(failure: &Failure) -> u64 {
    let Failure { class, status, sent, json, retry_after, message } = failure;
    number_of((class, status, *sent as u8, json, retry_after, message))
}

fn round(round: &Round) -> u64 {
    let Round {
        secret_versions,
        secrets,
        remote: read,
        list,
        others,
        prepared,
        namespace_is_terminating,
        logged_in_again,
        call,
    } = round;
    let mut hasher = hasher();
    (secret_versions, secrets.is_some(), others.is_some(), prepared.is_some(), logged_in_again).hash(&mut hasher);
    namespace_is_terminating.hash(&mut hasher);
    if let Some((id, result)) = read {
        (id, result.as_ref().map(remote).map_err(failure)).hash(&mut hasher);
    }
    if let Some(result) = list {
        (7, result.as_ref().map(|list| snapshot(list)).map_err(failure)).hash(&mut hasher);
    }
    if let Some(Call { kind, result }) = call {
        (format!("{kind:?}"), result.as_ref().map_err(failure)).hash(&mut hasher);
    }
    hasher.finish()
}

fn memory(memory: &Memory) -> u64 {
    let Memory {
        carrying,
        created,
        doubt,
        synced,
        changed,
        next_check,
        failures,
        verdict,
        about,
        missing,
        copies,
        held,
        deleted,
        stranded,
    } = memory;
    let mut hasher = hasher();
    (synced, changed, next_check, failures, about, missing, copies, held, deleted, stranded).hash(&mut hasher);
    if let Some(Carrying { token, begun, confirmed, sent }) = carrying.as_deref() {
        (1, token, begun, confirmed, sent).hash(&mut hasher);
    }
    if let Some(Created { token, id, endpoint, versions: _, digest }) = created.as_deref() {
        (2, token, id, endpoint, digest).hash(&mut hasher);
    }
    if let Some(Doubt { token, since, cause, sent, account, reached, lists }) = doubt.as_deref() {
        (3, token, since, cause, sent, account, reached, lists).hash(&mut hasher);
    }
    if let Some(Verdict { known, readiness, wake }) = verdict {
        (4, readiness.reason, &readiness.message, readiness.deleting, wake, known).hash(&mut hasher);
    }
    hasher.finish()
}
