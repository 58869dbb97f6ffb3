//! One connection at run time: its Orion client, its trouble, and the list that all its Webhooks share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt;
use rand::seq::IteratorRandom;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::clock::{Clock, chance};
use crate::api::{Failure, FailureClass, Reason, RemoteWebhook, Support};
use crate::orion::Orion;
use crate::plan::{Boot, ConnectionFacts, Others, Snapshot, Trouble, backoff, explain};

/// How many absent ids are confirmed by GET before a list counts as complete.
const CONFIRMED_AT_MOST: usize = 20;
/// Until the capabilities are asked for again after that failed; meanwhile they are learned from other answers.
const DISCOVERY_AGAIN: Duration = Duration::from_secs(30);
/// How long a list that is not complete is shared.
const FLAWED_FOR: Duration = Duration::from_secs(1);
/// How many other ids are looked at before a webhook that is gone is created anew.
const OTHERS: usize = 10;

/// What a connection allows.
#[derive(Clone, Debug)]
pub struct ConnectionSettings {
    /// Our webhooks carry the owner marker.
    pub ownership: bool,
    /// Webhooks may adopt by id.
    pub adoption: bool,
    /// Namespaces that may use it; `None` for all.
    pub namespaces: Option<BTreeSet<String>>,
    /// Time-out of one call.
    pub timeout: Duration,
}

/// A connection at run time.
pub struct ConnectionHandle {
    /// Its Orion.
    pub orion: Arc<dyn Orion>,
    /// What it allows.
    pub settings: ConnectionSettings,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    listing: tokio::sync::Mutex<()>,
    troubled: Notify,
    revision: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    trouble: Option<Troubled>,
    /// Troubles in a row, each of which makes the next wait longer; a call that succeeds ends the row.
    row: u32,
    discovered: bool,
    next_discovery: Boot,
    markers_survive: bool,
    unproven: bool,
    credentials: Option<u64>,
    credential_changes: u64,
    recoveries: u64,
    last_list: Option<Arc<Snapshot>>,
    /// When the last list that failed ended, and how.
    failed_list: Option<(Boot, Failure)>,
    last_missing: BTreeSet<String>,
    gone: BTreeMap<String, Boot>,
}

/// Trouble of the connection, until it is looked at again.
#[derive(Clone)]
struct Troubled {
    trouble: Trouble,
    until: Boot,
    /// Orion itself said to wait: neither a success of another call nor a question of ours ends it early.
    told_to_wait: bool,
}

