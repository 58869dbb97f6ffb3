//! Webhooks at Orion that carry our marker and have no Webhook any more (design section 4, "Orphans"): its finalizer was
//! taken off by hand, say. They are told and never deleted, because a Webhook of that name may come back and claim its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::snapshot::{Boot, Snapshot};
use crate::api::{InstanceId, Owner};

/// Ids in `list` with a marker of this installation that none of `webhooks` (namespace and name) has. `namespaces` are
/// the watched ones, `None` for all. Only true of Webhooks that were all read after the list was.
#[must_use]
pub fn ownerless<'a>(
    list: &Snapshot,
    instance: &InstanceId,
    namespaces: Option<&BTreeSet<String>>,
    webhooks: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> BTreeSet<String> {
    let living: BTreeSet<Owner> =
        webhooks.into_iter().map(|(namespace, name)| instance.owner(namespace, name)).collect();
    list.webhooks()
        .filter(|webhook| {
            webhook.owner().is_some_and(|owner| instance.made(&owner, namespaces) && !living.contains(&owner))
        })
        .map(|webhook| webhook.id.clone())
        .collect()
}

/// What the rounds so far have shown. One round can be wrong: a webhook that went between the two readings, or one that a
/// lagging list still shows.
#[derive(Clone, Debug, Default)]
pub struct Sightings {
    since: BTreeMap<String, Boot>,
    last: Boot,
}

impl Sightings {
    /// Takes note of what a complete list, begun at that time, shows as ownerless.
    pub fn see(&mut self, begun: Boot, ownerless: &BTreeSet<String>) {
        self.since.retain(|id, _| ownerless.contains(id));
        for id in ownerless {
            self.since.entry(id.clone()).or_insert(begun);
        }
        self.last = begun;
    }

    /// Those seen in two rounds at least that far apart.
    #[must_use]
    pub fn orphans(&self, apart: Duration) -> BTreeSet<String> {
        self.since.iter().filter(|(_, since)| **since + apart <= self.last).map(|(id, _)| id.clone()).collect()
    }

    /// When the next round makes sure of one that was seen and is not sure yet.
    #[must_use]
    pub fn due(&self, apart: Duration) -> Option<Boot> {
        self.since.values().map(|since| *since + apart).filter(|due| *due > self.last).min()
    }
}
