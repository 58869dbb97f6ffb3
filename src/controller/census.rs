//! How everything stands, counted for the metrics from what is in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kube::runtime::reflector::Store;

use super::connections::{ConnectionKey, Slot};
use super::context::{Context, Entries, Guarded};
use super::name::WebhookName;
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
    entries: &'a Entries,
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
        let Some(entry) = self.entries.get(&WebhookName::of(webhook)) else { return };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Access;
    use crate::controller::Terms;
    use crate::controller::context::Entry;
    use crate::controller::context::tests::{HOUR, context, webhook};
    use crate::metrics::Format;
    use crate::plan::Doubt;

    /// Names of series, and what the Webhooks come to.
    async fn page(number: usize) -> (BTreeSet<String>, f64) {
        let reasons = Reason::ALL.iter().copied().map(Some).chain([None]).cycle();
        let (context, metrics) = context((0..number).zip(reasons).map(|(number, reason)| webhook(number, reason)));
        for number in 0..number {
            let namespace = format!("team-{number}");
            let key = ConnectionKey::Namespaced { namespace: namespace.clone(), name: format!("orion-{number}") };
            let terms = Terms { access: Access::All, adoption: true };
            context.registry.namespaced_are_known(Some(namespace.clone()), [(key, terms)].into_iter());
            let key = WebhookName::new(&namespace, &format!("hook-{number}"));
            drop(context.recall(&key, &number.to_string()));
        }
        let page = metrics.page(Format::Text);
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        let series = lines.clone().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect();
        let counted = lines.filter(|line| line.starts_with("orion_operator_webhooks{"));
        (series, counted.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum())
    }

    #[tokio::test]
    async fn ten_thousand_make_as_many_series_as_ten() {
        let ((few, ten), (many, ten_thousand)) = (page(10).await, page(10_000).await);
        assert_eq!((ten, ten_thousand), (10.0, 10_000.0), "all are counted");
        let other: Vec<&String> = few.symmetric_difference(&many).collect();
        assert!(other.is_empty(), "{other:?}");
        assert!(few.iter().any(|series| series.starts_with("orion_operator_webhooks{")) && few.len() < 1000);
    }

    #[tokio::test]
    async fn each_is_counted_where_it_belongs() {
        let all = [
            webhook(0, Some(Reason::Synced)),
            webhook(1, Some(Reason::Synced)),
            webhook(2, Some(Reason::CreateUncertain)),
            webhook(3, None),
        ];
        let (context, _) = context(all.into_iter());
        let key = |number: usize| WebhookName::new(&format!("team-{number}"), &format!("hook-{number}"));
        // Seen half an hour ago, with an interval of ten minutes and one more for chance.
        let seen = |checked: Duration| Entry { uid: String::new(), checked, ..Entry::default() };
        context.remember(&key(0), &seen(HOUR / 2));
        context.remember(&key(1), &seen(HOUR));
        let mut doubtful = seen(Boot::ZERO);
        doubtful.memory.doubt = Some(Box::new(Doubt {
            token: String::new(),
            since: HOUR,
            cause: None,
            sent: None,
            account: None,
            reached: None,
            lists: Vec::new(),
        }));
        context.remember(&key(2), &doubtful);
        let census = context.census();
        assert_eq!(
            census.webhooks,
            [(Reason::Synced, 2), (Reason::CreateUncertain, 1), (Reason::Progressing, 1)].into()
        );
        assert_eq!(census.uncertain_creates, 1);
        assert_eq!(census.unchecked, [(Kind::OrionConnection, HOUR / 2)].into(), "only those in sync are looked at");
        assert_eq!(census.late, [(Kind::OrionConnection, HOUR / 2 - Duration::from_secs(660))].into());
    }
}
