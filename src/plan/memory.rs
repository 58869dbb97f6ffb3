//! What one process remembers of one Webhook. Losing it is always safe: that is what a restart does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kube::ResourceExt;

use super::facts::{Account, SecretValues, digest};
use super::snapshot::{Boot, Snapshot};
use super::step::{Inputs, Settlement, Verdict, number};
use crate::api::{
    AppliedSecret, Attempt, CREATE_ATTEMPT, Failure, FailureClass, Owner, RemoteWebhook, Support, Webhook,
};

/// The POST follows the apiserver's word that the attempt is ours within this time, on the boot-time clock.
const CONFIRMED_FOR: Duration = Duration::from_secs(2);
/// Between the time-out of a call and the end of the settle time.
const MARGIN: Duration = Duration::from_secs(1);

/// An attempt that this process began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carrying {
    /// Its token.
    pub token: String,
    /// When it was recorded.
    pub begun: Boot,
    /// When the apiserver was last asked and said that the attempt is ours.
    pub confirmed: Boot,
    /// The POST has begun: from now on its result is unknown until it is known.
    pub sent: bool,
}

impl Carrying {
    /// The apiserver's word that the attempt is ours is young enough to POST on. Asked again right before sending.
    #[must_use]
    pub fn is_confirmed(&self, now: Boot) -> bool {
        now.saturating_sub(self.confirmed) < CONFIRMED_FOR
    }

    /// A POST that follows the apiserver's word of `confirmed` takes effect before anybody else may hold the attempt for
    /// settled: the word, the 2 s after it and the call itself end within the settle time that began with the record.
    #[must_use]
    pub(super) fn is_in_time(&self, confirmed: Boot, settle_time: Duration, timeout: Duration) -> bool {
        let spare = settle_time.saturating_sub(timeout + CONFIRMED_FOR + MARGIN);
        confirmed.saturating_sub(self.begun) <= spare
    }
}

/// A create whose result this process does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// The attempt's token, empty where there is none.
    pub token: String,
    /// When this process first saw it, or saw another account. Written times are for people only.
    pub since: Boot,
    /// What went wrong, where this process saw it.
    pub cause: Option<String>,
    /// The generation that was sent, where this process sent it: the spec may have been edited since.
    pub sent: Option<i64>,
    /// Where it was sent, where this process sent it.
    pub account: Option<Account>,
    /// The account that is reached now: what is remembered here was read from it.
    pub reached: Option<Account>,
    /// Beginnings of the complete lists read after the settle time that did not show our marker.
    pub lists: Vec<Boot>,
}

impl Doubt {
    pub(super) fn new(token: String, since: Boot) -> Self {
        Self { token, since, cause: None, sent: None, account: None, reached: None, lists: Vec::new() }
    }
}

/// An id that Orion gave to our POST, with what was sent.
#[derive(Clone, Debug)]
pub struct Created {
    /// The attempt's token.
    pub token: String,
    /// The id.
    pub id: String,
    /// The API base that it belongs to, which the connection may have left since.
    pub endpoint: String,
    /// The Secrets whose values were sent.
    pub versions: Vec<AppliedSecret>,
    /// Digest of what was sent.
    pub digest: u64,
}

/// What one process remembers of one Webhook.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The attempt in our hands.
    pub carrying: Option<Box<Carrying>>,
    /// An id that is not in the status yet.
    pub created: Option<Box<Created>>,
    /// A create in doubt.
    pub doubt: Option<Box<Doubt>>,
    /// Digest of what Orion is known to have.
    pub synced: Option<u64>,
    /// When this process last changed something at Orion.
    pub changed: Option<Boot>,
    /// When drift is to be looked for.
    pub next_check: Option<Boot>,
    /// Failures in a row.
    pub failures: u32,
    /// The last result.
    pub verdict: Option<Verdict>,
    /// Digest of the stored id that `missing` and `copies` are about.
    pub about: Option<u64>,
    /// When the stored id was answered with 404, or not shown by complete lists.
    pub missing: Vec<Boot>,
    /// Other ids with our marker, and the beginning of the complete list that first showed each.
    pub copies: BTreeMap<String, Boot>,
    /// This process put the finalizer on without an attempt: nothing was created under it.
    pub held: bool,
    /// Ids that were deleted while the Webhook is going.
    pub deleted: BTreeSet<String>,
    /// Since when this process has seen that the namespace is terminating while the connection is lost.
    pub stranded: Option<Boot>,
}

