//! Which connections there are at this moment, and what each of them offers to a Webhook.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::ResourceExt;
use tokio::sync::Semaphore;

use super::handle::{ConnectionHandle, Standing, not_ready};
use super::key::ConnectionKey;
use super::object::Terms;
use crate::api::{FINALIZER, Permit, Reason, Webhook};
use crate::plan::{Connection, Trouble};

/// What keeps a connection from being used until somebody changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::controller) struct Problem {
    pub reason: Reason,
    /// What happened and what to do.
    pub message: String,
    /// What it takes is gone, and cannot come back in a namespace that is terminating.
    pub lost: bool,
}

impl Problem {
    /// Of what the connection's own namespace holds: where that is terminating, it stays.
    pub(super) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), lost: true }
    }

    /// Of what may come right by itself, wherever the namespace is at.
    pub(super) fn passing(reason: Reason, message: impl Into<String>) -> Self {
        Self { lost: false, ..Self::new(reason, message) }
    }

    /// The credentials of before are still good to clean up with.
    fn is_of_a_secret(&self) -> bool {
        matches!(self.reason, Reason::SecretNotFound | Reason::SecretInvalid)
    }
}

/// What a connection offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::controller) enum Offer {
    /// The first look at it is not over.
    Pending,
    /// Nothing, but to Webhooks that are going what was good before.
    Problem(Problem),
    /// Nothing: Orion refuses, and a person must act.
    Stalled(Trouble),
    /// Its handle. Trouble that passes shows there.
    Usable,
}

/// One connection.
#[derive(Clone)]
pub(in crate::controller) struct Slot {
    pub terms: Terms,
    pub offer: Offer,
    /// The connection at run time, also one that is not offered.
    pub handle: Option<Arc<ConnectionHandle>>,
    /// It is going: no Webhook may begin to use it.
    pub deleting: bool,
    /// Orion refuses the credentials, also those that are only kept to clean up with.
    pub refused: bool,
}

/// What a Webhook finds.
pub(in crate::controller) enum Reached {
    /// It is not known yet; whoever knows wakes the Webhook.
    Pending,
    /// The connection, with its handle where it can be used.
    Found(Option<Arc<ConnectionHandle>>, Connection),
}

impl Reached {
    fn missing(message: impl Into<String>, lost: bool) -> Self {
        Self::Found(None, Connection::Missing { message: message.into(), lost })
    }

    fn not_ready(message: impl Into<String>, lost: bool) -> Self {
        Self::Found(None, Connection::NotReady { message: message.into(), lost })
    }

    fn not_allowed(message: impl Into<String>) -> Self {
        Self::Found(None, Connection::NotAllowed { message: message.into() })
    }

    fn usable(handle: &Arc<ConnectionHandle>) -> Self {
        Self::Found(Some(Arc::clone(handle)), Connection::Usable(Box::new(handle.facts())))
    }
}

/// All connections.
pub(in crate::controller) struct Registry {
    state: Mutex<State>,
    /// ClusterOrionConnections are served: the operator is not bound to single namespaces.
    serves_clusters: bool,
    /// Reconciles at once: in all, of a team, and of a shared connection.
    all: usize,
    of_team: usize,
    of_shared: usize,
}

/// Who has a share of what can be done at once: an Orion that hangs leaves places to the others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::controller) enum Share {
    /// The Webhooks of a namespace's own connections.
    Team(String),
    /// The Webhooks of a connection that is shared.
    Shared(ConnectionKey),
    /// Looks at the connections of a namespace.
    LooksOfTeam(String),
    /// Looks at a connection that is shared.
    LookAt(ConnectionKey),
}

impl Share {
    /// Of a Webhook. `None` where its connection is of a kind that this version does not know: nothing is sent for it.
    pub(in crate::controller) fn of(webhook: &Webhook) -> Option<Self> {
        Some(match ConnectionKey::of(webhook)? {
            ConnectionKey::Namespaced { namespace, .. } => Self::Team(namespace),
            key @ (ConnectionKey::Default | ConnectionKey::Cluster { .. }) => Self::Shared(key),
        })
    }

    /// Of the looks at a connection.
    pub(super) fn of_looks(key: &ConnectionKey) -> Self {
        match key {
            ConnectionKey::Namespaced { namespace, .. } => Self::LooksOfTeam(namespace.clone()),
            ConnectionKey::Default | ConnectionKey::Cluster { .. } => Self::LookAt(key.clone()),
        }
    }
}

/// Looks at once at the connections of one namespace.
const LOOKS_AT_ONCE: usize = 8;

