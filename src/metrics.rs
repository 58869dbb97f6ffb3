//! Metrics in the OpenMetrics text format, under the names that dashboards already know.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReconcileLabels {
    controller: &'static str,
    result: &'static str,
}

/// The operator's metrics.
pub struct Metrics {
    registry: Registry,
    reconciles: Family<ReconcileLabels, Counter>,
    orphans: Gauge,
    orphans_of: Mutex<HashMap<String, usize>>,
    left_behind: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let reconciles = Family::default();
        registry.register("controller_runtime_reconcile", "Reconciles by result", reconciles.clone());
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
        registry.register(
            "orion_operator_build",
            "Build information",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        Self { registry, reconciles, orphans, orphans_of: Mutex::default(), left_behind }
    }
}

impl Metrics {
    /// Counts a reconcile.
    pub fn reconciled(&self, controller: &'static str, result: &'static str) {
        self.reconciles.get_or_create(&ReconcileLabels { controller, result }).inc();
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

    /// The page for `/metrics`.
    #[must_use]
    pub fn page(&self) -> String {
        let mut page = String::new();
        // Writing into a String does not fail.
        let _ = encode(&mut page, &self.registry);
        page
    }
}
