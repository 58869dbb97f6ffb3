//! One connection at run time: its Orion client, its trouble, and the list that all its Webhooks share.

mod listing;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tracing::info;

use super::key::ConnectionKey;
use crate::api::{Failure, Reason, State as Standard};
use crate::controller::clock::Clock;
use crate::orion::Orion;
use crate::plan::{Boot, ConnectionFacts, Snapshot, Trouble};

/// Until the capabilities are asked for again after that failed; meanwhile they are learned from other answers.
const DISCOVERY_AGAIN: Duration = Duration::from_secs(30);
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
    begun: Boot,
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
    /// The last call succeeded,
    good: bool,
    /// and that was then.
    succeeded: Boot,
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
            begun: clock.boot(),
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

    /// It is known what Orion can do.
    pub(super) fn is_discovered(&self) -> bool {
        self.state().discovered
    }

    /// No call has succeeded for so long.
    pub(super) fn is_idle(&self, time: Duration) -> bool {
        self.clock.boot().saturating_sub(self.state().succeeded) >= time
    }

    /// There is trouble that it ends by itself.
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
            begun: self.begun,
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

    /// Files are looked at now and then; what a Secret holds is told when it changes.
    async fn tend_credentials(&self) {
        if self.key != ConnectionKey::Default {
            return;
        }
        loop {
            if self.notice_credentials().await {
                self.revision.send_modify(|revision| *revision += 1);
            }
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
            info!(connection = %self.key, endpoint = %self.orion.endpoint(), "the credentials have changed");
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