#[derive(Default)]
struct State {
    slots: HashMap<ConnectionKey, Slot>,
    shares: HashMap<Share, Arc<Semaphore>>,
    /// Namespaces (`None`: all) whose OrionConnections are all known,
    namespaces: BTreeSet<Option<String>>,
    /// and whether those of the cluster are.
    clusters: bool,
}

impl Registry {
    pub(in crate::controller) fn new(default: Option<Slot>, serves_clusters: bool, concurrency: u16) -> Self {
        let slots = default.into_iter().map(|slot| (ConnectionKey::Default, slot)).collect();
        let state = Mutex::new(State { slots, ..State::default() });
        let all = usize::from(concurrency);
        let of_team = (all / 4).max(1);
        let of_shared = all.saturating_sub(of_team).max(1);
        Self { state, serves_clusters, all, of_team, of_shared }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All OrionConnections of a scope are known by name.
    pub(in crate::controller) fn namespaced_are_known(
        &self,
        scope: Option<String>,
        keys: impl Iterator<Item = (ConnectionKey, Terms)>,
    ) {
        let mut state = self.state();
        state.expect(keys);
        state.namespaces.insert(scope);
    }

    /// All ClusterOrionConnections are known by name.
    pub(in crate::controller) fn clusters_are_known(&self, keys: impl Iterator<Item = (ConnectionKey, Terms)>) {
        let mut state = self.state();
        state.expect(keys);
        state.clusters = true;
    }

    /// What a connection offers from now on. True if its Webhooks should be looked at again.
    pub(super) fn put(&self, key: &ConnectionKey, slot: Slot) -> bool {
        let mut state = self.state();
        if let Some(handle) = &slot.handle {
            handle.allow_adoption(slot.terms.adoption);
        }
        let Some(known) = state.slots.insert(key.clone(), slot.clone()) else { return true };
        let is_same_handle = match (&known.handle, &slot.handle) {
            (Some(known), Some(now)) => Arc::ptr_eq(known, now),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        !is_same_handle
            || known.offer != slot.offer
            || known.deleting != slot.deleting
            || known.refused != slot.refused
            || known.terms.access != slot.terms.access
            || known.terms.adoption != slot.terms.adoption
    }

    /// No Webhook may begin to use it any more. True if one could until now.
    pub(super) fn close(&self, key: &ConnectionKey) -> bool {
        self.state().slots.get_mut(key).is_some_and(|slot| !std::mem::replace(&mut slot.deleting, true))
    }

    /// A connection is gone. True if there was one.
    pub(super) fn remove(&self, key: &ConnectionKey) -> bool {
        let mut state = self.state();
        state.slots.remove(key).is_some()
    }

    /// A connection as it is offered.
    pub(super) fn get(&self, key: &ConnectionKey) -> Option<Slot> {
        self.state().slots.get(key).cloned()
    }

    /// All of them, as they are offered.
    pub(in crate::controller) fn all(&self) -> Vec<(ConnectionKey, Slot)> {
        self.state().slots.iter().map(|(key, slot)| (key.clone(), slot.clone())).collect()
    }

    /// Who may use it depends on labels of namespaces.
    pub(in crate::controller) fn depends_on_labels(&self) -> bool {
        self.state().slots.values().any(|slot| slot.terms.access.depends_on_labels())
    }

    /// The places of a share.
    pub(in crate::controller) fn places(&self, share: &Share) -> Arc<Semaphore> {
        let number = self.number_of_places(Some(share));
        let mut state = self.state();
        Arc::clone(state.shares.entry(share.clone()).or_insert_with(|| Arc::new(Semaphore::new(number))))
    }

    /// How many they are; `None`: what belongs to no share may have all.
    pub(in crate::controller) fn number_of_places(&self, share: Option<&Share>) -> usize {
        match share {
            None => self.all,
            Some(Share::Team(_)) => self.of_team,
            Some(Share::Shared(_)) => self.of_shared,
            Some(Share::LooksOfTeam(_) | Share::LookAt(_)) => LOOKS_AT_ONCE,
        }
    }

    /// What `webhook` finds. `labels` are those of its namespace, where they are known.
    pub(in crate::controller) fn reach(&self, webhook: &Webhook, labels: Option<&BTreeMap<String, String>>) -> Reached {
        let Some(key) = ConnectionKey::of(webhook) else {
            return Reached::missing("This version does not know that kind of connection", false);
        };
        let state = self.state();
        let Some(slot) = state.slots.get(&key) else { return self.absent(&state, &key) };
        let namespace = webhook.namespace().unwrap_or_default();
        match slot.terms.access.permit(&namespace, labels, &webhook.spec.user_id) {
            Permit::Granted => {}
            // What was created while it was allowed is cleaned up.
            Permit::NotThisNamespace | Permit::NotThisUser | Permit::Unknown if has_something_to_clean_up(webhook) => {}
            Permit::Unknown => return Reached::Pending,
            permit @ (Permit::NotThisNamespace | Permit::NotThisUser) => {
                return Reached::not_allowed(not_allowed(&key, permit, &namespace));
            }
        }
        slot.offered(&key, webhook)
    }

    fn absent(&self, state: &State, key: &ConnectionKey) -> Reached {
        match key {
            ConnectionKey::Default => Reached::missing(
                "The operator has no default connection. Start it with --orion-url, or name a connection in spec.connectionRef",
                false,
            ),
            ConnectionKey::Cluster { .. } if !self.serves_clusters => Reached::missing(
                "This operator is bound to single namespaces (--watch-namespaces) and serves no ClusterOrionConnection. Name an OrionConnection of this namespace in a new Webhook",
                false,
            ),
            ConnectionKey::Cluster { .. } if !state.clusters => Reached::Pending,
            ConnectionKey::Namespaced { namespace, .. }
                if !state.namespaces.contains(&None) && !state.namespaces.contains(&Some(namespace.clone())) =>
            {
                Reached::Pending
            }
            ConnectionKey::Namespaced { .. } | ConnectionKey::Cluster { .. } => Reached::missing(
                format!(
                    "There is no {key}. Create it; or take spec.connectionRef out of a new Webhook to use the default connection"
                ),
                key.is_of_a_tenant(),
            ),
        }
    }
}

impl State {
    fn expect(&mut self, keys: impl Iterator<Item = (ConnectionKey, Terms)>) {
        for (key, terms) in keys {
            let pending = Slot { terms, offer: Offer::Pending, handle: None, deleting: false, refused: false };
            self.slots.entry(key).or_insert(pending);
        }
    }
}

impl Slot {
    /// The reason that its Ready condition has, or that of the default connection would have.
    pub(in crate::controller) fn reason(&self) -> Reason {
        if self.deleting {
            return Reason::Deleting;
        }
        match (&self.offer, &self.handle) {
            (Offer::Problem(problem), _) => problem.reason,
            (Offer::Stalled(trouble), _) => trouble.reason,
            (Offer::Usable, Some(handle)) => match handle.standing() {
                Standing::Good => Reason::Synced,
                Standing::Unknown => Reason::Progressing,
                Standing::Failing(trouble) => trouble.reason,
            },
            (Offer::Usable, None) | (Offer::Pending, _) => Reason::Progressing,
        }
    }

    fn offered(&self, key: &ConnectionKey, webhook: &Webhook) -> Reached {
        let is_going = webhook.metadata.deletion_timestamp.is_some();
        if self.deleting && !is_held(webhook) {
            return Reached::not_ready(format!("The {key} is being deleted. Use another one in a new Webhook"), false);
        }
        match (&self.offer, &self.handle) {
            (Offer::Pending, _) | (Offer::Usable, None) => Reached::Pending,
            (Offer::Usable, Some(handle)) => Reached::usable(handle),
            (Offer::Stalled(trouble), _) => Reached::not_ready(not_ready(key, trouble.reason, &trouble.message), false),
            (Offer::Problem(problem), Some(handle))
                if is_going && problem.is_of_a_secret() && handle.is_stalled().is_none() =>
            {
                Reached::usable(handle)
            }
            (Offer::Problem(problem), _) => Reached::not_ready(
                not_ready(key, problem.reason, &problem.message),
                problem.lost && key.is_of_a_tenant(),
            ),
        }
    }
}

/// It is going, and has a webhook at Orion by its status, which tenants do not write. An annotation would be no proof.
fn has_something_to_clean_up(webhook: &Webhook) -> bool {
    let is_going = webhook.metadata.deletion_timestamp.is_some();
    let has_id = webhook.status.as_ref().is_some_and(|status| status.webhook_id.is_some());
    is_going && is_held(webhook) && has_id
}

fn is_held(webhook: &Webhook) -> bool {
    webhook.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

/// Why, and what to do. Says nothing of other namespaces and their users.
fn not_allowed(key: &ConnectionKey, permit: Permit, namespace: &str) -> String {
    let place = match key {
        ConnectionKey::Default => "--default-connection-namespaces",
        ConnectionKey::Namespaced { .. } | ConnectionKey::Cluster { .. } => "its spec.allowedNamespaces",
    };
    match permit {
        Permit::NotThisUser => format!(
            "The {key} does not serve this userId in the namespace {namespace}. Use one of those that it allows, or ask its administrator to add this one to {place}"
        ),
        Permit::NotThisNamespace | Permit::Unknown | Permit::Granted => {
            format!("The {key} does not serve the namespace {namespace}. Ask its administrator to add it to {place}")
        }
    }
}
