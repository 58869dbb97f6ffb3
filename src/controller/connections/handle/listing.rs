//! What a connection reads for its Webhooks: the list that all share, single webhooks, and how many of them are gone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rand::seq::IteratorRandom;
use tracing::warn;

use super::ConnectionHandle;
use crate::api::{Failure, FailureClass, RemoteWebhook, Support};
use crate::controller::clock::chance;
use crate::plan::{Boot, Others, Snapshot};

/// How many absent ids are confirmed by GET before a list counts as complete.
const CONFIRMED_AT_MOST: usize = 20;
/// How long a list that is not complete is shared.
const FLAWED_FOR: Duration = Duration::from_secs(1);
/// How many other ids are looked at before a webhook that is gone is created anew.
const OTHERS: usize = 10;

impl ConnectionHandle {
    /// A list that was begun no earlier than `begun_after`: the last one if it is young enough, else a new one. One is
    /// read at a time. `stored` gives the ids that Webhooks have stored for this connection; it is asked before the list
    /// is read, so that an id which comes meanwhile does not count as missing.
    ///
    /// # Errors
    /// The call failed.
    pub async fn list(
        &self,
        begun_after: Boot,
        stored: impl Fn() -> BTreeSet<String>,
    ) -> Result<Arc<Snapshot>, Failure> {
        let asked = self.clock.boot();
        let _one_at_a_time = self.listing.lock().await;
        let now = self.clock.boot();
        // One that is not complete is shared only for a moment: whoever needs a complete one asks again.
        let is_fit =
            |list: &Arc<Snapshot>| list.begun >= begun_after && (list.is_complete() || list.begun + FLAWED_FOR > now);
        if let Some(list) = self.state().last_list.clone().filter(is_fit) {
            return Ok(list);
        }
        // Whoever waited while a list failed has that failure: a list that hangs must not hang for each of them in turn.
        if let Some((_, failure)) = self.state().failed_list.clone().filter(|(ended, _)| *ended >= asked) {
            return Err(failure);
        }
        let wait = begun_after.saturating_sub(self.clock.boot());
        tokio::time::sleep(wait).await;
        let stored = stored();
        let begun = self.clock.boot();
        let result = self.orion.list().await;
        self.note(&result);
        let listing = match result {
            Ok(listing) => listing,
            Err(failure) => {
                self.state().failed_list = Some((self.clock.boot(), failure.clone()));
                if !failure.class.is_absent() {
                    // What Webhooks do not tell, because they were in sync, the connection does.
                    self.doubted();
                }
                return Err(failure);
            }
        };
        let shown: BTreeSet<&str> = listing.webhooks.iter().map(|webhook| webhook.id.as_str()).collect();
        let missing: BTreeSet<String> = stored.iter().filter(|id| !shown.contains(id.as_str())).cloned().collect();
        let flaw = match listing.flaw {
            Some(flaw) => Some(flaw),
            None => self.flaw(&missing, stored.len()).await?,
        };
        let seen_one = stored.iter().any(|id| shown.contains(id.as_str()));
        if let Some(flaw) = &flaw {
            warn!(endpoint = %self.orion.endpoint(), flaw, "Orion's list is not complete: nothing is created or deleted by it");
        }
        let took = self.clock.boot().saturating_sub(begun);
        let snapshot = Arc::new(Snapshot::new(begun, listing.webhooks, flaw).taking(took));
        let mut state = self.state();
        state.markers_survive |= snapshot.shows_markers();
        state.unproven &= !seen_one;
        state.gone.retain(|id, _| snapshot.get(id).is_none());
        state.last_list = Some(Arc::clone(&snapshot));
        Ok(snapshot)
    }

    /// Why a list that does not show `missing` of `stored` ids is not complete (design section 4, "A list is complete").
    async fn flaw(&self, missing: &BTreeSet<String>, stored: usize) -> Result<Option<String>, Failure> {
        let before = std::mem::replace(&mut self.state().last_missing, missing.clone());
        if missing.is_empty() {
            return Ok(None);
        }
        let few = missing.len() < 5 || missing.len() * 5 <= stored;
        if self.orion.capabilities().get == Support::Proven {
            if missing.len() > CONFIRMED_AT_MOST && !few {
                return Ok(Some("it leaves out more than a fifth of the webhooks that were created here".into()));
            }
            for id in missing {
                match self.get(id).await {
                    Ok(_) => return Ok(Some("it leaves out a webhook that exists".into())),
                    Err(failure) if failure.class == FailureClass::NotFound && failure.json => {}
                    Err(failure) => return Err(failure),
                }
            }
            return Ok(None);
        }
        Ok(match (few, before == *missing) {
            (true, true) => None,
            (true, false) => Some("it leaves out webhooks that were created here, for the first time".into()),
            (false, _) => Some("it leaves out more than a fifth of the webhooks that were created here".into()),
        })
    }

    /// Reads one webhook.
    ///
    /// # Errors
    /// The call failed.
    pub async fn get(&self, id: &str) -> Result<RemoteWebhook, Failure> {
        let result = self.orion.get(id).await;
        self.note(&result);
        if let Ok(webhook) = &result {
            let mut state = self.state();
            state.markers_survive |= webhook.owner().is_some();
            state.gone.remove(id);
        }
        result
    }

    /// A webhook was deleted by us: the last list does not speak of it any more.
    pub fn forget(&self, id: &str) {
        let mut state = self.state();
        if let Some(list) = state.last_list.as_mut().filter(|list| list.get(id).is_some()) {
            *list = Arc::new(list.without(id));
        }
    }

    /// An id that a Webhook has stored was seen.
    pub fn seen(&self) {
        self.state().unproven = false;
    }

    /// Looks at up to ten other stored ids, because `id` is gone: is it one loss or the loss of many?
    pub async fn look_at_others(&self, id: &str, stored: &BTreeSet<String>, interval: Duration) -> Others {
        let now = self.clock.boot();
        let others = stored.iter().filter(|other| other.as_str() != id).sample(&mut chance(&*self.clock), OTHERS);
        let list = self.state().last_list.clone();
        let by_get = self.orion.capabilities().get != Support::Absent;
        let mut gone = 0;
        for other in &others {
            let is_gone = if by_get {
                matches!(self.get(other).await, Err(failure) if failure.class == FailureClass::NotFound && failure.json)
            } else {
                list.as_ref().is_some_and(|list| list.get(other).is_none())
            };
            if is_gone {
                gone += 1;
                self.state().gone.insert((*other).clone(), now);
            }
        }
        let mut state = self.state();
        state.gone.insert(id.to_owned(), now);
        // Also those that have been created anew since: they are part of the same loss.
        state.gone.retain(|_, at| now.saturating_sub(*at) <= interval);
        Others { looked_at: others.len(), gone, gone_in_all: state.gone.len(), stored: stored.len() }
    }
}
