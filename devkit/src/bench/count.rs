//! How often kube-apiserver was asked for what, by its own counters: no audit log, which would cost time.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::kind::Kind;

/// One of its counters.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Counter {
    verb: String,
    group: String,
    resource: String,
    subresource: String,
    code: String,
}

impl Counter {
    fn is_write(&self) -> bool {
        matches!(self.verb.as_str(), "POST" | "PUT" | "PATCH" | "APPLY" | "DELETE" | "DELETECOLLECTION")
    }

    fn is_event(&self) -> bool {
        self.resource == "events" && self.is_write()
    }

    /// `PUT requests/status`
    fn name(&self) -> String {
        let slash = if self.subresource.is_empty() { "" } else { "/" };
        format!("{} {}{slash}{}", self.verb, self.resource, self.subresource)
    }
}

/// Requests that were answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests {
    each: BTreeMap<Counter, u64>,
    /// Whatever a ServiceAccount asked for. The subject is the only one that has one: the driver is an administrator, and
    /// kube-controller-manager does not run.
    service_accounts: u64,
}

impl Requests {
    /// All requests so far.
    ///
    /// # Errors
    /// The apiserver does not answer.
    pub(super) async fn read(client: &kube::Client) -> Result<Self> {
        let page = client.request_text(http::Request::get("/metrics").body(Vec::new())?).await.context("/metrics")?;
        Ok(Self::of(&page))
    }

    fn of(page: &str) -> Self {
        let mut requests = Self::default();
        for line in page.lines() {
            let Some((head, value)) = line.rsplit_once("} ") else { continue };
            let Some((metric, labels)) = head.split_once('{') else { continue };
            let label = |name: &str| {
                let value = labels.split(',').find_map(|label| label.strip_prefix(name)?.strip_prefix("=\""));
                value.map(|value| value.trim_end_matches('"').to_owned()).unwrap_or_default()
            };
            // Large numbers are written as 1e+06.
            let value = value.parse::<f64>().unwrap_or_default() as u64;
            if metric == "apiserver_request_total" {
                let counter = Counter {
                    verb: label("verb"),
                    group: label("group"),
                    resource: label("resource"),
                    subresource: label("subresource"),
                    code: label("code"),
                };
                *requests.each.entry(counter).or_default() += value;
            } else if metric == "apiserver_flowcontrol_dispatched_requests_total"
                && label("flow_schema") == "service-accounts"
            {
                requests.service_accounts += value;
            }
        }
        requests
    }

