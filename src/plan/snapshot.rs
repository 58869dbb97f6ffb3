//! One reading of all webhooks of an Orion, with an index by marker.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::api::{Owner, RemoteWebhook};

/// Time since the machine booted, suspend included: it neither jumps nor stands still.
pub type Boot = Duration;

/// One reading of all webhooks.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// When the reading began.
    pub begun: Boot,
    /// How long the reading took.
    pub took: Duration,
    /// Why it must not be trusted for what it does not show; `None` if complete.
    pub flaw: Option<String>,
    webhooks: Arc<BTreeMap<String, RemoteWebhook>>,
    owners: Arc<HashMap<Owner, Vec<String>>>,
    /// Owners of webhooks that were taken out since, with the ids they have left.
    left: BTreeMap<Owner, Vec<String>>,
    removed: BTreeSet<String>,
}

impl Snapshot {
    /// A reading with its index by marker.
    #[must_use]
    pub fn new(begun: Boot, webhooks: Vec<RemoteWebhook>, flaw: Option<String>) -> Self {
        let webhooks: BTreeMap<String, RemoteWebhook> =
            webhooks.into_iter().map(|webhook| (webhook.id.clone(), webhook)).collect();
        let mut owners: HashMap<Owner, Vec<String>> = HashMap::new();
        for webhook in webhooks.values() {
            if let Some(owner) = webhook.owner() {
                owners.entry(owner).or_default().push(webhook.id.clone());
            }
        }
        let (webhooks, owners) = (Arc::new(webhooks), Arc::new(owners));
        Self { begun, took: Duration::ZERO, flaw, webhooks, owners, left: BTreeMap::new(), removed: BTreeSet::new() }
    }

    /// The same reading, which took so long.
    #[must_use]
    pub fn taking(self, took: Duration) -> Self {
        Self { took, ..self }
    }

    /// The same reading without a webhook that was deleted since. Shares everything else.
    #[must_use]
    pub fn without(&self, id: &str) -> Self {
        let mut next = self.clone();
        if let Some(owner) = self.get(id).and_then(RemoteWebhook::owner) {
            let left = self.ids_of(&owner).iter().filter(|other| *other != id).cloned().collect();
            next.left.insert(owner, left);
        }
        next.removed.insert(id.to_owned());
        next
    }

    /// Complete: may be trusted for what it does not show.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.flaw.is_none()
    }

    /// The webhook of this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&RemoteWebhook> {
        self.webhooks.get(id).filter(|_| !self.removed.contains(id))
    }

    /// Ids that carry this marker, bytewise sorted.
    #[must_use]
    pub fn ids_of(&self, owner: &Owner) -> &[String] {
        self.left.get(owner).or_else(|| self.owners.get(owner)).map_or(&[], Vec::as_slice)
    }

    /// Some webhook shows a readable marker.
    #[must_use]
    pub fn shows_markers(&self) -> bool {
        !self.owners.is_empty()
    }

    /// All webhooks, by id.
    pub fn webhooks(&self) -> impl Iterator<Item = &RemoteWebhook> {
        self.webhooks.values().filter(|webhook| !self.removed.contains(&webhook.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{InstanceId, OWNER_HEADER, RemoteHeader};

    #[test]
    fn what_was_deleted_since_is_not_spoken_of() {
        let owner = InstanceId::new("i").owner("a", "b");
        let webhook = |id: &str| RemoteWebhook {
            id: id.into(),
            url: None,
            user_id: None,
            presence_name: None,
            headers: Some(vec![RemoteHeader { name: OWNER_HEADER.into(), value: Some(owner.as_str().into()) }]),
        };
        let whole = Snapshot::new(Boot::ZERO, vec![webhook("2"), webhook("1"), webhook("3")], None);
        let less = whole.without("2");
        assert_eq!(less.ids_of(&owner), ["1", "3"]);
        assert!(less.get("2").is_none());
        assert_eq!(less.without("1").ids_of(&owner), ["3"]);
        assert_eq!((less.webhooks().count(), whole.webhooks().count()), (2, 3));
    }
}