impl ConnectionHandle {
    /// A connection that has not been used yet.
    #[must_use]
    pub fn new(orion: Arc<dyn Orion>, settings: ConnectionSettings, clock: Arc<dyn Clock>) -> Self {
        Self {
            orion,
            settings,
            clock,
            state: Mutex::default(),
            listing: tokio::sync::Mutex::default(),
            troubled: Notify::new(),
            revision: watch::Sender::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes whenever the Webhooks that wait for the connection should be looked at again.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// What a decision may depend on.
    #[must_use]
    pub fn facts(&self) -> ConnectionFacts {
        let state = self.state();
        ConnectionFacts {
            endpoint: self.orion.endpoint().clone(),
            capabilities: self.orion.capabilities(),
            ownership: self.settings.ownership,
            adoption: self.settings.adoption,
            timeout: self.settings.timeout,
            trouble: state.trouble.as_ref().map(|troubled| troubled.trouble.clone()),
            markers_survive: state.markers_survive,
            proven: !state.unproven,
            credentials: state.credential_changes,
            recoveries: state.recoveries,
            last_list: state.last_list.clone(),
        }
    }

    /// Finds out what Orion can do, once. Trouble is noted and not returned: whoever needs the connection sees it.
    pub async fn discover(&self) {
        // While trouble is known, nobody has to meet it again to find out.
        let is_settled = || {
            let state = self.state();
            state.discovered || state.trouble.is_some() || state.next_discovery > self.clock.boot()
        };
        if is_settled() {
            return;
        }
        let _one_at_a_time = self.listing.lock().await;
        if is_settled() {
            return;
        }
        match self.orion.discover().await {
            Ok(()) => {
                self.state().discovered = true;
                info!(endpoint = %self.orion.endpoint(), capabilities = ?self.orion.capabilities(), "connected to Orion");
            }
            Err(failure) => {
                self.state().next_discovery = self.clock.boot() + DISCOVERY_AGAIN;
                self.note::<()>(&Err(failure));
            }
        }
    }

    /// Takes note of how a call went: trouble of the connection stops all its Webhooks, and any success ends it.
    pub fn note<T>(&self, result: &Result<T, Failure>) {
        match result {
            Err(failure) if failure.is_of_the_connection() || failure.retry_after.is_some() => self.trouble(failure),
            Ok(_) => {
                let mut state = self.state();
                match &state.trouble {
                    None => state.row = 0,
                    Some(troubled) if troubled.told_to_wait => {}
                    Some(_) => {
                        state.row = 0;
                        drop(state);
                        self.end_trouble();
                    }
                }
            }
            Err(_) => {}
        }
    }

    fn trouble(&self, failure: &Failure) {
        let trouble = Trouble { reason: failure.reason(), message: explain(failure) };
        let now = self.clock.boot();
        let mut state = self.state();
        let is_first = state.trouble.is_none();
        if is_first {
            warn!(endpoint = %self.orion.endpoint(), reason = %trouble.reason, "{}", trouble.message);
            state.row = state.row.saturating_add(1);
        }
        let wait =
            backoff(state.row.min(6), chance(&*self.clock).random()).max(failure.retry_after.unwrap_or_default());
        let told_to_wait = trouble.reason == Reason::RateLimited || failure.retry_after.is_some();
        let until = now + wait;
        // The calls that were under way fail one after the other: the first one's wait stands, unless Orion asks for more.
        state.trouble = match state.trouble.take() {
            Some(known) if known.until > now && !(told_to_wait && until > known.until) => Some(known),
            Some(_) | None => Some(Troubled { trouble, until, told_to_wait }),
        };
        drop(state);
        self.troubled.notify_one();
    }

    /// The same, for what is no answer of Orion's: a success proves nothing.
    pub fn note_failure<T>(&self, result: &Result<T, Failure>) {
        if result.is_err() {
            self.note(result);
        }
    }

    fn end_trouble(&self) {
        let mut state = self.state();
        if state.trouble.take().is_some() {
            state.recoveries += 1;
            drop(state);
            info!(endpoint = %self.orion.endpoint(), "Orion is called again");
            self.revision.send_modify(|revision| *revision += 1);
        }
    }

    /// Ends trouble when it is over, and notices new credentials. Runs until stopped.
    pub async fn tend(&self, stop: CancellationToken) {
        stop.run_until_cancelled(async {
            tokio::join!(self.tend_trouble(), self.tend_credentials());
        })
        .await;
    }

    async fn tend_trouble(&self) {
        loop {
            let troubled = self.state().trouble.clone();
            let Some(troubled) = troubled else {
                self.troubled.notified().await;
                continue;
            };
            let left = troubled.until.saturating_sub(self.clock.boot());
            if !left.is_zero() {
                debug!(reason = %troubled.trouble.reason, seconds = left.as_secs_f32(), "waiting before Orion is called again");
                tokio::time::sleep(left).await;
                continue;
            }
            if troubled.told_to_wait {
                // Orion said when: no call is spent on asking.
                self.end_trouble();
                continue;
            }
            // A list is the one call that can be made at any time and changes nothing.
            match self.orion.list().await {
                Err(failure) if failure.is_of_the_connection() => {
                    self.state().row += 1;
                    self.trouble(&failure);
                }
                Ok(_) | Err(_) => self.end_trouble(),
            }
        }
    }

    async fn tend_credentials(&self) {
        loop {
            let epoch = self.orion.credentials_epoch().await;
            let is_new = {
                let mut state = self.state();
                let is_new = state.credentials.replace(epoch).is_some_and(|known| known != epoch);
                // Other credentials may lead to another account: nothing is re-created before an id was seen with them.
                state.unproven |= is_new;
                state.credential_changes += u64::from(is_new);
                is_new
            };
            if is_new {
                info!(endpoint = %self.orion.endpoint(), "the credentials have changed");
                self.revision.send_modify(|revision| *revision += 1);
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }

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
        let snapshot = Arc::new(Snapshot::new(begun, listing.webhooks, flaw));
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
