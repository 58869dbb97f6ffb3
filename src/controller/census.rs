//! How everything stands, counted for the metrics from what is in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use kube::runtime::reflector::{ObjectRef, Store};

use super::connections::{ConnectionKey, Slot};
use super::context::{Context, Entry, Guarded};
use crate::api::{Reason, Support, Webhook, parse_duration, ready_condition};
use crate::metrics::{Census, Counted, Kind};
use crate::plan::{Boot, Settings};

/// Drift checks come up to a tenth of their interval late, by chance, so that not all come at once.
const CHANCE: f64 = 1.1;

impl Counted for Context {
    fn census(&self) -> Census {
        let connections = self.registry.all();
        let mut census = Census::default();
        for (key, slot) in &connections {
            *census.connections.entry((kind_of(key), slot.reason())).or_default() += 1;
            let age = slot.handle.as_ref().and_then(|handle| handle.orion.login_age()).unwrap_or_default();
            census.token_age = census.token_age.max(age);
        }
        let entries = self.entries();
        let doubtful = entries.values().filter(|entry| entry.memory.doubt.is_some()).count();
        census.uncertain_creates = u32::try_from(doubtful).unwrap_or(u32::MAX);
        let checks = Checks {
            now: self.clock.boot(),
            settings: &self.settings,
            entries: &entries,
            blind: connections.iter().filter(|(_, slot)| is_blind(slot)).map(|(key, _)| key).collect(),
        };
        for guarded in self.webhooks.iter().flat_map(Store::state) {
            let reason = reason_of(&guarded);
            *census.webhooks.entry(reason).or_default() += 1;
            if let Ok(webhook) = &guarded.0
                && reason == Reason::Synced
            {
                checks.count(webhook, &mut census);
            }
        }
        census
    }
}

/// What a Webhook's condition says. Of one that says nothing yet, or something that this version does not know, work has
/// not finished; one that does not decode is not touched.
fn reason_of(guarded: &Guarded) -> Reason {
    let Ok(webhook) = &guarded.0 else { return Reason::InvalidSpec };
    let ready = webhook.status.as_ref().and_then(|status| ready_condition(&status.conditions));
    ready.and_then(|ready| ready.reason.parse().ok()).unwrap_or(Reason::Progressing)
}

fn kind_of(key: &ConnectionKey) -> Kind {
    match key {
        ConnectionKey::Default => Kind::Default,
        ConnectionKey::Namespaced { .. } => Kind::OrionConnection,
        ConnectionKey::Cluster { .. } => Kind::ClusterOrionConnection,
    }
}

/// Its Orion has no call that shows a webhook: nobody can look for drift.
fn is_blind(slot: &Slot) -> bool {
    slot.handle.as_ref().is_some_and(|handle| {
        let known = handle.orion.capabilities();
        known.list == Support::Absent && known.get == Support::Absent
    })
}

struct Checks<'a> {
    now: Boot,
    settings: &'a Settings,
    entries: &'a HashMap<ObjectRef<Webhook>, Entry>,
    blind: BTreeSet<&'a ConnectionKey>,
}

impl Checks<'_> {
    /// Of one that is in sync: how long ago it was looked at, and how late the next look is.
    fn count(&self, webhook: &Webhook, census: &mut Census) {
        let is_looked_at = webhook.metadata.deletion_timestamp.is_none() && !webhook.spec.is_suspended();
        let Some(key) = ConnectionKey::of(webhook).filter(|key| is_looked_at && !self.blind.contains(key)) else {
            return;
        };
        // One that was not met yet is in the line, which has metrics of its own.
        let Some(entry) = self.entries.get(&ObjectRef::from_obj(webhook)) else { return };
        let age = self.now.saturating_sub(entry.checked);
        let declared = webhook.spec.interval.as_deref().and_then(|text| parse_duration(text).ok());
        let late = age.saturating_sub(self.settings.interval(declared).mul_f64(CHANCE));
        raise(&mut census.unchecked, kind_of(&key), age);
        raise(&mut census.late, kind_of(&key), late);
    }
}

fn raise(longest: &mut BTreeMap<Kind, Duration>, kind: Kind, time: Duration) {
    let known = longest.entry(kind).or_default();
    *known = time.max(*known);
}
