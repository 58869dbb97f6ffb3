//! Looks for webhooks at Orion that nobody has, in the lists that drift checks read anyway, and tells of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::connections::ConnectionHandle;
use super::context::Context;
use super::patch::{ApiError, within};
use super::watch::scoped;
use crate::api::{InstanceId, Support, Webhook};
use crate::metrics::Metrics;
use crate::plan::{Boot, Sightings, Snapshot, ownerless};

/// A log line names this many at most.
const NAMED_AT_MOST: usize = 10;
/// Webhooks in one page of the apiserver's list.
const PAGE: u32 = 500;
const WHAT: &str = "list all Webhooks";

/// One round: ids in `list` that carry a marker of `instance` whose Webhook is none of those that the apiserver has now.
/// The Webhooks are read whatever their labels, or one shard would take those of another for lost. Only their metadata is.
///
/// # Errors
/// The apiserver did not give its list.
pub async fn look(
    client: &Client,
    timeout: Duration,
    instance: &InstanceId,
    namespaces: Option<&BTreeSet<String>>,
    list: &Snapshot,
) -> Result<BTreeSet<String>, ApiError> {
    let scopes: Vec<Option<&str>> =
        namespaces.map_or_else(|| vec![None], |names| names.iter().map(|name| Some(name.as_str())).collect());
    let mut webhooks: Vec<(String, String)> = Vec::new();
    for scope in scopes {
        let api: Api<Webhook> = scoped(client, scope);
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let read = within(timeout, WHAT, api.list_metadata(&page)).await.map_err(no_such_kind)?;
            webhooks
                .extend(read.items.iter().map(|webhook| (webhook.namespace().unwrap_or_default(), webhook.name_any())));
            match read.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => break,
            }
        }
    }
    let names = webhooks.iter().map(|(namespace, name)| (namespace.as_str(), name.as_str()));
    Ok(ownerless(list, instance, namespaces, names))
}

fn no_such_kind(error: ApiError) -> ApiError {
    match error {
        ApiError::Changed => ApiError::Refused { what: WHAT, reason: "the CRD is not installed".into(), code: 404 },
        ApiError::Refused { .. } | ApiError::Timeout { .. } | ApiError::Unreachable { .. } => error,
    }
}

/// Rounds on one connection, until stopped: one with each list that is newer than the last round, and a list of its own
/// only if nobody has read one for one and a half intervals.
pub(super) async fn watch_for_orphans(
    context: Arc<Context>,
    connection: Arc<ConnectionHandle>,
    stop: CancellationToken,
) {
    if !connection.settings.ownership {
        return;
    }
    // A lagging list may still show for so long what was deleted.
    let apart = context.settings.settle_time(connection.settings.timeout);
    let mut rounds = Rounds { apart, sightings: Sightings::default(), told: BTreeSet::new() };
    let interval = context.settings.interval(None);
    let begun = context.clock.boot();
    let told = Told { metrics: Arc::clone(&context.metrics), of: format!("{:?}", connection.key) };
    let work = async {
        let (mut newer_than, mut at) = (begun, begun + interval / 2);
        loop {
            tokio::time::sleep(at.saturating_sub(context.clock.boot())).await;
            let round = rounds.round(&context, &connection, newer_than).await;
            let now = context.clock.boot();
            (newer_than, at) = match round {
                Some(list_begun) => {
                    told.set(rounds.told.len());
                    match rounds.sightings.due(apart) {
                        Some(due) => (due, due),
                        None => (list_begun + Duration::from_nanos(1), now + interval * 3 / 2),
                    }
                }
                None => (newer_than, now + interval),
            };
        }
    };
    stop.run_until_cancelled(work).await;
}

/// What one connection adds to the metric, as long as it is there.
struct Told {
    metrics: Arc<Metrics>,
    of: String,
}

impl Told {
    fn set(&self, count: usize) {
        self.metrics.orphans(&self.of, count);
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// What the rounds on one connection have come to.
struct Rounds {
    /// Two of them are at least so far apart.
    apart: Duration,
    sightings: Sightings,
    told: BTreeSet<String>,
}

impl Rounds {
    /// One round. Gives when its list was begun, if there was a complete one.
    async fn round(&mut self, context: &Context, connection: &ConnectionHandle, newer_than: Boot) -> Option<Boot> {
        let facts = connection.facts();
        if facts.trouble.is_some() || facts.capabilities.list == Support::Absent {
            return None;
        }
        let stored = || context.stored_ids(&connection.key, facts.endpoint.as_str());
        let list = connection.list(newer_than, stored).await.ok().filter(|list| list.is_complete())?;
        let (instance, namespaces) = (&context.settings.instance, context.watched.as_ref());
        let cached = context.names();
        let names = cached.iter().map(|(namespace, name)| (namespace.as_str(), name.as_str()));
        // Mostly the cache has them all, and the apiserver need not be asked.
        let mut ids = ownerless(&list, instance, namespaces, names);
        if !ids.is_empty() {
            ids = match look(&context.client, context.apiserver_timeout, instance, namespaces, &list).await {
                Ok(ids) => ids,
                Err(error) => {
                    debug!(%error, "orphans are looked for again later");
                    return None;
                }
            };
        }
        self.sightings.see(list.begun, &ids);
        self.tell(connection, self.sightings.orphans(self.apart));
        Some(list.begun)
    }

    /// Logs what has changed, and nothing where nothing has.
    fn tell(&mut self, connection: &ConnectionHandle, orphans: BTreeSet<String>) {
        if orphans == self.told {
            return;
        }
        let endpoint = connection.orion.endpoint();
        if orphans.is_empty() {
            info!(%endpoint, "no webhook at Orion is without its Webhook any more");
        } else {
            let ids: Vec<&str> = orphans.iter().take(NAMED_AT_MOST).map(String::as_str).collect();
            warn!(
                %endpoint,
                count = orphans.len(),
                ids = ids.join(" "),
                "webhooks at Orion carry this installation's marker and have no Webhook. Nothing deletes them by itself: \
                 orion-operator orphans lists them, and deletes them with --delete ID"
            );
        }
        self.told = orphans;
    }
}