impl Memory {
    /// Takes note of the Webhook as it stands at the beginning of a reconcile: a new generation, Secret or request
    /// ends the back-off, and an attempt of unknown result begins its settle time.
    pub fn observe(&mut self, inputs: &Inputs, doubtful: Option<String>, now: Boot) {
        if self.verdict.as_ref().is_some_and(|verdict| verdict.known.news != inputs.known().news) {
            self.failures = 0;
        }
        let about = inputs.webhook_id.as_ref().map(number);
        if self.about != about {
            self.about = about;
            self.missing.clear();
            self.copies.clear();
        }
        if inputs.webhook_id.is_some() {
            // What was held has an id now; without it, later, it is not known what happened.
            self.held = false;
        }
        if !inputs.lost {
            self.stranded = None;
        }
        match doubtful {
            Some(token) if self.doubt.as_ref().is_none_or(|doubt| doubt.token != token) => {
                self.doubt = Some(Box::new(Doubt::new(token, now)));
            }
            Some(_) => {}
            None => self.doubt = None,
        }
        if let (Some(doubt), Ok(reached)) = (&mut self.doubt, &inputs.connection) {
            let before = doubt.reached.replace(reached.clone());
            if before.is_some_and(|before| before != *reached) {
                // Also for what all Webhooks share: a list of the account of before.
                doubt.since = now;
                doubt.lists.clear();
            }
        }
    }

    /// The apiserver has taken our attempt; it was asked at `asked`.
    pub fn attempt_begun(&mut self, token: &str, asked: Boot) {
        self.carrying =
            Some(Box::new(Carrying { token: token.to_owned(), begun: asked, confirmed: asked, sent: false }));
        self.doubt = None;
        self.held = false;
    }

    /// The Webhook was read afresh, asked for at `asked`.
    pub fn refreshed(&mut self, webhook: &Webhook, asked: Boot) {
        let recorded = webhook.annotations().get(CREATE_ATTEMPT).map(|text| Attempt::parse(text).token);
        match &mut self.carrying {
            // That a Webhook which is going has our attempt is no word to POST on: a cache may still show it living.
            Some(carrying) if recorded.as_ref() == Some(&carrying.token) => {
                let is_going = webhook.metadata.deletion_timestamp.is_some();
                carrying.confirmed = if is_going { asked.saturating_sub(CONFIRMED_FOR) } else { asked };
            }
            Some(_) => self.carrying = None,
            None => {}
        }
    }

    /// The POST begins. From here on a crash, a panic or a lost answer leaves its result unknown.
    pub fn posting(&mut self) {
        if let Some(carrying) = &mut self.carrying {
            carrying.sent = true;
        }
    }

    /// The POST was not begun after all.
    pub fn not_posted(&mut self) {
        if let Some(carrying) = &mut self.carrying {
            carrying.sent = false;
        }
    }

    /// The attempt whose id is to be recorded is still the one in `webhook`.
    #[must_use]
    pub fn is_ours(&self, webhook: &Webhook) -> bool {
        let recorded = webhook.annotations().get(CREATE_ATTEMPT).map(|text| Attempt::parse(text).token);
        self.created.as_ref().is_some_and(|created| recorded.as_ref() == Some(&created.token))
    }

    /// The POST of `webhook`, as it was then, to `account` has ended. A known refusal leaves the attempt in our hands; an
    /// id is kept until it is recorded.
    pub fn posted(
        &mut self,
        result: &Result<String, Failure>,
        webhook: &Webhook,
        values: &SecretValues,
        account: Account,
        now: Boot,
    ) {
        let Some(mut carrying) = self.carrying.take() else { return };
        match result {
            Ok(id) => {
                let versions = values.versions.clone();
                let digest = digest(&webhook.spec, &versions);
                let (token, id, endpoint) = (carrying.token, id.clone(), account.endpoint);
                self.created = Some(Box::new(Created { token, id, endpoint, versions, digest }));
            }
            Err(failure) if failure.is_known_refusal() => {
                carrying.sent = false;
                // The next POST takes a fresh word of the apiserver's, however young the last one is.
                carrying.confirmed = now.saturating_sub(CONFIRMED_FOR);
                self.carrying = Some(carrying);
            }
            Err(failure) => {
                let cause = Some(failure.message.clone());
                let sent = webhook.metadata.generation;
                let (token, account) = (carrying.token, Some(account));
                self.doubt = Some(Box::new(Doubt { cause, sent, account, ..Doubt::new(token, now) }));
            }
        }
    }

