//! One connection at run time: its Orion client, its trouble, and the list that all its Webhooks share.

mod listing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::key::ConnectionKey;
use crate::api::{Failure, FailureClass, Reason, Sent, State as Standard, Support};
use crate::controller::clock::{Clock, chance};
use crate::orion::Orion;
use crate::plan::{Boot, ConnectionFacts, Snapshot, Trouble, backoff, explain};

/// Until the capabilities are asked for again after that failed; meanwhile they are learned from other answers.
const DISCOVERY_AGAIN: Duration = Duration::from_secs(30);
/// The longest look at a connection, whatever its Orion serves.
const LOOK_AT_MOST: Duration = Duration::from_secs(60);

/// What calls over a connection depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// Our webhooks carry the owner marker.
    pub ownership: bool,
    /// Time-out of one call.
    pub timeout: Duration,
}

/// How a connection stands, by its own calls and by those of its Webhooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::controller) enum Standing {
    /// The last call succeeded.
    Good,
    /// Nothing was called yet, or nothing since something changed.
    Unknown,
    /// It cannot be used.
    Failing(Trouble),
}

/// A connection at run time.
pub struct ConnectionHandle {
    /// Which one.
    pub key: ConnectionKey,
    /// Its Orion.
    pub orion: Arc<dyn Orion>,
    /// What calls depend on.
    pub settings: ConnectionSettings,
    clock: Arc<dyn Clock>,
    adoption: AtomicBool,
    state: Mutex<State>,
    listing: tokio::sync::Mutex<()>,
    troubled: Notify,
    revision: watch::Sender<u64>,
    stirred: watch::Sender<u64>,
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
    /// The last call succeeded.
    good: bool,
    /// Why the last look failed, or that the credentials were refused.
    failing: Option<Trouble>,
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
    pub fn new(key: ConnectionKey, orion: Arc<dyn Orion>, settings: ConnectionSettings, clock: Arc<dyn Clock>) -> Self {
        Self {
            key,
            orion,
            settings,
            clock,
            adoption: AtomicBool::new(false),
            state: Mutex::default(),
            listing: tokio::sync::Mutex::default(),
            troubled: Notify::new(),
            revision: watch::Sender::new(0),
            stirred: watch::Sender::new(0),
        }
    }

    /// The same connection after a change of its spec. `is_another`: it may lead to another account than `before`, so that
    /// nothing is re-created until a stored id was seen.
    pub(super) fn after(self, before: &Self, is_another: bool) -> Self {
        let now = self.clock.boot();
        let old = before.state();
        let same_place = before.orion.endpoint() == self.orion.endpoint();
        {
            let mut state = self.state();
            state.unproven = old.unproven || is_another || !same_place;
            // Verdicts that were reached with the old one do not stand under the new one.
            state.credential_changes = old.credential_changes + 1;
            state.recoveries = old.recoveries;
            state.gone.clone_from(&old.gone);
            if same_place {
                state.markers_survive = old.markers_survive;
                // What Orion asked for does not end with an edit of ours.
                state.trouble = old.trouble.clone().filter(|known| known.told_to_wait && known.until > now);
            }
        }
        drop(old);
        self
    }