    /// What came since `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        let more = |(counter, now): (&Counter, &u64)| {
            let new = now.saturating_sub(before.each.get(counter).copied().unwrap_or_default());
            (new > 0).then(|| (counter.clone(), new))
        };
        let service_accounts = self.service_accounts.saturating_sub(before.service_accounts);
        Self { each: self.each.iter().filter_map(more).collect(), service_accounts }
    }

    fn sum(&self, fits: impl Fn(&Counter) -> bool) -> u64 {
        self.each.iter().filter(|(counter, _)| fits(counter)).map(|(_, count)| count).sum()
    }

    /// Writes to whatever belongs to the objects' API: the driver's own are in them too.
    pub(super) fn writes(&self, kind: Kind) -> u64 {
        self.sum(|counter| counter.is_write() && kind.owns(&counter.group))
    }

    /// Those of the writes that were refused, because somebody else had written meanwhile.
    pub(super) fn conflicts(&self, kind: Kind) -> u64 {
        self.sum(|counter| counter.is_write() && kind.owns(&counter.group) && counter.code == "409")
    }

    /// Events that were written.
    pub(super) fn events(&self) -> u64 {
        self.sum(Counter::is_event)
    }

    /// Objects that were read one by one.
    pub(super) fn gets(&self, kind: Kind) -> u64 {
        self.sum(|counter| counter.verb == "GET" && kind.owns(&counter.group))
    }

    /// Pages of lists of what a subject watches.
    pub(super) fn lists(&self, kind: Kind) -> u64 {
        let is_watched = |counter: &Counter| {
            kind.owns(&counter.group) || matches!(counter.resource.as_str(), "secrets" | "namespaces")
        };
        self.sum(|counter| counter.verb == "LIST" && is_watched(counter))
    }

    /// Everything that the subject asked for: its watches, its Leases and its questions about rights and kinds are in it.
    pub(super) fn all(&self) -> u64 {
        self.service_accounts
    }

    /// Writes and Events by what they are, such as `PUT requests/status`.
    pub(super) fn each(&self, kind: Kind) -> BTreeMap<String, u64> {
        let mut each = BTreeMap::new();
        for (counter, count) in &self.each {
            if counter.is_event() || counter.is_write() && kind.owns(&counter.group) {
                *each.entry(counter.name()).or_default() += count;
            }
        }
        each
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = r#"
# TYPE apiserver_request_total counter
apiserver_request_total{code="200",component="apiserver",dry_run="",group="orion-operator.dev",resource="webhooks",scope="resource",subresource="",verb="PATCH",version="v1alpha1"} 10
apiserver_request_total{code="201",component="apiserver",dry_run="",group="http.m.crossplane.io",resource="requests",scope="resource",subresource="",verb="POST",version="v1alpha2"} 200
apiserver_flowcontrol_dispatched_requests_total{flow_schema="service-accounts",priority_level="workload-low"} 40
"#;
    const AFTER: &str = r#"
apiserver_request_total{code="200",component="apiserver",dry_run="",group="orion-operator.dev",resource="webhooks",scope="resource",subresource="",verb="PATCH",version="v1alpha1"} 12
apiserver_request_total{code="200",component="apiserver",dry_run="",group="orion-operator.dev",resource="webhooks",scope="resource",subresource="status",verb="PATCH",version="v1alpha1"} 1e+06
apiserver_request_total{code="200",component="apiserver",dry_run="",group="orion-operator.dev",resource="webhooks",scope="cluster",subresource="",verb="LIST",version="v1alpha1"} 1
apiserver_request_total{code="200",component="apiserver",dry_run="",group="orion-operator.dev",resource="webhooks",scope="cluster",subresource="",verb="WATCH",version="v1alpha1"} 3
apiserver_request_total{code="201",component="apiserver",dry_run="",group="http.m.crossplane.io",resource="requests",scope="resource",subresource="",verb="POST",version="v1alpha2"} 200
apiserver_request_total{code="200",component="apiserver",dry_run="",group="http.m.crossplane.io",resource="requests",scope="resource",subresource="",verb="PUT",version="v1alpha2"} 4
apiserver_request_total{code="409",component="apiserver",dry_run="",group="http.m.crossplane.io",resource="requests",scope="resource",subresource="",verb="PUT",version="v1alpha2"} 1
apiserver_request_total{code="201",component="apiserver",dry_run="",group="http.m.crossplane.io",resource="providerconfigusages",scope="resource",subresource="",verb="POST",version="v1alpha2"} 1
apiserver_request_total{code="201",component="apiserver",dry_run="",group="",resource="events",scope="resource",subresource="",verb="POST",version="v1"} 5
apiserver_request_total{code="200",component="apiserver",dry_run="",group="coordination.k8s.io",resource="leases",scope="resource",subresource="",verb="PUT",version="v1"} 7
apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="secrets",scope="cluster",subresource="",verb="LIST",version="v1"} 2
apiserver_flowcontrol_dispatched_requests_total{flow_schema="exempt",priority_level="exempt"} 900
apiserver_flowcontrol_dispatched_requests_total{flow_schema="service-accounts",priority_level="workload-low"} 55
"#;

    #[test]
    fn what_came_since_is_told_apart_by_whose_it_is() {
        let requests = Requests::of(AFTER).since(&Requests::of(BEFORE));
        for (kind, writes, conflicts, lists) in [(Kind::Webhook, 1_000_002, 0, 3), (Kind::Request, 6, 1, 2)] {
            let seen = (requests.writes(kind), requests.conflicts(kind), requests.lists(kind));
            assert_eq!(seen, (writes, conflicts, lists), "{kind:?}");
        }
        assert_eq!((requests.events(), requests.all()), (5, 15));
        let each: Vec<(String, u64)> = requests.each(Kind::Request).into_iter().collect();
        let expected = [("POST events", 5), ("POST providerconfigusages", 1), ("PUT requests", 5)];
        assert_eq!(each, expected.map(|(name, count)| (name.to_owned(), count)));
    }
}