    /// The stored id was read from Orion.
    pub fn got(&mut self, stored: bool, result: &Result<RemoteWebhook, Failure>, get: Support, now: Boot) {
        match result {
            Ok(_) if stored => self.missing.clear(),
            Err(failure)
                if stored && failure.class == FailureClass::NotFound && failure.json && get == Support::Proven =>
            {
                self.missing.push(now);
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// The Webhook's namespace was looked at, because the connection is lost.
    pub fn looked_at_namespace(&mut self, is_terminating: bool, now: Boot) {
        self.stranded = is_terminating.then(|| self.stranded.unwrap_or(now));
    }

    /// Something was changed at Orion: no list begun before shows it.
    pub fn changed(&mut self, now: Boot) {
        self.changed = Some(now);
    }

    /// A list was read: notes copies, the absence of our marker while in doubt, and, where GET was never seen to work,
    /// the absence of the stored id.
    pub fn listed(&mut self, snapshot: &Snapshot, owner: Option<&Owner>, stored: Option<&str>, get: Support) {
        let ours = owner.map_or(&[][..], |owner| snapshot.ids_of(owner));
        if let Some(stored) = stored {
            let shown = snapshot.get(stored).is_some();
            if shown && self.missing.last().is_none_or(|last| *last < snapshot.begun) {
                self.missing.clear();
            }
            if snapshot.is_complete() {
                let others = ours.iter().filter(|id| shown && id.as_str() != stored);
                self.copies =
                    others.map(|id| (id.clone(), self.copies.get(id).copied().unwrap_or(snapshot.begun))).collect();
                if !shown && get != Support::Proven && !self.missing.contains(&snapshot.begun) {
                    self.missing.push(snapshot.begun);
                }
            }
        }
        if let Some(doubt) = &mut self.doubt
            && snapshot.is_complete()
            && !doubt.lists.contains(&snapshot.begun)
        {
            if ours.is_empty() { doubt.lists.push(snapshot.begun) } else { doubt.lists.clear() }
        }
    }

    /// A settlement was carried out: its status is written, or was there already.
    pub fn settled(&mut self, settlement: &Settlement) {
        self.failures = if settlement.failed { self.failures.saturating_add(1) } else { settlement.failures };
        if let Some(synced) = settlement.synced {
            self.synced = synced;
        }
        if settlement.next_check.is_some() {
            self.next_check = settlement.next_check;
        }
        if let Some(gone) = &settlement.gone {
            self.deleted(gone);
        }
        let status = &settlement.status;
        if self.created.as_ref().is_some_and(|created| status.webhook_id.as_ref() == Some(&created.id)) {
            self.created = None;
            self.missing.clear();
        }
        if self.carrying.as_ref().is_some_and(|carrying| status.settled_attempt.as_ref() == Some(&carrying.token)) {
            self.carrying = None;
        }
        // Not what the write returned: that may hold a newer spec or a deletion, which nobody has looked at yet.
        let inputs = Inputs {
            webhook_id: status.webhook_id.clone(),
            endpoint: status.endpoint.clone(),
            settled: status.settled_attempt.clone(),
            ..settlement.inputs.clone()
        };
        self.verdict =
            Some(Verdict { known: inputs.known(), readiness: settlement.readiness.clone(), wake: settlement.wake });
    }

    /// A webhook was deleted while its Webhook is going.
    pub fn deleted(&mut self, id: &str) {
        self.deleted.insert(id.to_owned());
        self.copies.remove(id);
    }

    /// When a missing id may be looked at again, `apart` from the first look.
    #[must_use]
    pub fn second_look(&self, apart: Duration) -> Option<Boot> {
        self.missing.first().map(|first| *first + apart)
    }
}