    /// Webhooks may adopt by id on it, or may not.
    pub(in crate::controller) fn allow_adoption(&self, is_allowed: bool) {
        self.adoption.store(is_allowed, Ordering::Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes whenever the Webhooks that wait for the connection should be looked at again.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Changes whenever the connection may stand otherwise than before.
    pub(super) fn stirs(&self) -> watch::Receiver<u64> {
        self.stirred.subscribe()
    }

    fn stir(&self) {
        self.stirred.send_modify(|stirred| *stirred += 1);
    }

    /// How it stands.
    pub(in crate::controller) fn standing(&self) -> Standing {
        let state = self.state();
        let trouble = state.trouble.as_ref().map(|troubled| &troubled.trouble).or(state.failing.as_ref());
        match trouble {
            Some(trouble) => Standing::Failing(trouble.clone()),
            None if state.good => Standing::Good,
            None => Standing::Unknown,
        }
    }

    /// The trouble that it ends by itself, and when.
    pub(super) fn is_waiting(&self) -> bool {
        self.state().trouble.is_some()
    }

    /// A person must act before it can be used: its Webhooks are told.
    pub(in crate::controller) fn is_stalled(&self) -> Option<Trouble> {
        let state = self.state();
        state.failing.clone().filter(|trouble| trouble.reason.state() == Standard::Stalled)
    }

    /// As its Webhooks are told of trouble: of an object's, that the object is not Ready.
    fn told(&self, trouble: &Trouble) -> Trouble {
        match &self.key {
            ConnectionKey::Default => trouble.clone(),
            ConnectionKey::Namespaced { .. } | ConnectionKey::Cluster { .. } => Trouble {
                reason: Reason::ConnectionNotReady,
                message: not_ready(&self.key, trouble.reason, &trouble.message),
            },
        }
    }

    /// What a decision may depend on.
    #[must_use]
    pub fn facts(&self) -> ConnectionFacts {
        let state = self.state();
        let failing = state.failing.as_ref().filter(|_| self.key != ConnectionKey::Default);
        let trouble = state.trouble.as_ref().map(|troubled| &troubled.trouble).or(failing);
        ConnectionFacts {
            endpoint: self.orion.endpoint().clone(),
            capabilities: self.orion.capabilities(),
            ownership: self.settings.ownership,
            adoption: self.adoption.load(Ordering::Relaxed),
            timeout: self.settings.timeout,
            trouble: trouble.map(|trouble| self.told(trouble)),
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
            Err(failure) if failure.class == FailureClass::Unauthorized => self.fails(failure),
            Ok(_) => self.succeeded(),
            Err(_) => {}
        }
    }

    fn succeeded(&self) {
        let mut state = self.state();
        let is_news = !std::mem::replace(&mut state.good, true);
        let was_failing = state.failing.take().is_some();
        let ends = match &state.trouble {
            None => {
                state.row = 0;
                false
            }
            Some(troubled) if troubled.told_to_wait => false,
            Some(_) => {
                state.row = 0;
                true
            }
        };
        drop(state);
        if ends {
            self.end_trouble();
        }
        if was_failing {
            self.revision.send_modify(|revision| *revision += 1);
        }
        if is_news || was_failing {
            self.stir();
        }
    }

    /// The last look failed, or the credentials were refused: until another look succeeds nobody else has to find out.
    fn fails(&self, failure: &Failure) {
        let trouble = Trouble { reason: failure.reason(), message: explain(failure) };
        let mut state = self.state();
        state.good = false;
        let is_news = state.failing.as_ref() != Some(&trouble);
        state.failing = Some(trouble.clone());
        drop(state);
        if is_news {
            if self.key != ConnectionKey::Default {
                warn!(connection = %self.key, endpoint = %self.orion.endpoint(), reason = %trouble.reason, "{}", trouble.message);
            }
            self.stir();
        }
    }

    /// Something went wrong that need not be the connection's fault: it is to be looked at.
    fn doubted(&self) {
        if std::mem::replace(&mut self.state().good, false) {
            self.stir();
        }
    }

    /// One look whether the connection can be used: what Orion can do, and the list that its Webhooks share, or where
    /// there is none at least the credentials. `stored` as for [`ConnectionHandle::list`].
    ///
    /// # Errors
    /// It cannot be used. It is noted as well.
    pub(super) async fn look(&self, stored: impl Fn() -> BTreeSet<String>) -> Result<(), Failure> {
        let look = async {
            self.discover().await;
            if self.orion.capabilities().list == Support::Absent {
                return self.orion.prepare().await;
            }
            match self.list(self.clock.boot(), stored).await {
                Err(failure) if failure.class.is_absent() => Ok(()),
                result => result.map(drop),
            }
        };
        let result = tokio::time::timeout(LOOK_AT_MOST, look).await.unwrap_or_else(|_| {
            Err(Failure {
                class: FailureClass::Timeout,
                status: None,
                sent: Sent::Maybe,
                json: false,
                retry_after: None,
                message: format!(
                    "Orion at {} takes more than {} s for its list",
                    self.orion.endpoint().host(),
                    LOOK_AT_MOST.as_secs()
                ),
            })
        });
        match &result {
            Ok(()) => self.succeeded(),
            Err(failure) if failure.is_of_the_connection() || failure.retry_after.is_some() => self.trouble(failure),
            Err(failure) => self.fails(failure),
        }
        result
    }

    fn trouble(&self, failure: &Failure) {
        let trouble = Trouble { reason: failure.reason(), message: explain(failure) };
        let now = self.clock.boot();
        let mut state = self.state();
        state.good = false;
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
        if is_first {
            self.stir();
        }
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
            self.stir();
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
                Ok(_) => {
                    self.state().good = true;
                    self.end_trouble();
                }
                Err(_) => self.end_trouble(),
            }
        }
    }

    /// Files are looked at now and then; what a Secret holds is told when it changes.
    async fn tend_credentials(&self) {
        if self.key != ConnectionKey::Default {
            return;
        }
        loop {
            self.notice_credentials().await;
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }

    /// Looks whether the credentials have changed. True if they have.
    pub(super) async fn notice_credentials(&self) -> bool {
        let epoch = self.orion.credentials_epoch().await;
        let is_new = {
            let mut state = self.state();
            let is_new = state.credentials.replace(epoch).is_some_and(|known| known != epoch);
            if is_new {
                // Other credentials may lead to another account: nothing is re-created before an id was seen with them.
                state.unproven = true;
                state.credential_changes += 1;
                state.good = false;
                state.failing = None;
            }
            is_new
        };
        if is_new {
            info!(endpoint = %self.orion.endpoint(), "the credentials have changed");
            self.revision.send_modify(|revision| *revision += 1);
        }
        is_new
    }
}

/// What the Webhooks of a connection are told while it is not Ready. The details of one that many tenants share are for
/// those who may read it.
pub(in crate::controller) fn not_ready(key: &ConnectionKey, reason: Reason, message: &str) -> String {
    match key {
        ConnectionKey::Default | ConnectionKey::Namespaced { .. } => {
            format!("The {key} is not Ready: {reason}: {message}")
        }
        ConnectionKey::Cluster { name } => format!(
            "The {key} is not Ready: {reason}. Its administrators find out more with: kubectl describe clusterorionconnection {name}"
        ),
    }
}
