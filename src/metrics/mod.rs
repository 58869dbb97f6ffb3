//! Metrics for Prometheus, under the names that dashboards already know where they mean the same.
//!
//! No label grows with the number of objects: each is from a closed list, or there is one of it in a process.

mod apiserver;
mod census;
mod orion;
mod process;
mod reconciles;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use prometheus_client::encoding::{EncodeLabelSet, prometheus_text, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::version;

pub use self::apiserver::CountRequests;
pub use self::census::{Census, Counted, Kind};
pub use self::orion::{OrionCall, OrionCalls};
pub use self::reconciles::{Ending, InLine, Line, Reconciles, UnderWay};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Lease {
    name: String,
}

/// Format of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' text format, which everything that scrapes can read.
    Text,
}

impl Format {
    /// The one to answer with, by what is accepted. As Prometheus' own libraries do: text, unless OpenMetrics is asked for.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Text }
    }

    /// Its `Content-Type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => prometheus_text::CONTENT_TYPE,
        }
    }
}

/// The operator's metrics.
pub struct Metrics {
    registry: Registry,
    /// Reconciles of Webhooks,
    pub webhooks: Reconciles,
    /// and the line before them.
    pub line: Line,
    /// Reconciles of OrionConnections.
    pub connections: Reconciles,
    /// Reconciles of ClusterOrionConnections.
    pub cluster_connections: Reconciles,
    /// Calls to Orion.
    pub orion: OrionCalls,
    apiserver: apiserver::Requests,
    leading: Family<Lease, Gauge>,
    counting: Arc<census::Counting>,
    orphans: Gauge,
    orphans_of: Mutex<HashMap<String, usize>>,
    left_behind: Counter,
    events_dropped: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let reconciles = reconciles::Families::register(&mut registry);
        let apiserver = apiserver::Requests::default();
        registry.register("rest_client_requests", "Calls to the apiserver by answer", apiserver.clone());
        let leading = Family::default();
        registry.register("leader_election_master_status", "1 while this process leads, else 0", leading.clone());
        registry.register_collector(Box::new(process::Process));
        let orion = OrionCalls::register(&mut registry);
        let counting = Arc::new(census::Counting::default());
        registry.register_collector(Box::new(Arc::clone(&counting)));
        let orphans = Gauge::default();
        registry.register(
            "orion_operator_orphans",
            "Webhooks at Orion that carry this installation's marker and have no Webhook",
            orphans.clone(),
        );
        let left_behind = Counter::default();
        registry.register(
            "orion_operator_left_behind",
            "Webhooks let go although nothing could delete what they have at Orion: their namespace went with the connection",
            left_behind.clone(),
        );
        let events_dropped = Counter::default();
        registry.register(
            "orion_operator_events_dropped",
            "Kubernetes Events that could not be written, or were too many",
            events_dropped.clone(),
        );
        registry.register(
            "orion_operator_build",
            "Build information",
            Info::new(vec![("version", version::VERSION), ("commit", version::COMMIT.unwrap_or("unknown"))]),
        );
        Self {
            registry,
            webhooks: reconciles.of("webhook"),
            line: reconciles.line("webhook"),
            connections: reconciles.of("orionconnection"),
            cluster_connections: reconciles.of("clusterorionconnection"),
            orion,
            apiserver,
            leading,
            counting,
            orphans,
            orphans_of: Mutex::default(),
            left_behind,
            events_dropped,
        }
    }
}

impl Metrics {
    /// A layer for the client of the apiserver at this host.
    #[must_use]
    pub fn count_requests(&self, host: &str) -> CountRequests {
        CountRequests { requests: self.apiserver.clone(), host: host.into() }
    }

    /// This process leads by the Lease of that name, or does not.
    pub fn leading(&self, name: &str, is_leading: bool) {
        self.leading.get_or_create(&Lease { name: name.to_owned() }).set(is_leading.into());
    }

    /// Who is asked how everything stands, whenever the page is.
    pub fn asks(&self, counted: Weak<dyn Counted>) {
        self.counting.asks(counted);
    }

    /// So many webhooks at the Orion of a connection have lost their Webhook. The metric is the sum.
    pub fn orphans(&self, of: &str, count: usize) {
        let mut counts = self.orphans_of.lock().unwrap_or_else(PoisonError::into_inner);
        counts.insert(of.to_owned(), count);
        counts.retain(|_, count| *count > 0);
        self.orphans.set(i64::try_from(counts.values().sum::<usize>()).unwrap_or(i64::MAX));
    }

    /// A Webhook was let go, and what it has at Orion stays there.
    pub fn left_behind(&self) {
        self.left_behind.inc();
    }

    /// An Event could not be written.
    pub fn event_dropped(&self) {
        self.events_dropped.inc();
    }

    /// The page for `/metrics`.
    #[must_use]
    pub fn page(&self, format: Format) -> String {
        let mut page = String::new();
        // Writing into a String does not fail.
        let _ = match format {
            Format::OpenMetrics => text::encode(&mut page, &self.registry),
            Format::Text => prometheus_text::encode(&mut page, &self.registry),
        };
        page
    }
}
