//! How often kube-apiserver was asked for what, by its own counters: no audit log, which would cost time.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// Requests by verb, resource and subresource.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests(BTreeMap<(String, String, String), u64>);

impl Requests {
    /// All requests so far.
    ///
    /// # Errors
    /// The apiserver does not answer.
    pub(super) async fn read(client: &kube::Client) -> Result<Self> {
        let page = client.request_text(http::Request::get("/metrics").body(Vec::new())?).await.context("/metrics")?;
        let mut counts = BTreeMap::new();
        for line in page.lines().filter(|line| line.starts_with("apiserver_request_total{")) {
            let Some((labels, value)) = line.rsplit_once("} ") else { continue };
            let label = |name: &str| {
                let start = labels.split(['{', ',']).find_map(|label| label.strip_prefix(name)?.strip_prefix("=\""));
                start.map(|value| value.trim_end_matches('"').to_owned()).unwrap_or_default()
            };
            // Large numbers are written as 1e+06.
            let value: f64 = value.parse().unwrap_or_default();
            *counts.entry((label("verb"), label("resource"), label("subresource"))).or_default() += value as u64;
        }
        Ok(Self(counts))
    }

    /// What came since `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        let more = |(key, now): (&(String, String, String), &u64)| {
            let new = now.saturating_sub(before.0.get(key).copied().unwrap_or_default());
            (new > 0).then(|| (key.clone(), new))
        };
        Self(self.0.iter().filter_map(more).collect())
    }

    fn sum(&self, fits: impl Fn(&str, &str) -> bool) -> u64 {
        self.0.iter().filter(|((verb, resource, _), _)| fits(verb, resource)).map(|(_, count)| count).sum()
    }

    /// Writes to Webhooks by whoever is measured: patches. The driver itself only creates, replaces and deletes.
    pub(super) fn patches(&self) -> u64 {
        self.sum(|verb, resource| resource == "webhooks" && matches!(verb, "PATCH" | "APPLY"))
    }

    /// Events that were written.
    pub(super) fn events(&self) -> u64 {
        self.sum(|verb, resource| resource == "events" && matches!(verb, "POST" | "PATCH" | "PUT" | "APPLY"))
    }

    /// Webhooks that were read one by one.
    pub(super) fn gets(&self) -> u64 {
        self.sum(|verb, resource| resource == "webhooks" && verb == "GET")
    }

    /// Pages of lists of what the operator watches.
    pub(super) fn lists(&self) -> u64 {
        let is_ours = |resource: &str| {
            matches!(resource, "webhooks" | "orionconnections" | "clusterorionconnections" | "secrets" | "namespaces")
        };
        self.sum(|verb, resource| verb == "LIST" && is_ours(resource))
    }
}
